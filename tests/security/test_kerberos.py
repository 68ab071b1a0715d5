"""Kerberos as an authenticator: who gets in by a ticket of a real KDC, and every way not to."""

import asyncio
import contextlib
import itertools
import json
import socket
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rpcx
import rpcx.aio
from examples.ports import free_port
from rpcx.abc import Binding, PeerFacts
from rpcx.errors import AuthenticationFailed
from rpcx.protocol.opening import MOST_MESSAGES
from rpcx.security import kerberos
from rpcx.security.kerberos import LAST, MORE, MOST_PARTS, UNKNOWN, KerberosAuthenticator
from tests.end_to_end.test_tls import LoopHost
from tests.security.realm import HOSTNAME, PARTNER, REALM, SERVICE, SKEW, why_not
from tests.security.test_gss import foreign, native

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "there is a realm")

NUMBERS = itertools.count()
CERTIFICATE = b"S" * 32


def binding(nonce: bytes = b"s" * 32, *, certificate: bytes = CERTIFICATE, dialled: str = "") -> Binding:
    return Binding(b"h" * 32, certificate, b"C" * 32, b"c" * 32, nonce, PeerFacts("tcp", "x", dialled=dialled))


@pytest.fixture(scope="session")
def ann(kdc) -> str:
    return kdc.tickets("ann")


@pytest.fixture(scope="session")
def bob(kdc) -> str:
    return kdc.tickets("bob")


@pytest.fixture(autouse=True)
def here(realm):
    """Each of these is in the realm."""


class Two:
    """A client and a host, without a network between them."""

    def __init__(self, realm, tickets: str) -> None:
        self.realm = realm
        self.tickets = tickets

    def client(self, at: Binding | None = None, **options):
        how = {"hostname": HOSTNAME, "ccache": self.tickets, **options}
        return KerberosAuthenticator(**how).client(at or binding())

    def host(self, at: Binding | None = None, **options):
        return KerberosAuthenticator(**{"keytab": self.realm.service, **options}).server(at or binding())

    def proved(self, client=None, host=None, **options):
        """Who the client proves to be."""
        client, host = client or self.client(), host or self.host(**options)
        said, proved = b"", None
        for _ in range(MOST_MESSAGES):
            said, proved = host.step(client.step(said))
            if proved is not None:
                client.admitted(said)
                return proved
        raise AssertionError("it does not end")


@pytest.fixture
def two(realm, ann) -> Two:
    return Two(realm, ann)


# --- who gets in --------------------------------------------------------------------------------------------


def test_who_has_a_ticket_is_known_by_principal_and_realm_for_as_long_as_it_is_good(two):
    proved = two.proved()
    assert (proved.principal, proved.roles) == (f"ann@{REALM}", frozenset())
    assert 0 < proved.seconds <= 24 * 3600 + SKEW


def test_roles_are_those_the_host_gives_to_principals(two, bob):
    roles = {f"ann@{REALM}": ["teller", "boss"], f"carl@{REALM}": ["boss"]}
    assert two.proved(roles=roles).roles == {"teller", "boss"}
    assert Two(two.realm, bob).proved(roles=roles).roles == frozenset()


def test_a_principal_loses_its_realm_only_where_the_host_says_so(two):
    assert two.proved(without_realm=REALM, roles={"ann": ["teller"]}).principal == "ann"
    assert two.proved(without_realm=REALM, roles={"ann": ["teller"]}).roles == {"teller"}
    assert two.proved(without_realm=PARTNER).principal == f"ann@{REALM}"


def test_a_programs_principal_is_one_as_any_and_its_keytab_is_enough(realm, two, monkeypatch, tmp_path):
    batch = "batch/night.example.com"
    monkeypatch.setenv("KRB5_CLIENT_KTNAME", realm.keytab(batch))
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path / 'made'}")
    proved = two.proved(two.client(ccache=None), roles={f"{batch}@{REALM}": ["reader"]})
    assert (proved.principal, proved.roles) == (f"{batch}@{REALM}", {"reader"})


def test_another_realm_is_admitted_where_it_is_named_and_its_ann_is_another(realm, two):
    partner = Two(realm, realm.tickets("ann", realm=PARTNER))
    with pytest.raises(AuthenticationFailed, match=f"ann@{PARTNER} is of a realm that is not admitted here"):
        partner.proved(partner.client(realm=REALM))
    both = {"realms": [REALM, PARTNER], "roles": {f"ann@{REALM}": ["teller"]}, "without_realm": REALM}
    proved = partner.proved(partner.client(realm=REALM), partner.host(**{**both, "roles": {"ann": ["teller"]}}))
    assert (proved.principal, proved.roles) == (f"ann@{PARTNER}", frozenset())
    with pytest.raises(AuthenticationFailed, match=f"ann@{REALM} is of a realm"):
        two.proved(realms=[PARTNER])


def test_the_host_is_the_machine_of_the_url_or_this_one(two, realm):
    client = KerberosAuthenticator(ccache=two.tickets)
    assert client._host("Files.Example.Com.") == HOSTNAME
    for here in ("", "localhost", "127.0.0.1", "::1"):
        assert client._host(here) == socket.gethostname().lower()
    assert KerberosAuthenticator(hostname="a.b")._host("files.example.com") == "a.b"
    for odd in ("fe80::1", "host/x", "evil@OTHER.ORG", "a\\b"):
        with pytest.raises(AuthenticationFailed, match="say as which: hostname="):
            client._host(odd)
    assert two.proved(client.client(binding(dialled="files.example.com"))).principal == f"ann@{REALM}"


def test_a_ticket_that_needs_more_than_one_message_arrives(two, monkeypatch):
    monkeypatch.setattr(kerberos, "PART", 300)  # a ticket with the groups of an Active Directory has many kilobytes
    client, said = two.client(), []
    step = client.step
    client.step = lambda message: said.append(step(message)) or said[-1]
    assert two.proved(client).principal == f"ann@{REALM}"
    assert [part[:1] for part in said[:-1]] == [MORE, MORE, LAST]
    assert len(said) == MOST_PARTS + 1
    monkeypatch.setattr(kerberos, "PART", 200)
    with pytest.raises(AuthenticationFailed, match="bytes, and at most 600 can be shown"):
        two.client().step(b"")


# --- who does not -------------------------------------------------------------------------------------------


def test_a_ticket_for_another_service_or_host_is_refused(realm, two):
    others = ("http/one.example.com", "rpcx/one.example.com", "rpcx/two.example.com")
    keytab = realm.keytab(*others)
    with pytest.raises(
        AuthenticationFailed, match="the ticket is for http/one.example.com@EXAMPLE.COM, and this is rp"
    ):
        two.proved(two.client(service="http", hostname="one.example.com"), two.host(keytab=keytab))
    for hostname in (None, "TWO.example.com"):
        client, host = two.client(hostname="two.example.com"), two.host(keytab=keytab, hostname=hostname)
        assert two.proved(client, host).principal == f"ann@{REALM}"
    with pytest.raises(AuthenticationFailed, match="the ticket is for rpcx/two.example.com@EXAMPLE.COM"):
        two.proved(two.client(hostname="two.example.com"), two.host(keytab=keytab, hostname="one.example.com"))
    with pytest.raises(ValueError, match="it has no key of rpcx/three.example.com, but of http/one.example.com@"):
        two.host(keytab=keytab, hostname="three.example.com")


def test_a_host_with_another_key_believes_nobody_and_does_not_say_why(realm, two):
    old = realm.keytab("rpcx/moved.example.com")
    realm.keytab("rpcx/moved.example.com")  # a newer one, which the host has not got
    for keytab in (old, realm.service):
        host = two.host(keytab=keytab)
        with pytest.raises(AuthenticationFailed) as refused:
            host.step(two.client(hostname="moved.example.com").step(b""))
        assert str(refused.value) == UNKNOWN
        assert "not found in keytab" in str(refused.value.__cause__)


def test_garbage_is_refused_in_the_same_words(two, ann):
    for name, token in foreign(ann).items():
        for message in (LAST + token, token, MORE + token):
            host = two.host()
            with pytest.raises(AuthenticationFailed) as refused:
                host.step(message)
                host.step(LAST)
            assert str(refused.value) == UNKNOWN, name


def test_a_client_that_binds_nothing_to_the_channel_is_refused(two, ann):
    from rpcx.security.gss import DEMANDED

    for flags in (int(DEMANDED), 32):
        token = native(ann, flags=flags).step()
        with pytest.raises(AuthenticationFailed, match="does not demand what is demanded here"):
            two.host().step(LAST + token)


def test_ntlm_is_refused_by_a_client_too(two, ann):
    for name, token in foreign(ann).items():
        client = two.client()
        client.step(b"")
        with pytest.raises(AuthenticationFailed, match="proves nothing between this user and rpcx/files"):
            client.step(len(token).to_bytes(2, "big") + token)
        with pytest.raises(AuthenticationFailed, match="has not proved that it is"):
            client.admitted(b"")
        assert name


def test_a_server_that_does_not_prove_itself_is_not_believed(two):
    client = two.client()
    client.step(b"")
    with pytest.raises(AuthenticationFailed, match=f"has not proved that it is {SERVICE}$"):
        client.admitted(b"")  # straight behind the ticket
    client, host = two.client(), two.host()
    answer, _ = host.step(client.step(b""))
    for wrong in (answer[:-1], answer[:-1] + bytes([answer[-1] ^ 1]), b"", b"\xff\xff", answer + b"\0"):
        other = two.client()
        other.step(b"")
        with pytest.raises(AuthenticationFailed):
            other.step(wrong)  # nor is what another client was told
    client.step(answer)
    with pytest.raises(AuthenticationFailed, match="asks for more"):
        client.step(b"")
    with pytest.raises(AuthenticationFailed):
        client.admitted(b"and more")
    early = two.client()
    with pytest.raises(AuthenticationFailed, match="speaks before"):
        early.step(b"hello")


# --- stolen, repeated, passed on ----------------------------------------------------------------------------


def test_a_ticket_that_is_shown_again_is_refused(two):
    client = two.client()
    message = client.step(b"")
    two.host().step(message)
    with pytest.raises(AuthenticationFailed, match="was shown before"):
        two.host().step(message)
    with pytest.raises(AuthenticationFailed, match="was shown before"):
        two.host(binding(b"another server's nonce, 32 bytes")).step(message)


def test_a_ticket_for_the_channel_to_another_server_is_refused(two):
    """Who has a client call a server of its own passes on what it hears; its certificate is another."""
    message = two.client(binding(certificate=b"E" * 32)).step(b"")
    with pytest.raises(AuthenticationFailed, match="on another connection than it was made for"):
        two.host().step(message)


def test_a_stolen_ticket_is_worth_nothing_on_another_connection_to_the_same_server(two):
    """It has not arrived, so it is no replay; but who stole it cannot sign."""
    thiefs = binding(b"another server's nonce, 32 bytes")
    client, host = two.client(), two.host(thiefs)
    answer, _ = host.step(client.step(b""))
    with pytest.raises(AuthenticationFailed):  # nor has the client sign: the host has signed for the thief's connection
        client.step(answer)
    for signed in (b"", answer[-28:], bytes(28)):
        with pytest.raises(AuthenticationFailed) as refused:
            host.step(signed)
        assert str(refused.value) == UNKNOWN
        host = two.host(thiefs)
        answer, _ = host.step(two.client().step(b""))


def test_where_there_is_no_certificate_the_ticket_is_tied_to_this_connection(two):
    pipe = binding(certificate=bytes(32))
    assert two.proved(two.client(pipe), two.host(pipe)).principal == f"ann@{REALM}"
    with pytest.raises(AuthenticationFailed, match="on another connection"):
        two.host(binding(b"another server's nonce, 32 bytes", certificate=bytes(32))).step(two.client(pipe).step(b""))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(garbage=st.binary(max_size=400), at=st.integers(0, 800))
def test_no_garbage_gets_in(two, garbage, at):
    """Not alone, not framed as Kerberos, and not within a ticket, whose client has to sign all the same."""
    from rpcx.security.gss import MECHANISM

    framed = MECHANISM + b"\1\0" + garbage
    ticket = two.client().step(b"")[1:]
    changed = ticket[:at] + garbage[:8] + ticket[at + len(garbage[:8]) :]
    for token in (garbage, b"\x60\x82" + len(framed).to_bytes(2, "big") + framed, changed):
        host = two.host()
        with pytest.raises(AuthenticationFailed):
            assert host.step(LAST + token)[1] is None
            host.step(garbage)


# --- what a client is told by its own side ------------------------------------------------------------------


def refusal(begin) -> str:
    with pytest.raises(AuthenticationFailed) as refused:
        begin().step(b"")
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_what_is_wrong_is_said_with_what_to_do(two, realm, tmp_path, monkeypatch):
    assert "no ticket; get one: kinit" in refusal(lambda: two.client(ccache=f"FILE:{tmp_path / 'none'}"))
    assert "no ticket; get one: kinit" in refusal(lambda: two.client(ccache=None))
    unknown = refusal(lambda: two.client(hostname="nobody.example.com"))
    assert "the KDC knows no rpcx/nobody.example.com; if Kerberos has another name" in unknown
    assert "kadmin addprinc" in unknown
    assert "krbtgt/NOWHERE.NET" in refusal(lambda: two.client(realm="NOWHERE.NET"))
    monkeypatch.setenv("KRB5_CONFIG", str(realm.write_config(f"127.0.0.1:{free_port()}", "down.conf")))
    assert "no KDC answers; look at krb5.conf" in refusal(lambda: two.client(hostname="elsewhere.example.com"))


def test_a_mistake_in_the_options_is_told_at_once(two, realm, tmp_path):
    for options, words in (
        ({"service": "a/b"}, "'a/b' is no service, host or realm"),
        ({"hostname": "a@B"}, "'a@B' is no"),
        ({"realm": ""}, "'' is no"),
        ({"realms": ["A B"]}, "'A B' is no"),
        ({"without_realm": "*"}, "is no"),
        ({"roles": {"ann": ["teller"]}}, "'ann' has no realm"),
        ({"roles": {f"ann@{REALM}": ["owner"]}}, "'owner' is no role"),
        ({"roles": {f"ann@{REALM}": ["a b"]}}, "'a b' is no role"),
        ({"keytab": tmp_path / "none"}, "have it made where the KDC is: kadmin ktadd"),
        ({"keytab": f"MEMORY:{tmp_path.name}"}, "it has no key of rpcx/HOST, but of nobody"),
        ({"keytab": "NOKIND:x"}, "it cannot be used"),
    ):
        with pytest.raises(ValueError, match=words):
            KerberosAuthenticator(**options)
    for options in ({"realms": REALM}, {"roles": {f"ann@{REALM}": "teller"}}, {"realms": [5]}):
        with pytest.raises(TypeError, match="is no list of texts"):
            KerberosAuthenticator(**options)
    (tmp_path / "open").write_bytes(b"")
    (tmp_path / "open").chmod(0o644)
    with pytest.raises(ValueError, match="run chmod 600"):
        KerberosAuthenticator(keytab=tmp_path / "open")


def test_nobody_is_who_many_can_be_or_who_cannot_be_written(two):
    known = KerberosAuthenticator()._known
    own = f"{SERVICE}@{REALM}"
    for nobody in (f"WELLKNOWN/ANONYMOUS@{REALM}", "ann", "", f"@{REALM}", f"ann\\@x@{REALM}", f"a@b@{REALM}", "ann@"):
        with pytest.raises(AuthenticationFailed):
            known(nobody, own, 60.0)
    with pytest.raises(AuthenticationFailed, match="has ended"):
        known(f"ann@{REALM}", own, 0.0)
    with pytest.raises(AuthenticationFailed, match=f"ann@{REALM.lower()} is of a realm"):
        known(f"ann@{REALM.lower()}", own, 60.0)


# --- over real connections ----------------------------------------------------------------------------------


@rpcx.singleton("till", allow={f"principal:ann@{REALM}"})
class Till:
    def who(self) -> tuple[str | None, list[str], bool]:
        peer = rpcx.context.peer
        return peer.principal, sorted(peer.roles), peer.owner

    @rpcx.method(allow={"boss"})
    def close_day(self) -> None:
        """Nothing."""

    async def wait(self) -> None:
        await asyncio.sleep(30)


@pytest.fixture(params=["threads", "loop"])
def serve(request, realm):
    """``serve(url, **options)`` → where it listens."""
    with contextlib.ExitStack() as stack:

        def start(url: str, audit=None, **options) -> str:
            host = rpcx.Host(
                authenticators=[KerberosAuthenticator(**{"keytab": realm.service, **options})], audit=audit
            )
            host.register(Till)
            where = host.listen(f"{url}{next(NUMBERS)}" if url.startswith("pipe") else url)
            stack.enter_context(host if request.param == "threads" else LoopHost(host))
            return where

        yield start


@pytest.mark.parametrize("place", ["pipe://till", "tcp://127.0.0.1:0"])
def test_a_principal_may_what_the_rules_say_over_tls_and_pipes_in_threads_and_loops(serve, place, ann, bob):
    url = serve(place, roles={f"bob@{REALM}": ["boss"]})

    def by(tickets: str) -> KerberosAuthenticator:
        return KerberosAuthenticator(hostname=HOSTNAME, ccache=tickets)

    with rpcx.connect(url, authenticators=[by(ann)]) as server:
        till = server.get(Till)
        assert till.who() == (f"ann@{REALM}", [], False)
        with pytest.raises(rpcx.ObjectNotFound, match="no such object or method"):
            till.close_day()

    async def main() -> None:
        async with rpcx.aio.connect(url, authenticators=[by(bob)]) as server:
            till = server.get(Till)
            await till.close_day()
            with pytest.raises(rpcx.ObjectNotFound, match="no such object or method"):
                await till.who()

    asyncio.run(main())
    with pytest.raises(AuthenticationFailed, match="the client has none, the server kerberos"):
        rpcx.connect(url)


def test_a_refusal_reaches_the_client_and_its_cause_the_audit_log_only(serve, realm, ann, tmp_path):
    old = realm.keytab("rpcx/renewed.example.com")
    realm.keytab("rpcx/renewed.example.com")
    url = serve("tcp://127.0.0.1:0", audit=tmp_path / "audit", keytab=old)
    with pytest.raises(AuthenticationFailed) as refused:
        rpcx.connect(url, authenticators=[KerberosAuthenticator(hostname="renewed.example.com", ccache=ann)])
    assert str(refused.value) == f"the server refused the connection: {UNKNOWN}"
    deadline = time.monotonic() + 10
    while "auth-fail" not in (text := (tmp_path / "audit").read_text()):
        assert time.monotonic() < deadline
    (event,) = [json.loads(line) for line in text.splitlines() if "auth-fail" in line]
    assert "not found in keytab" in event["result"]


def test_without_a_ticket_a_client_is_told_at_once_in_threads_and_loops(serve, tmp_path):
    url = serve("tcp://127.0.0.1:0")
    nobody = KerberosAuthenticator(hostname=HOSTNAME, ccache=f"FILE:{tmp_path / 'none'}")
    begun = time.monotonic()
    with pytest.raises(AuthenticationFailed, match="get one: kinit"):
        rpcx.connect(url, authenticators=[nobody])

    async def main() -> None:
        with pytest.raises(AuthenticationFailed, match="get one: kinit"):
            await rpcx.aio.connect(url, authenticators=[nobody]).open()

    asyncio.run(main())
    assert time.monotonic() - begun < 8  # and not when the handshake's time is over


def test_a_session_ends_with_its_ticket_and_the_next_one_needs_another(serve, realm, two):
    """What was said with it, or long before, is refused then too."""
    url = serve("tcp://127.0.0.1:0")
    short = realm.tickets("bob", "-l", "2s")
    ended, late = (Two(realm, tickets).client().step(b"") for tickets in (short, two.tickets))
    roles = {f"bob@{REALM}": ["boss"]}
    assert 0 < Two(realm, short).proved(roles=roles).seconds <= 2 + SKEW
    with rpcx.connect(url, authenticators=[KerberosAuthenticator(hostname=HOSTNAME, ccache=short)]) as server:
        first = server._endpoint
        deadline = time.monotonic() + 15
        while first.error is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert isinstance(first.error, AuthenticationFailed)
        assert "has ended" in str(first.error)
        with pytest.raises(AuthenticationFailed, match="ticket has ended; get another: kinit"):
            server.get(Till).who()
    for message, words in ((ended, "has ended, by the clock of the host|clocks of client"), (late, "clocks of client")):
        with pytest.raises(AuthenticationFailed, match=words):
            two.host().step(message)


def test_by_name_alone_both_ends_use_what_libkrb5_finds_and_the_url_says(realm, monkeypatch, tmp_path):
    """As in a configuration file, with the tickets of kinit and the machine's keytab."""
    here = f"rpcx/{socket.gethostname().lower()}"
    monkeypatch.setenv("KRB5_KTNAME", realm.keytab(here))
    monkeypatch.setenv("KRB5CCNAME", realm.tickets("carl"))
    file = tmp_path / "app.toml"
    text = f"""
allow = ["principal:carl"]
[[objects]]
class = "tests.end_to_end.served:Bank"
[[channels]]
url = "tcp://localhost:0"
[[channels]]
url = "pipe://carl{next(NUMBERS)}"
[[authenticators]]
name = "kerberos"
without_realm = "{REALM}"
[authenticators.roles]
carl = ["teller"]
"""
    file.write_text(text)
    with rpcx.Host.from_config(file) as host:
        for url in host.urls:
            with rpcx.connect(url, authenticators=["kerberos"]):
                (peer,) = host.peers
                assert (peer.principal, peer.roles) == ("carl", {"teller"})
    for wrong in ('realms = "X"', 'keytab = "/none"', 'kytab = "x"'):
        file.write_text(text.replace(f'without_realm = "{REALM}"', wrong))
        with pytest.raises(ValueError, match="app.toml: authenticators: kerberos: "):
            rpcx.Host.from_config(file)


class SilentKdc:
    """Takes connections, and says nothing."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.where = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.asked = threading.Event()
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._open.append(self._listening.accept()[0])
                self.asked.set()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()
        for each in self._open:
            each.close()


@pytest.fixture
def silent(realm, monkeypatch):
    kdc = SilentKdc()
    monkeypatch.setenv("KRB5_CONFIG", str(realm.write_config(kdc.where, "silent.conf")))
    yield kdc
    kdc.close()


def test_a_kdc_that_says_nothing_holds_up_nobody_else(serve, realm, silent):
    """Not the loop, not another connection in it; and who waits, waits no longer than it wants."""
    url = serve("tcp://127.0.0.1:0")
    with_service = realm.tickets("dora")
    with pytest.MonkeyPatch.context() as awake:
        awake.setenv("KRB5_CONFIG", realm.environment["KRB5_CONFIG"])
        Two(realm, with_service).client().step(b"")  # so that its ticket for the service is there
    dora = KerberosAuthenticator(hostname=HOSTNAME, ccache=with_service)
    emil = KerberosAuthenticator(hostname=HOSTNAME, ccache=realm.tickets("emil"))

    async def main() -> None:
        waiting = asyncio.create_task(rpcx.aio.connect(url, authenticators=[emil], timeout=3).open())
        while not silent.asked.is_set():
            await asyncio.sleep(0.005)
        async with rpcx.aio.connect(url, authenticators=[dora], timeout=3) as server:
            with pytest.raises(rpcx.ObjectNotFound):
                await server.get(Till).who()
        assert not waiting.done()
        with pytest.raises(rpcx.NotSent, match="no handshake within 3 s; kerberos is still at work"):
            await waiting

    asyncio.run(main())
    begun = time.monotonic()
    with pytest.raises(rpcx.NotSent, match=r"no handshake within 0\.2 s; kerberos is still at work"):
        rpcx.connect(url, authenticators=[emil], timeout=0.2)
    assert time.monotonic() - begun < 3
