"""Contexts of GSS-API: Kerberos and nothing else, with all that is demanded of it. By a real KDC."""

import os
import subprocess
import sys

import pytest

from tests.security.realm import HOSTNAME, REALM, SERVICE, why_not

if not why_not():
    import gssapi
    import spnego
    from spnego._spnego import NegTokenInit

    from rpcx.security import gss
    from rpcx.security.gss import GssError, acceptor, initiator, is_kerberos, services

CHANNEL = b"tls-server-end-point:" + b"c" * 32


@pytest.fixture(scope="session")
def keytab(kdc) -> str:
    return kdc.service


@pytest.fixture(scope="session")
def ann(kdc) -> str:
    return kdc.tickets("ann")


@pytest.fixture(autouse=True)
def here(realm):
    """Each of these is in the realm."""


def test_both_ends_know_each_other_and_sign(ann, keytab):
    client, server = initiator(f"{SERVICE}@", ann, CHANNEL), acceptor(keytab, CHANNEL)
    request = client.step(None)
    assert not client.complete, "the server has to prove itself first"
    client.step(server.step(request))
    assert client.complete
    assert server.complete
    assert server.bound
    assert (server.client, server.service) == (f"ann@{REALM}", f"{SERVICE}@{REALM}")
    server.verify(b"said", client.sign(b"said"))
    signed = server.sign(b"said too")
    with pytest.raises(GssError):
        client.verify(b"said otherwise", signed)


def test_all_that_is_demanded_is_there_and_nothing_is_delegated(kdc, keytab):
    forwardable = kdc.tickets("ann", "-f")
    client, server = initiator(f"{SERVICE}@", forwardable, CHANNEL), acceptor(keytab, CHANNEL)
    client.step(server.step(client.step(None)))
    for end in (client, server):
        flags = end._through.context_attr
        assert flags & gss.DEMANDED == gss.DEMANDED
        assert not flags & spnego.ContextReq.delegate
    assert server._native.delegated_creds is None


def test_a_signature_counts_once(ann, keytab):
    client, server = initiator(f"{SERVICE}@", ann, CHANNEL), acceptor(keytab, CHANNEL)
    client.step(server.step(client.step(None)))
    signed = client.sign(b"said")
    server.verify(b"said", signed)
    with pytest.raises(GssError):
        server.verify(b"said", signed)


def native(ann: str, **how):
    """A client of python-gssapi alone, which demands what it likes."""
    return gssapi.SecurityContext(
        usage="initiate", mech=gssapi.MechType.kerberos,
        name=gssapi.Name(f"{SERVICE}@", gssapi.NameType.kerberos_principal),
        creds=gssapi.Credentials(usage="initiate", store={"ccache": ann}), **how,
    )  # fmt: skip


def test_a_client_that_demands_less_is_not_done(ann, keytab):
    bindings = gssapi.raw.ChannelBindings(application_data=CHANNEL)
    for left_out in (2, 4, 8):  # mutual authentication, replay and sequence detection; integrity is always there
        server = acceptor(keytab, CHANNEL)
        server.step(native(ann, flags=int(gss.DEMANDED) & ~left_out, channel_bindings=bindings).step())
        assert server._through.complete
        assert not server.complete, left_out


def test_a_client_that_names_no_channel_or_another_is_noticed(ann, keytab):
    server = acceptor(keytab, CHANNEL)
    server.step(native(ann, flags=int(gss.DEMANDED)).step())
    assert server.complete
    assert not server.bound
    with pytest.raises(GssError) as refused:
        acceptor(keytab, CHANNEL).step(initiator(f"{SERVICE}@", ann, b"tls-server-end-point:" + b"d" * 32).step(None))
    assert refused.value.major == 4 << 16


def test_a_token_is_taken_once(ann, keytab):
    token = initiator(f"{SERVICE}@", ann, CHANNEL).step(None)
    assert acceptor(keytab, CHANNEL).step(token)
    with pytest.raises(GssError, match="Request is a replay") as refused:
        acceptor(keytab, CHANNEL).step(token)
    assert refused.value.code == 34


# --- Kerberos and nothing else ------------------------------------------------------------------------------


def foreign(ann: str) -> dict[str, bytes]:
    """First messages of clients that negotiate, or speak something else."""
    ntlm = spnego.client("ann", "password", protocol="ntlm").step()
    without_library = spnego.client(
        "ann", "password", hostname=HOSTNAME, service="rpcx", options=spnego.NegotiateOptions.use_negotiate
    ).step()
    kerberos = initiator(f"{SERVICE}@", ann, CHANNEL).step(None)
    ms_kerberos = kerberos.replace(gss.MECHANISM, bytes.fromhex("06092a864882f712010202"))
    return {
        "NTLM": ntlm,
        "NTLM in SPNEGO": NegTokenInit(mech_types=["1.3.6.1.4.1.311.2.2.10"], mech_token=ntlm).pack(),
        "what pyspnego negotiates": without_library,
        "Kerberos in SPNEGO": NegTokenInit(mech_types=["1.2.840.113554.1.2.2"], mech_token=kerberos).pack(),
        "Kerberos by Microsoft's old number": ms_kerberos,
        "bare AP-REQ": kerberos[kerberos.index(b"\x6e\x82") :],
        "nothing": b"",
    }


def test_no_end_takes_a_token_of_anything_else(ann, keytab):
    tokens = foreign(ann)
    assert b"NTLMSSP" in tokens["NTLM"]
    for name, token in tokens.items():
        assert not is_kerberos(token), name
        server = acceptor(keytab, CHANNEL)
        with pytest.raises(GssError, match="no token of Kerberos"):
            server.step(token)
        assert not server.complete
        client = initiator(f"{SERVICE}@", ann, CHANNEL)
        client.step(None)
        with pytest.raises(GssError, match="no token of Kerberos"):
            client.step(token)
        assert not client.complete


def test_no_client_says_a_token_of_anything_else(ann):
    client = initiator(f"{SERVICE}@", ann, CHANNEL)
    client._native = client._through = spnego.client("ann", "password", protocol="ntlm")
    with pytest.raises(GssError, match="made no token of Kerberos"):
        client.step(None)


def test_without_a_kerberos_library_there_is_an_error_and_no_ntlm():
    """Where pyspnego, asked to negotiate, would have spoken NTLM without a word."""
    program = """
import sys
sys.modules["gssapi"] = sys.modules["krb5"] = None
import spnego
assert b"NTLMSSP" in spnego.client("ann", "password", hostname="h", service="rpcx").step()
from rpcx.security.kerberos import KerberosAuthenticator
try:
    KerberosAuthenticator()
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert "pip install 'rpcx[kerberos]'" in done.stdout
    assert "apt-get install libkrb5-dev" in done.stdout


def test_the_frame_of_a_token_is_read_to_the_byte(ann):
    token = initiator(f"{SERVICE}@", ann, CHANNEL).step(None)
    assert is_kerberos(token)
    assert is_kerberos(b"\x60" + bytes([len(gss.MECHANISM)]) + gss.MECHANISM)
    for wrong in (token[:-1], token + b"\0", token[1:], b"\x60", b"\x60\x85" + b"\0" * 5 + gss.MECHANISM, b"\x60\x80"):
        assert not is_kerberos(wrong)


# --- names and keys -----------------------------------------------------------------------------------------


HOSTILE_DNS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    int (*real)() = (int (*)())dlsym(RTLD_NEXT, "getaddrinfo");
    int canonical = hints && hints->ai_flags & AI_CANONNAME;
    int error = real(canonical ? "127.0.0.1" : node, service, hints, found);
    if (canonical && !error)
        (*found)->ai_canonname = strdup("evil.example.com");
    return error;
}
"""
WHOSE_TICKET = """
import sys
import spnego
from rpcx.security.gss import initiator
way, tickets = sys.argv[1:]
if way == "ours":
    token = initiator("rpcx/files.example.com@", tickets, b"").step(None)
else:
    token = spnego.client(
        spnego.KerberosCCache(tickets), hostname="files.example.com", service="rpcx", protocol="kerberos"
    ).step()
print(*[name for name in ("evil", "files") if f"{name}.example.com".encode() in token])
"""


def test_who_answers_for_dns_does_not_choose_the_service(realm, ann, tmp_path):
    """As it would by pyspnego's own way, where krb5.conf does not forbid it."""
    realm.add("rpcx/evil.example.com")
    (tmp_path / "dns.c").write_text(HOSTILE_DNS)
    library = tmp_path / "dns.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", library, tmp_path / "dns.c", "-ldl"], check=True)
    for way, asked in (("ours", "files"), ("pyspnego's", "evil")):
        done = subprocess.run(
            [sys.executable, "-c", WHOSE_TICKET, way, ann], env={**os.environ, "LD_PRELOAD": str(library)},
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.stdout.strip() == asked, done.stderr


def test_a_keytab_tells_its_services(realm, keytab, tmp_path):
    assert services(keytab) == [f"{SERVICE}@{REALM}"]
    with pytest.raises(GssError):
        services(str(tmp_path / "none"))
    with pytest.raises(GssError):
        acceptor(str(tmp_path / "none"), CHANNEL)


def test_a_ticket_is_good_for_its_time(realm, keytab):
    short = realm.tickets("ann", "-l", "100s")
    client, server = initiator(f"{SERVICE}@", short, CHANNEL), acceptor(keytab, CHANNEL)
    client.step(server.step(client.step(None)))
    assert 80 < client.seconds <= 100
    assert client.seconds <= server.seconds <= 104  # it lets clocks differ by three
