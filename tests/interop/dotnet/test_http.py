"""The HTTP channel with SOAP, against Mono's HttpChannel in both directions; C# programs are not changed in any way."""

import asyncio
import contextlib
import datetime
import decimal
import html
import socket
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

import rpcx
from rpcx import aio
from rpcx.errors import (
    AccessDenied,
    CallTimeout,
    MaybeExecuted,
    NotSent,
    ObjectNotFound,
    ProtocolError,
    RemoteError,
)  # fmt: skip
from rpcx.interop.dotnet import caller
from tests.interop.dotnet import soap_vectors as vectors
from tests.interop.dotnet.shop import (
    TALKED,
    Basket,
    Color,
    Counter,
    Listener,
    Manager,
    Node,
    Once,
    OutOfStock,
    Person,
    Point,
    Radio,
    RemoteObjectDef,
    Robot,
    Talk,
    Tiny,
    Values,
)  # fmt: skip
from tests.interop.dotnet.test_activation import Served
from tests.interop.dotnet.test_leases import Keeper, brief_lease, gone

URL = "dotnet+http://127.0.0.1:0/app"
NOT_SERIALIZABLE = (
    "Type Shop.ICounter in assembly shared, Version=0.0.0.0, Culture=neutral, PublicKeyToken=null is not marked as "
    "serializable."
)


@pytest.fixture
def url(serving):
    """A host's, as .NET spells it."""
    host = rpcx.Host()
    host.register(RemoteObjectDef, Values, Talk, Once, Basket)
    host.publish(Counter(5), "published")
    return serving(host, URL)


@pytest.fixture(scope="module")
def there(mono):
    """Mono's server."""
    with mono.serving("http") as url:
        yield url


# --- C# calls Python ----------------------------------------------------------------------------------------------


def test_the_published_classic_over_http(mono, url):
    assert url.startswith("http://127.0.0.1:")
    facts = mono.run("client.exe", url, "classic")
    assert facts == {"classic": "000", "unicode": "True", "null": "True", "long": "1000000"}
    assert mono.run("client.exe", url.removesuffix("/app"), "classic") == facts


def test_values_of_every_kind_come_back_as_they_went(mono, url):
    facts = mono.run("client.exe", url, "values")
    different = {name: value for name, value in facts.items() if value != "True"}
    assert list(different) == ["maybe"]  # int? as a parameter or result is more than Mono's formatter can
    assert different["maybe"].startswith("System.InvalidCastException Invalid cast from 'System.Int32' to 'System.Null")
    assert len(facts) > 50


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_what_texts_have_trouble_with_comes_back_as_it_went(mono, url, zone):
    facts = mono.run("client.exe", url, "odd", TZ=zone)
    different = {name: value for name, value in facts.items() if value != "True"}
    ends = [] if zone == "UTC" else ["time 0001-01-01T00:00:00", "time 9999-12-31T23:59:59"]
    assert [name for name in different if name not in ends] == []  # the first and last moment are, in their own zone
    assert len(facts) > 40


def test_calls_of_every_kind(mono, url):
    assert mono.run("client.exe", url, "talk") == {
        **TALKED,
        "notes": "",  # Mono's client never sends a one-way call over HTTP
        "home": NOT_SERIALIZABLE,  # Mono's client does not pass on what it knows by an interface only
        "drive": NOT_SERIALIZABLE,
    }


def test_a_csharp_client_makes_objects_here(mono, url):
    facts = mono.run("client.exe", url, "create")
    assert facts == {
        "ann": "Ann 3",
        "none": "nobody 0",
        "again": "nobody 0",  # a reference goes and comes home
        "single call": "1 1",
        "published": "6 7",
        "not offered": "System.Runtime.Remoting.RemotingException this host lets clients make no 'RemoteObjectDef' "
        "(it offers: Basket)",
    }


def test_a_csharp_program_that_only_says_new_makes_them_here(mono, url):
    assert mono.run("client.exe", url, "registered") == {"value": "000", "basket": "Ann 3"}


def test_leases_over_http(mono, url):
    facts = mono.run("client.exe", url, "lease")
    assert facts == {
        "singleton": "True", "state": "Active", "initial": "300", "on call": "120", "patience": "120", "left": "True",
        "renewed": "900", "now": "900",
    }  # fmt: skip


def test_a_csharp_sponsor_is_asked(mono, serving, monkeypatch):
    brief_lease(monkeypatch, 3)  # Mono takes its time before the sponsor is registered
    host = rpcx.Host()
    host.register(Talk)
    with mono.started("client.exe", serving(host, f"{URL}?callbacks=yes"), "listening", "sponsor") as process:
        assert process.stdout.readline() == "registered: yes\n"
        assert [process.stdout.readline() for _ in range(3)] == ["asked: Renewing\n"] * 3
        gone(host)
        process.stdin.write("\n")
        process.stdin.flush()
        out, err = process.communicate(timeout=30)
    assert out.splitlines() == ["times: 3", "after: System.Runtime.Remoting.RemotingException", "done: yes"], err


def test_csharp_clients_are_called_back(mono, serving):
    host = rpcx.Host()
    host.register(Radio)
    facts = mono.run("client.exe", serving(host, f"{URL}?callbacks=yes"), "listening", "radio")
    assert facts["heard"] == "hello,event again,again,later,,switched True 0"


def test_csharp_clients_are_not_called_back_unless_that_is_enabled(mono, serving):
    host = rpcx.Host()
    host.register(Radio)
    facts = mono.run("client.exe", serving(host, URL), "listening", "radio")
    assert "calls back to .NET clients are not enabled" in facts["listen"]


def test_the_binary_formatter_is_answered_over_http_too(mono, url):
    facts = mono.run("client.exe", url, "binary")
    assert facts == {"divide": "3 rest 2", "sell": "OutOfStock no more than 3 3 True"}


def test_a_client_on_another_address_is_served_where_it_is_allowed_to_come_from(mono, serving, address):
    host = rpcx.Host(allow={"*"})
    host.register(RemoteObjectDef, Talk, Radio)
    anywhere = "dotnet+http://0.0.0.0:0/app?callbacks=yes"
    url = serving(host, anywhere, insecure=True, allow_from=[f"{address}/32"])
    port = url.partition("0.0.0.0:")[2].partition("/")[0]
    facts = mono.run("client.exe", f"http://{address}:{port}/app", "listening", "classic", "radio")
    assert facts["classic"] == "000"
    assert facts["heard"].startswith("hello,event again,again")


# --- Python calls C# ----------------------------------------------------------------------------------------------

NOON = datetime.datetime(2024, 2, 29, 12, 30, 15, 123000, tzinfo=datetime.UTC)
ECHOES = [
    ("bool", True), ("byte", 255), ("sbyte", -128), ("short", -32768), ("ushort", 65535), ("int", -(2**31)),
    ("uint", 2**32 - 1), ("long", -(2**63)), ("ulong", 2**64 - 1), ("float", 1.5), ("double", 3.141592653589793),
    ("double", float("inf")), ("double", -float("inf")), ("char", "é"), ("char", " "), ("char", "\0"), ("string", ""),
    ("string", " "), ("string", "]]>&amp;<![CDATA[x]]>\uf8ff0041"), ("string", " \r\n"),
    ("string", "a\r\nb\rc\r"), ("string", "\0\x01\x1f\ufffe\uffff😀"), ("string", None),
    ("string", "x" * 100_000), ("decimal", decimal.Decimal(2**96 - 1)),
    ("decimal", decimal.Decimal("-1E-28")), ("time", NOON), ("span", datetime.timedelta(days=-2, milliseconds=7)),
    ("guid", uuid.UUID(int=2**127 + 5)), ("bytes", b"\0\x7f\xff"), ("bytes", b""), ("ints", [1, -2, 3]),
    ("strings", ("a", None, "a", " ", None)), ("jagged", [[1], None, [2, 3]]), ("grid", [[1, 2, 3], [4, 5, 6]]),
    ("list", [1, 2, 3]), ("texts", ["a", "b"]), ("dictionary", {"a": 1, "b": 2}), ("dictionary", {}),
    ("table", {"a": 1, 2: "b", "n": None}), ("array_list", [1, "b", 2.5, None]), ("object", 5), ("object", "x"),
    ("object", [1, "b"]), ("object", NOON), ("object", Color.Blue), ("object", Point(1, 2)), ("color", Color.Blue),
    ("object", [b"x", [None], Color.Red, Point(1, 2), NOON]), ("object", uuid.UUID(int=1)), ("tiny", Tiny.One),
    ("object", Robot(1, "acme", 4, 2)), ("person", Manager("Cy", 50, favourite=Color.Green, level=3)),
    ("point", Point(1, -2)),
    ("points", [Point(1, 2), Point(3, 4)]), ("colors", [Color.Red, Color.Blue]), ("maybe", None), ("times", [NOON]),
    ("decimals", [decimal.Decimal("1.5"), decimal.Decimal(-2)]), ("cube", [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]),
    ("lists", {"a": [1, 2], "b": []}), ("point_list", [Point(1, 2)]), ("words", [["a", "b"], [None, "a"]]),
    ("marks", {Color.Blue: Point(7, 8)}), ("register", {uuid.UUID(int=1): Person("Bob", 12)}),
]  # fmt: skip


def check_values(values):
    """Send what ``csharp/client.cs`` sends."""
    for name, value in ECHOES:
        assert getattr(values, f"echo_{name}")(value) == value, (name, value)
    ann = Person("Ann", 41, favourite=Color.Green, home=Point(5, 6))
    bob = Person("Bob", 12, friend=ann)
    ann.friend, ann.children = bob, [bob, bob]
    again = values.echo_person(ann)
    assert (again.name, again.age, again.favourite, again.home) == ("Ann", 41, Color.Green, Point(5, 6))
    assert again.friend.friend is again
    assert again.children == [again.friend] * 2
    assert values.echo_persons([ann, None, bob])[2].friend.name == "Ann"
    assert [person.name for person in values.echo_people([ann, bob])] == ["Ann", "Bob"]
    chain = None
    for number in range(3000):
        chain = Node(number, chain)
    length, node = 0, values.echo_node(chain)
    while node is not None:
        length, node = length + 1, node.next
    assert length == 3000


def test_a_python_client_sends_and_gets_values_of_every_kind(there):
    with rpcx.connect(there) as server:
        check_values(server.get(Values, "values"))


def test_what_monos_formatter_cannot_do_is_told(there):
    with rpcx.connect(there) as server:
        values = server.get(Values, "values")
        with pytest.raises(TypeError, match=r"Invalid cast from 'System\.Int32' to 'System\.Nullable"):
            values.echo_maybe(5)
        assert values.echo_time(NOON.replace(tzinfo=None)) == NOON  # it says its own zone, which here is UTC


def check_talk(talk):
    assert talk.join_texts("a", "b") == "a and b"
    assert talk.join_number("a", 3) == "aaa"
    assert talk.divide(17, 5) == (3, 2)
    assert talk.swap("x", "y") == ("y", "x")
    assert talk.find("Ann").age == 33
    with pytest.raises(OutOfStock, match="no more than 3") as caught:
        talk.sell(7)
    assert caught.value.left == 3
    counter = talk.new_counter(10)
    assert counter.next() == 11
    counter.value = 100
    assert counter.value == 100
    assert talk.is_mine(counter)
    assert talk.drive(counter) == 203
    assert 50 < rpcx.lease(counter).renew(60) < 400


def test_a_python_client_calls_csharp(there):
    with rpcx.connect(there) as server:
        remote = server.get(RemoteObjectDef, "RemoteObjectURL")
        remote.set_value("000")
        assert remote.get_value() == "000"
        talk = server.get(Talk, "talk")
        check_talk(talk)
        with pytest.raises(KeyError) as caught:
            talk.fail("KeyNotFound")
        assert "Remote traceback, from .NET" in caught.value.__notes__[0]
        assert "inner" in str(caught.value.__cause__)
        with pytest.raises(ObjectNotFound, match="No receiver for uri /app/nowhere"):
            server.get(Talk, "nowhere").notes()
        assert [server.get(Counter, "once").next() for _ in range(2)] == [1, 1]
        ann = server.create(Served, "Ann", 3)
        assert ann.describe() == "Ann 3"
        assert ann.again(server.create(Served)).describe() == "nobody 0"


def test_oneway_calls_arrive_in_order(there):
    with rpcx.connect(there) as server:
        talk = server.get(Talk, "talk")
        before = talk.notes()
        for number in range(20):
            talk.note(f"n{number}")
        wanted = ",".join(filter(None, [before, *(f"n{number}" for number in range(20))]))
        deadline = time.monotonic() + 20
        while len(talk.notes()) < len(wanted):
            assert time.monotonic() < deadline
        assert sorted(talk.notes().split(",")) == sorted(wanted.split(","))  # there, each runs in a thread of its own


def test_a_python_client_is_called_back(there):
    with rpcx.connect(f"{there}?callbacks=yes") as server:
        radio, listener = server.get(Radio, "radio"), Listener()
        radio.listen(listener)
        assert radio.say("hello") == 5
        radio.add_heard(listener._heard.append)
        radio.say("event")
        radio.remove_heard(listener._heard.append)
        assert listener._heard == ["hello", "event", "event"]
        keeper = Keeper(2)
        counter = server.get(Talk, "talk").new_counter(1)
        rpcx.lease(counter).register(keeper)
        for _ in range(3):
            assert keeper.asked.acquire(timeout=20)


def test_a_python_client_that_listens_nowhere_passes_no_objects(there):
    with rpcx.connect(there) as server, pytest.raises(AccessDenied, match="callbacks=yes"):
        server.get(Radio, "radio").listen(Listener())


def test_calls_at_the_same_time_take_several_connections_and_survive_their_ends(there):
    with rpcx.connect(there) as server, ThreadPoolExecutor(20) as threads:
        talk = server.get(Talk, "talk")

        def fail(_):
            with pytest.raises(KeyError):  # Mono ends the connection behind every exception
                talk.fail("KeyNotFound")
            return talk.join_number("a", 2)

        assert list(threads.map(fail, range(100))) == ["aa"] * 100
        futures = [
            rpcx.future(talk.fail if n % 3 else talk.join_number, *(("Argument",) if n % 3 else ("a", n)))
            for n in range(60)
        ]
        for number, future in enumerate(futures):
            if number % 3:
                with pytest.raises(ValueError, match="bad"):
                    future.result(timeout=30)
            else:
                assert len(future.result(timeout=30)) == number


def test_who_gives_up_leaves_the_others_alone(there):
    with rpcx.connect(there) as server:
        talk = server.get(Talk, "talk")
        with rpcx.options(timeout=0.3), pytest.raises(CallTimeout):
            talk.fail("Sleep")
        assert talk.join_texts("a", "b") == "a and b"


async def in_a_loop(url):
    async with aio.connect(url) as server:
        talk = server.get(Talk, "talk")
        assert await talk.join_texts("a", "b") == "a and b"
        assert [len(text) for text in await asyncio.gather(*(talk.join_number("a", n) for n in range(30)))] == list(
            range(30)
        )
        outcomes = await asyncio.gather(*(talk.sell(1) for _ in range(30)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {OutOfStock}
        counter = await talk.new_counter(1)
        assert await counter.next() == 2


def test_the_same_in_a_loop(there):
    asyncio.run(in_a_loop(there))


# --- Python calls Python ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?formatter=soap", "?formatter=binary"])
def test_both_ends_in_python(url, query):
    with rpcx.connect(f"dotnet+{url}{query}") as server:
        check_talk(server.get(Talk, "talk"))
        check_values(server.get(Values, "values"))
        values = server.get(Values, "values")
        assert values.echo_maybe(5) == 5
        assert values.echo_time(NOON.replace(tzinfo=None)) == NOON.replace(tzinfo=None)
        assert server.create(Basket, "Ann", 3).describe() == "Ann 3"


def test_a_formatter_that_is_not_there_is_told(url):
    with pytest.raises(ValueError, match="formatter=json is not known; soap or binary"):
        rpcx.connect(f"dotnet+{url}?formatter=json")


def test_oneway_calls_are_accepted_and_run_in_order(url):
    with rpcx.connect(f"dotnet+{url}") as server:
        talk = server.get(Talk, "talk")
        for number in range(100):
            talk.note(str(number))
        deadline = time.monotonic() + 20
        while talk.notes().count(",") < 99:
            assert time.monotonic() < deadline
        assert talk.notes() == ",".join(map(str, range(100)))


def test_a_host_in_a_loop():
    async def both():
        host = rpcx.Host()
        host.register(Talk)
        where = host.listen(URL)
        async with host:
            await in_a_loop(where)

    asyncio.run(both())


def test_over_tcp_nothing_of_it_is_imported():
    program = (
        "import sys, rpcx; from rpcx import dotnet\n"
        "host = rpcx.Host(); host.listen('dotnet+tcp://127.0.0.1:0'); host.close()\n"
        "print(sorted({'lxml', 'h11', 'rpcx.interop.dotnet.soap'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_it_needs_is_told_where_it_is_missing():
    program = (
        "import sys; sys.modules['lxml'] = None\n"
        "import rpcx\n"
        "try: rpcx.connect('dotnet+http://127.0.0.1:1')\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "dotnet+http needs lxml: pip install 'rpcx[dotnet]'\n"


# --- who may come -------------------------------------------------------------------------------------------------


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(NotSent):
        rpcx.connect(f"dotnet+http://127.0.0.1:{port}")


# --- strangers ----------------------------------------------------------------------------------------------------


ACTION = 'SOAPAction: ""\r\n'
HEAD = b"POST /app/talk HTTP/1.1\r\nHost: localhost\r\nSOAPAction: a\r\nContent-Type: text/xml\r\n"


class Raw:
    """A connection that says what it likes."""

    def __init__(self, url):
        host, _, port = url.partition("://")[2].partition("/")[0].rpartition(":")
        self.sock = socket.create_connection((host, int(port)), timeout=20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def post(self, body=b"", path="/app/talk", content="text/xml", method="POST", host="localhost", more=ACTION):
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content}\r\n{more}"
        self.sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return self.answer()

    def answer(self):
        """(status, body); (0, what came) at the end of the connection."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.sock.recv(65536)
            if not more:
                return 0, data
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length"))
        while len(body) < length:
            body += self.sock.recv(65536)
        return int(head.split()[1]), body


def call(method, *values):
    """A call as nobody but us writes it."""
    inner = "".join(f"<{name} xmlns=''>{value}</{name}>" for name, value in values)
    return vectors.recorded(f'<{method} xmlns="urn:any">{inner}</{method}>')


def test_a_client_of_another_kind_needs_to_say_no_types(url):
    with Raw(url) as raw:
        status, body = raw.post(call("Divide", ("a", 17), ("b", 5)))
        assert status == 200
        assert b'<return xsi:type="xsd:int">3</return><rest xsi:type="xsd:int">2</rest>' in body
        assert b"DivideResponse" in body
        assert b'="urn:any"' in body
        assert raw.post(vectors.JOIN)[0] == 200
        status, body = raw.post(call("EchoColor", ("v", "Blue")), "/app/values")
        assert (status, b">40</return>" in body) == (200, True)
        status, body = raw.post(call("EchoPoint", ("v", "<X>1</X><Y>2</Y>")), "/values")
        assert (status, b"<X>1</X><Y>2</Y></return>" in body) == (200, True)
        status, body = raw.post(call("EchoTime", ("v", "2024-02-29T12:00:00Z")), "/values")
        assert (status, b'xsi:type="xsd:dateTime">2024-02-29T12:00:00.0000000Z<' in body) == (200, True)


MICROSOFT = (
    "User-Agent: Mozilla/4.0+(compatible; MSIE 6.0; Windows 6.2.9200.0; MS .NET Remoting; MS .NET CLR 4.0.30319)\r\n"
    f"{ACTION}"
)


def test_each_kind_of_client_is_answered_as_it_reads(url):
    time_ = call("EchoTime", ("v", "2024-02-29T12:00:00Z"))
    with Raw(url) as raw:
        assert b'xsi:type="xsd:dateTime">2024' in raw.post(time_, "/values", more=MICROSOFT)[1]
        assert b":DateTime id=" in raw.post(time_, "/values", more=f"User-Agent: Mono Remoting\r\n{ACTION}")[1]
        status, body = raw.post(vectors.DICTIONARY, "/values", more=MICROSOFT)
        assert status == 500
        assert b"is a generic type, and .NET's SoapFormatter has none" in body
        assert raw.post(vectors.DICTIONARY, "/values")[0] == 200


@pytest.mark.parametrize(
    ("body", "path", "reason"),
    [
        (b"", "/app/talk", "no XML"),
        (b"<a>", "/app/talk", "no XML"),
        (b"<a/>", "/app/talk", "no SOAP 1.1"),
        (call("Nothing"), "/app/talk", "has no remote method 'Nothing'"),
        (call("Divide", ("a", 1)), "/app/talk", "1 arguments came, and it has: a, b"),
        (call("Divide", ("a", "x"), ("b", 1)), "/app/talk", "'x' is no System.Int32"),
        (call("Notes"), "/app/nowhere", "no such object"),
        (call("Notes"), "/app/rpcx", "is not offered to .NET"),
        (call("__init__"), "/app/talk", "has no remote method"),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "/app/talk", "document type"),
    ],
)
def test_a_call_that_cannot_be_made_is_answered_with_a_fault(url, body, path, reason):
    with Raw(url) as raw:
        status, answer = raw.post(body, path)
        assert status == 500
        assert b"<SOAP-ENV:Fault" in answer
        assert reason in html.unescape(answer.decode())
        assert raw.post(vectors.DIVIDE)[0] == 200  # and others are served on the same connection


def test_an_unknown_type_is_an_error_that_names_it(url):
    for written, name in (
        ("urn:shop", "{urn:shop}Order"),
        ("http://schemas.microsoft.com/clr/ns/System.IO", "System.IO.Order"),
    ):
        with Raw(url) as raw:
            value = f'<o:Order xmlns:o="{written}" id="ref-2"><a>1</a></o:Order>'
            data = vectors.recorded(f'<Unknown xmlns="urn:any"><anything href="#ref-2" xmlns=""/></Unknown>{value}')
            status, body = raw.post(data)
            assert status == 500
            assert f"{name} means nothing here: map a class to it" in html.unescape(body.decode())


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({"method": "GET"}, 405), ({"method": "OPTIONS"}, 405), ({"content": "application/x-www-form-urlencoded"}, 415),
        ({"more": f"Origin: http://evil.example\r\n{ACTION}"}, 403),
        ({"more": f"Sec-Fetch-Mode: cors\r\n{ACTION}"}, 403),
        ({"content": "text/plain"}, 415), ({"more": ""}, 400), ({"host": "evil.example"}, 421), ({"path": "/"}, 404),
        ({"content": "text/xml; charset=utf-7"}, 415),
    ],
)  # fmt: skip
def test_what_is_no_call_gets_a_status(url, how, status):
    with Raw(url) as raw:
        assert raw.post(**how)[0] == status
        assert raw.post(vectors.DIVIDE)[0] == 200


def test_a_stranger_is_turned_away_and_others_notice_nothing(url):
    with Raw(url) as raw, Raw(url) as other:
        raw.sock.sendall(b".NET\x01\x00\x00\x00\r\n\r\n")
        assert raw.answer()[0] == 400
        assert raw.answer()[0] == 0
        assert other.post(vectors.DIVIDE)[0] == 200


def test_a_host_is_called_by_its_machines_name_and_by_those_that_its_url_says(serving):
    host = rpcx.Host()
    host.register(Talk)
    with Raw(serving(host, f"{URL}?names=shop,Shop.example")) as raw:
        for name in ("shop", "SHOP:80", "shop.example", socket.gethostname()):
            assert raw.post(vectors.DIVIDE, host=name)[0] == 200
        assert raw.post(vectors.DIVIDE, host="shop.evil.example")[0] == 421


def test_who_sends_ahead_is_cut_off(url):
    with Raw(url) as raw:
        head = HEAD + b"Content-Length: %d\r\n\r\n" % len(vectors.DIVIDE)
        raw.sock.sendall((head + vectors.DIVIDE) * 2)
        while raw.answer()[0]:
            pass


def test_a_connection_is_closed_behind_an_answer_where_that_is_asked(url):
    with Raw(url) as raw:
        assert raw.post(vectors.DIVIDE, more=f"Connection: close\r\n{ACTION}")[0] == 200
        assert raw.answer()[0] == 0
    with Raw(url) as raw:
        raw.sock.sendall(
            b"POST /app/talk HTTP/1.0\r\nSOAPAction: a\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n"
            % len(vectors.DIVIDE)
        )
        raw.sock.sendall(vectors.DIVIDE)
        assert raw.answer()[0] == 200
        assert raw.answer()[0] == 0


def test_a_large_message_is_refused_before_it_is_read(serving):
    host = rpcx.Host(limits=rpcx.Limits(message=10_000))
    host.register(Talk)
    with Raw(serving(host, URL)) as raw:
        raw.sock.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: 10001\r\n\r\n")
        assert raw.answer()[0] == 413
        assert raw.answer()[0] == 0


# --- servers that are none ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def pretending(*answers):
    """A server that says the same to everybody."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with contextlib.suppress(OSError):
                for answer in answers:
                    conn, _ = listener.accept()
                    with conn:
                        conn.recv(65536)
                        conn.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"dotnet+http://127.0.0.1:{listener.getsockname()[1]}/app"
        finally:
            thread.join()


def response(line, body=b"", content="text/html"):
    return b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (line, content.encode(), len(body)) + body


@pytest.mark.parametrize(
    ("answer", "error", "reason", "executed"),
    [
        (response(b"404 Not Found", b"<h1>who?"), RemoteError, r"404 Not Found: who\?", "no"),
        (
            response(b"401 Unauthorized", b"who are you?", "text/plain"),
            RemoteError,
            "401 Unauthorized: who are you",
            "no",
        ),
        (response(b"502 Bad Gateway"), RemoteError, "502 Bad Gateway", "maybe"),
        (response(b"200 OK", b"<h1>"), RemoteError, "an answer of type 'text/html'", "maybe"),
        (response(b"200 OK", b"<h1>", "text/xml"), ProtocolError, "no XML", None),
        (b"+OK POP3 ready\r\n\r\n", MaybeExecuted, "no HTTP", "maybe"),
    ],
)
def test_an_answer_that_is_none_is_told(answer, error, reason, executed):
    with pretending(answer) as url, rpcx.connect(url) as server:
        with pytest.raises(error, match=reason) as caught:
            server.get(Talk, "talk").notes()
        assert executed is None or caught.value.executed == executed


def test_an_idle_connection_is_left_before_the_server_ends_it(monkeypatch):
    monkeypatch.setattr(caller, "MARGIN_SECONDS", 0.3)
    body = vectors.recorded('<NotesResponse xmlns="urn:x"><return xmlns="">done</return></NotesResponse>')
    kept = response(b"200 OK\r\nKeep-Alive: timeout=0", body, "text/xml")
    with pretending(kept, kept) as url, rpcx.connect(url) as server:
        talk = server.get(Talk, "talk")
        assert talk.notes() == "done"
        lines = talk._rpcx_ref.endpoint.lines
        deadline = time.monotonic() + 10
        while lines.open:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert talk.notes() == "done"  # over another


def test_the_same_in_a_loop_of_ones_own(monkeypatch):
    monkeypatch.setattr(caller, "MARGIN_SECONDS", 0.3)
    body = vectors.recorded('<NotesResponse xmlns="urn:x"><return xmlns="">done</return></NotesResponse>')
    kept = response(b"200 OK\r\nKeep-Alive: timeout=0", body, "text/xml")

    async def twice(url):
        async with aio.connect(url) as server:
            talk = server.get(Talk, "talk")
            assert await talk.notes() == "done"
            async with asyncio.timeout(10):
                while talk._rpcx_ref.endpoint.lines.open:
                    await asyncio.sleep(0.01)
            assert await talk.notes() == "done"

    with pretending(kept, kept) as url:
        asyncio.run(twice(url))
