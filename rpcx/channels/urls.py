"""URLs: ``scheme://location/uri?name=value``.

    tcp://127.0.0.1:4000/bank     tcp://[::1]:4000     tcp://localhost:0
    pipe://bank/account           inproc://test
    tcp://server:4000/bank?key=sha256:…

``location`` says where the host is, in the channel's own terms; ``uri`` which object there. The object may also
stand last, ``tcp://server:4000?key=sha256:…/bank``, so that it can be put behind what a host said.
"""

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

FORM: Final = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#]*)(?:/([^?#]*))?(?:\?([^#]*))?\Z")
KEY: Final = re.compile(r"sha256:[A-Za-z0-9_-]{43}\Z")  # the fingerprint of a server's key
NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}\Z")  # of a pipe: no separator, no leading dot
ON_TCP: Final = ("tcp", "http")  # schemes whose location is host:port, alone or behind another's name and a "+"
NAMED: Final = ("pipe", "inproc")  # those whose location is a name
EXAMPLES: Final = "tcp://127.0.0.1:4000/bank, pipe://bank/account or inproc://name"


@dataclass(frozen=True, slots=True)
class Url:
    """A parsed URL; ``str()`` gives it back."""

    scheme: str
    location: str  # "127.0.0.1:4000", or a name
    uri: str = ""  # the object; empty: none was given
    params: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        uri = f"/{quote(self.uri, safe='/')}" if self.uri else ""
        query = f"?{urlencode(self.params, safe=':')}" if self.params else ""
        return f"{self.scheme}://{self.location}{uri}{query}"


def parse(text: str) -> Url:
    """Take a URL apart.

    Raises:
        ValueError: it is none; the message says what is wrong and shows a right one.
    """
    if not isinstance(text, str):
        raise ValueError(f"a URL is a text such as {EXAMPLES}, not {text!r}")  # noqa: TRY004  # one error for bad URLs
    if any(ord(char) <= 32 or ord(char) == 127 for char in text):
        raise ValueError(f"{text!r}: a URL has no spaces or control characters")
    match = FORM.match(text)
    if match is None:
        raise ValueError(f"{text!r} is no URL; it looks like {EXAMPLES}")
    scheme, location, uri, query = match.groups()
    if not location:
        raise ValueError(f"{text!r} says nothing between {scheme}:// and the object; it looks like {EXAMPLES}")
    if scheme.rpartition("+")[2] in ON_TCP or (":" in location and scheme not in NAMED):
        host_port(location, text)
    else:
        check_name(location, text)
    query, _, behind = (query or "").partition("/")
    if uri and behind:
        raise ValueError(f"{text!r} names two objects, {uri!r} and {behind!r}")
    params = dict(parse_qsl(query, keep_blank_values=True))
    if "key" in params:
        check_key(params["key"], text)
    return Url(scheme, location, unquote(uri or behind), params)


def check_key(key: str, text: str) -> None:
    """A fingerprint that is cut short would pin nothing."""
    if not KEY.match(key):
        raise ValueError(f"{text!r}: {key!r} is no key's fingerprint; it is sha256: and 43 letters, digits, - or _")


def check_name(name: str, text: str) -> None:
    """A pipe's name becomes a file's name: refuse what could leave its directory."""
    if not NAME.match(name):
        raise ValueError(
            f"{text!r}: {name!r} is no name: 1 to 64 letters, digits, '_', '.', '@', '+' or '-', not beginning with '.'"
        )


def host_port(location: str, text: str = "") -> tuple[str, int]:
    """The two parts of ``host:port``; an IPv6 address stands in brackets."""
    text = text or location
    host, colon, port = location.rpartition(":")
    if not colon or not host:
        raise ValueError(f"{text!r}: it needs host and port, as in tcp://127.0.0.1:4000 (0: any free port)")
    if host.startswith("[") != host.endswith("]") or (":" in host and not host.startswith("[")):
        raise ValueError(f"{text!r}: an IPv6 address stands in brackets, as in tcp://[::1]:4000")
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"{text!r}: {port!r} is no port; it is a number from 0 to 65535")
    return host.strip("[]"), int(port)
