"""Frames over HTTP, without a network."""

import http

import pytest

from rpcx.errors import ProtocolError
from rpcx.interop.dotnet.framing import BINARY, XML, Frame, Operation
from rpcx.interop.dotnet.http_wire import HEAD, HttpClientWire, HttpServerWire

HOST = "127.0.0.1:1233"
LIMIT = 1000


def post(body=b"<x/>", path="/app/talk", content='text/xml; charset="utf-8"', *headers: str, method="POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", 'SOAPAction: ""', f"Content-Type: {content}", *headers]
    if not any(line.startswith("Transfer-Encoding") for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def ask(uri: str, body: bytes = b"<a/>") -> Frame:
    """A call in SOAP."""
    return Frame(Operation.REQUEST, body, uri, XML, custom={"SOAPAction": '"urn:x#Y"'})


def heard(wire, data: bytes):
    """The one thing that bytes complete."""
    (message,) = wire.receive(data)
    return message


def status(wire, data: bytes) -> str:
    """What a request that is no call is answered."""
    return heard(wire, data).split(b"\r\n")[0].decode()


@pytest.fixture
def server():
    return HttpServerWire(LIMIT)


@pytest.fixture
def client():
    return HttpClientWire(HOST, LIMIT)


# --- calls --------------------------------------------------------------------------------------------------------


def test_a_call_is_a_post_and_its_answer_the_response(server, client):
    request = heard(server, client.pack(ask(f"http://{HOST}/app/talk")))
    assert (request.operation, request.body, request.uri, request.content_type) == (
        Operation.REQUEST, b"<a/>", "/app/talk", XML,
    )  # fmt: skip
    assert (request.custom, request.agent) == ({"soapaction": '"urn:x#Y"'}, "rpcx")
    answer = heard(client, server.pack(Frame(Operation.REPLY, b"<b/>", content_type=XML)))
    assert (answer.operation, answer.body, answer.content_type, answer.fault) == (Operation.REPLY, b"<b/>", XML, False)
    assert (answer.failure, answer.closes, answer.agent) == (None, False, "rpcx")
    assert not server.over


def test_many_calls_take_one_connection(server, client):
    for number in range(20):
        body = b"%d" % number
        assert heard(server, client.pack(Frame(Operation.REQUEST, body, "talk", BINARY))).body == body
        assert heard(client, server.pack(Frame(Operation.REPLY, body, content_type=BINARY))).body == body
        assert server.between
        assert client.between


def test_an_exception_is_a_response_with_status_500(server, client):
    heard(server, client.pack(ask("talk")))
    data = server.pack(Frame(Operation.REPLY, b"<b/>", content_type=XML, fault=True))
    assert data.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b'Content-Type: text/xml; charset="utf-8"\r\n' in data
    answer = heard(client, data)
    assert (answer.fault, answer.failure, answer.body) == (True, None, b"<b/>")


def test_a_oneway_call_is_accepted_with_status_202(server, client):
    heard(server, client.pack(Frame(Operation.ONEWAY, b"\0", "talk", BINARY)))
    data = server.pack(Frame(Operation.REPLY))
    assert data.startswith(b"HTTP/1.1 202 Accepted\r\n")
    assert heard(client, data).body == b""


@pytest.mark.parametrize(
    ("uri", "target", "path"),
    [
        ("http://127.0.0.1:1233/app/talk", b"/app/talk", "/app/talk"),
        ("2b1e_x/202a_3.rem", b"/2b1e_x/202a_3.rem", "/2b1e_x/202a_3.rem"),
        ("/app/größe 1", b"/app/gr%C3%B6%C3%9Fe%201", "/app/größe 1"),
    ],
)
def test_an_objects_uri_is_the_path(server, client, uri, target, path):
    data = client.pack(ask(uri))
    assert data.split()[1] == target
    assert heard(server, data).uri == path


@pytest.mark.parametrize("target", ["/app/talk?wsdl", "http://127.0.0.1:1233/app/talk", "//app/talk", "/app/ta%6Ck"])
def test_targets_of_other_clients(server, target):
    assert heard(server, post(path=target)).uri.replace("//", "/") == "/app/talk"


# --- in pieces ----------------------------------------------------------------------------------------------------


def test_every_cut_of_a_request_gives_the_same(client):
    data = client.pack(ask("talk"))
    for at in range(len(data) + 1):
        server = HttpServerWire(LIMIT)
        messages = [*server.receive(data[:at]), *server.receive(data[at:])]
        assert [message.body for message in messages] == [b"<a/>"]


def test_every_byte_of_a_response_by_itself(server, client):
    heard(server, client.pack(ask("talk")))
    data = server.pack(Frame(Operation.REPLY, b"<b/>", content_type=XML))
    messages = [message for byte in data for message in client.receive(bytes([byte]))]
    assert [message.body for message in messages] == [b"<b/>"]


def test_chunks_are_put_together(server):
    data = post(b"2\r\n<a\r\n2\r\n/>\r\n0\r\n\r\n", "/talk", "text/xml", "Transfer-Encoding: chunked")
    assert heard(server, data).body == b"<a/>"


def test_what_is_missing_is_known(server):
    assert list(server.receive(post(b"x" * 100)[:-40])) == []
    assert not server.between
    assert server.wanted == 40


def test_who_asks_whether_to_go_on_goes_on(server):
    head = post(b"<a/>", "/talk", "text/xml", "Expect: 100-continue")[:-4]
    assert heard(server, head) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert heard(server, b"<a/>").body == b"<a/>"


def test_who_does_not_wait_for_that_is_not_told(server):
    data = post(b"<a/>", "/talk", "text/xml", "Expect: 100-continue")
    messages = list(server.receive(data))
    assert messages[-1].body == b"<a/>"


# --- what is no call ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (post(method="GET"), "405 Method Not Allowed"),
        (post(b"", method="HEAD"), "405 Method Not Allowed"),
        (post(method="PUT"), "405 Method Not Allowed"),
        (post(b"", "*", method="OPTIONS"), "405 Method Not Allowed"),
        (post(content="text/plain"), "415 Unsupported Media Type"),
        (post(content="text/html"), "415 Unsupported Media Type"),
        (post(content=""), "415 Unsupported Media Type"),
        (post(content="text/xml; charset=utf-16"), "415 Unsupported Media Type"),
        (post(b"x", "/talk", "text/xml", "Content-Encoding: gzip"), "415 Unsupported Media Type"),
        (post(b"x", "/talk", "text/xml", "Origin: http://evil.example"), "403 Forbidden"),
        (post(b"x", "/talk", "text/xml", "Sec-Fetch-Mode: no-cors"), "403 Forbidden"),
        (post(path="/"), "404 Not Found"),
        (post(b"x", "/talk", "text/xml", *(f"X-{n}: 1" for n in range(70))), "431 Request Header Fields Too Large"),
    ],
)
def test_a_request_that_is_no_call_gets_its_status_and_the_connection_stays(server, data, line):
    assert status(server, data) == f"HTTP/1.1 {line}"
    assert not server.over
    assert heard(server, post()).body == b"<x/>"


def test_a_soap_call_has_an_action_and_a_binary_one_needs_none(server):
    without = post().replace(b'SOAPAction: ""\r\n', b"")
    assert status(server, without) == "HTTP/1.1 400 Bad Request"
    assert b"SOAP 1.1 has a SOAPAction header" in heard(server, without)
    assert heard(server, without.replace(b'text/xml; charset="utf-8"', BINARY.encode())).body == b"<x/>"


def called(host: str) -> bytes:
    """A request to a machine by one of its names."""
    return post().replace(f"Host: {HOST}".encode(), f"Host: {host}".encode())


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:1", "192.0.2.7:1233", "[::1]:1233", "[2001:db8::1]", "localhost", "LOCALHOST:80",
     "localhost.", "shop:1233", "Shop.example.", "shop"],
)  # fmt: skip
def test_who_calls_this_machine_by_an_address_or_a_name_of_its_own_is_served(host):
    server = HttpServerWire(LIMIT, {"shop", "shop.example"})
    assert heard(server, called(host)).body == b"<x/>"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:1233", "127.0.0.1.evil.example", "localhost.evil.example", "shop.evil.example",
     "evil.example:127.0.0.1", "", ":1233", "[localhost", "[evil.example]", "user@127.0.0.1", "127.1", "0x7f000001"],
)  # fmt: skip
def test_no_page_leads_a_browser_here_by_a_name_of_its_own(host):
    server = HttpServerWire(LIMIT, {"shop", "shop.example"})
    assert status(server, called(host)) == "HTTP/1.1 421 Misdirected Request"
    assert not server.over
    assert heard(server, post()).body == b"<x/>"


def test_who_asks_with_another_method_is_told_which_is_there(server):
    assert b"\r\nAllow: POST\r\n" in heard(server, post(b"", method="GET"))


@pytest.mark.parametrize(
    "data",
    [
        post(b"x" * (LIMIT + 1)),
        post(b"", "/talk", "text/xml", "Expect: 100-continue", f"Content-Length: {10**12}").replace(
            b"Content-Length: 0\r\n", b""
        ),
        post(b"3e9\r\n" + b"x" * 1001, "/talk", "text/xml", "Transfer-Encoding: chunked") + b"\r\n0\r\n\r\n",
    ],
)
def test_a_body_that_is_too_large_is_refused(data):
    server = HttpServerWire(LIMIT)
    assert status(server, data) == f"HTTP/1.1 413 {http.HTTPStatus(413).phrase}"  # newer Pythons know a newer name


def test_what_is_refused_is_not_read_to_its_end(server):
    head = post(b"", "/talk", "text/plain").replace(b"Content-Length: 0", b"Content-Length: 999999999")
    answers = [message for _ in range(10) for message in server.receive(head) or ()][:1]
    answers += [message for _ in range(10) for message in server.receive(b"x" * 8192)]
    assert len(answers) == 1
    assert b"\r\nConnection: close\r\n" in answers[0]
    assert server.over
    assert list(server.receive(b"x" * 100_000)) == []


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400 Bad Request"),
        (b".NET\x01\x00\x00\x00\x00\x00\x04\x00\x00\x00\r\n\r\n", "400 Bad Request"),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400 Bad Request"),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "400 Bad Request"),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", "400 Bad Request"),
        (b"POST /x HTTP/1.1\r\n\r\n", "400 Bad Request"),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "501 Not Implemented"),
        (b"POST /x HTTP/1.1\r\nX: " + b"x" * HEAD, "431 Request Header Fields Too Large"),
        (b"POST /" + b"x" * HEAD, "431 Request Header Fields Too Large"),
        (b"x" * HEAD * 2, "431 Request Header Fields Too Large"),
    ],
)
def test_bytes_that_are_no_http_get_a_last_word(server, data, line):
    messages = server.receive(data)
    assert next(messages).split(b"\r\n")[0].decode() == f"HTTP/1.1 {line}"
    with pytest.raises(ProtocolError, match="no HTTP"):
        next(messages)
    assert server.over


def test_a_request_before_the_last_one_was_answered_is_refused(server):
    heard(server, post())
    with pytest.raises(ProtocolError, match="before the last one was answered"):
        list(server.receive(post()))


def test_two_requests_at_once_are_too_many(server):
    messages = server.receive(post() + post())
    assert next(messages).body == b"<x/>"
    server.pack(Frame(Operation.REPLY, b"<y/>", content_type=XML, fault=True))  # at once, as what cannot be made
    with pytest.raises(ProtocolError, match="before the last one was answered"):
        list(messages)


def test_who_wants_the_connection_closed_gets_it_closed(server):
    heard(server, post(b"<x/>", "/talk", "text/xml", "Connection: close"))
    assert b"\r\nConnection: close\r\n" in server.pack(Frame(Operation.REPLY, b"x", content_type=XML))
    assert server.over


def test_an_answer_to_nobody_is_not_sent(server):
    heard(server, post(b"<x/>", "/talk", "text/xml", "Connection: close"))
    server.pack(Frame(Operation.REPLY, b"x", content_type=XML))
    assert server.pack(Frame(Operation.REPLY, b"x", content_type=XML)) == b""


# --- what a client hears ------------------------------------------------------------------------------------------


def answer(line: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {line}", *headers, f"Content-Length: {len(body)}", "", ""]).encode() + body


@pytest.fixture
def asking(client):
    client.pack(ask("talk"))
    return client


@pytest.mark.parametrize(
    ("data", "failure", "uncertain"),
    [
        (
            answer("404 Not Found", "Content-Type: text/html", body=b"<h1>No, <b>such</b>"),
            "404 Not Found: No, such",
            False,
        ),
        (answer("415 No", "Content-Type: text/plain", body=b"why not\n"), "415 No: why not", False),
        (answer("302 Found", "Location: http://192.0.2.1/"), "302 Found", False),
        (answer("500 Oops", "Content-Type: text/html", body=b"<h1>"), "500 Oops", True),
        (answer("503 Busy"), "503 Busy", True),
    ],
)
def test_a_refusal_is_a_failure_and_says_whether_the_call_may_have_run(asking, data, failure, uncertain):
    frame = heard(asking, data)
    assert (frame.failure, frame.uncertain) == (failure, uncertain)


def test_what_comes_before_an_answer_is_passed_over(asking):
    data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + answer("200 OK", body=b"x")
    assert heard(asking, data).body == b"x"


def test_how_long_a_connection_is_kept_is_heard(asking):
    heard(asking, answer("200 OK", "Keep-Alive: timeout=15,max=100"))
    assert asking.patience == 15
    asking.pack(ask("talk"))
    frame = heard(asking, answer("200 OK", "Connection: close", "Keep-Alive: timeout=soon"))
    assert asking.patience is None
    assert frame.closes
    assert asking.over


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nx", "does not say where it ends"),
        (answer("200 OK", body=b"x" * (LIMIT + 1)), f"of {LIMIT + 1} bytes"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"64\r\n" + (b"x" * 100 + b"\r\n64\r\n") * 11,
            "more than 1000 bytes",
        ),
        (answer("200 OK", *(f"X-{n}: 1" for n in range(70))), "more than 64 headers"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * HEAD * 2, "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "no HTTP"),
    ],
)
def test_an_answer_that_makes_no_sense_ends_the_connection(asking, data, reason):
    with pytest.raises(ProtocolError, match=reason):
        list(asking.receive(data))
