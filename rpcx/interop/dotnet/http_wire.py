"""Frames of .NET's HTTP channel: each call is a POST, its answer the response (200, or 500 for an exception).

The machine beneath is `h11`, without I/O as this is; it keeps the order of things. One request is under way at a time
on a connection, and the next may come when it is answered: who sends ahead is refused, as .NET never does. Requests
that are no calls (another method, another type of content, a browser's) get the status that says why; the connection
stays, unless its bytes cannot be told apart any more.

A browser lets any page send to this machine, also to a port that is for this user's own processes. So a call must be
what no page can send: it has no ``Origin`` and no ``Sec-Fetch-…``, which browsers add; a type of content, and with SOAP
the ``SOAPAction``, that a page may send nowhere but home unless the server agrees (to an ``OPTIONS``, which is refused
here); and in ``Host`` a name of this machine, since a page's home may be any name that leads here.
"""

import ipaddress
import re
import threading
from collections.abc import Collection, Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, unquote

import h11

from rpcx.errors import ProtocolError
from rpcx.interop.dotnet.framing import BINARY, HEADERS, MESSAGE, XML, Frame, Operation

HEAD: Final = 16_384  # bytes of a request's or response's line and headers
AGENT: Final = "rpcx"
CHARSETS: Final = ("", "utf-8", "us-ascii")
BROWSER: Final = (b"origin", b"sec-fetch-mode", b"sec-fetch-site")
OWN: Final = frozenset({  # headers that are HTTP's, or said otherwise in a frame; others go to `Frame.custom`
    "host", "content-type", "content-length", "transfer-encoding", "connection", "keep-alive", "expect", "date",
    "server", "user-agent", "accept", "accept-encoding",
})  # fmt: skip
ACTION: Final = b"soapaction"  # SOAP 1.1, section 6.1.1: every request has it
LOCAL: Final = "localhost"
_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:@/\s]+))(?::[0-9]*)?")  # RFC 9110, section 7.2
REASON: Final = 2000  # bytes of a refusal that are kept
_TAG: Final = re.compile(r"<[^<>]*>")

Event = Any  # h11 exports its events' classes, and a base class for none of them


class SentAhead(ProtocolError):
    """A request came before the last one was answered."""

    def __init__(self) -> None:
        super().__init__("HTTP: a request before the last one was answered; .NET does not pipeline")


class _Http:
    """What both ends have in common."""

    content_types = (XML, BINARY)
    says_oneway = False
    always_answers = True
    patience: float | None = None

    def __init__(self, role: Any, most: int) -> None:  # h11.CLIENT or SERVER
        self.over = False
        self._most = most  # bytes of one body
        self._guard = threading.Lock()  # h11's machine is turned by whoever reads and by whoever answers
        self._machine = h11.Connection(our_role=role, max_incomplete_event_size=HEAD)
        self._head: Event = None  # the request or response whose body comes
        self._body: list[bytes] = []
        self._size = 0
        self._wanted = 0

    @property
    def between(self) -> bool:
        return self._head is None and not self._machine.trailing_data[0]

    @property
    def wanted(self) -> int:
        return max(0, self._wanted - self._size)

    def receive(self, data: bytes) -> Iterator[Frame | bytes]:
        with self._guard:
            made: list[Frame | bytes] = []
            failure: ProtocolError | None = None
            try:
                for event in self._events(data):
                    made += self._event(event)
            except ProtocolError as error:
                failure = error
        yield from made
        if failure is not None:
            raise failure

    def _events(self, data: bytes) -> Iterator[Event]:
        """What h11 makes of ``data``; to it no bytes are the end, which a session hears otherwise."""
        if not data:
            return
        try:
            self._machine.receive_data(data)
            while True:
                event = self._machine.next_event()
                if event is h11.PAUSED and self._machine.trailing_data[0]:
                    raise SentAhead
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    return
                yield event
        except h11.RemoteProtocolError as error:
            raise ProtocolError(f"no HTTP: {error}") from error

    def _event(self, event: Event) -> Sequence[Frame | bytes]:
        raise NotImplementedError

    def _begin(self, head: Event) -> None:
        self._head = head
        self._body, self._size = [], 0
        self._wanted = int(_header(head, b"content-length") or 0)

    def _took(self, data: bytes) -> bool:
        """Keep a part of the body; False: it is too much."""
        self._size += len(data)
        if self._size > self._most:
            return False
        self._body.append(bytes(data))
        return True

    def _next(self) -> bool:
        """Make ready for another request, if the connection can have one."""
        machine: Any = self._machine  # Any: to mypy its state does not change by what was sent
        ready: bool = machine.our_state is h11.DONE and machine.their_state is h11.DONE
        if ready:
            machine.start_next_cycle()
        return ready

    def _sent(self, *events: Event) -> bytes:
        """The bytes of what is sent."""
        return b"".join(self._machine.send(event) or b"" for event in events)


# --- the server's end -------------------------------------------------------------------------------------------


class HttpServerWire(_Http):
    """Requests in, responses out.

    Args:
        message: bytes that one body may have.
        names: of this machine in URLs, in lower case, beside its addresses and ``localhost``.
    """

    def __init__(self, message: int = MESSAGE, names: Collection[str] = ()) -> None:
        super().__init__(h11.SERVER, message)
        self._names = names
        self._refused: tuple[HTTPStatus, str] | None = None  # what to say to the request under way

    def receive(self, data: bytes) -> Iterator[Frame | bytes]:
        if self.over:
            return  # the rest of what was refused
        if data and self._machine.their_state not in (h11.IDLE, h11.SEND_BODY):
            raise SentAhead
        try:
            yield from super().receive(data)
        except SentAhead:
            raise  # the answer that is due is the call's
        except ProtocolError as error:
            hint = getattr(error.__cause__, "error_status_hint", HTTPStatus.BAD_REQUEST)
            yield from self._last_word(HTTPStatus(hint), str(error))
            raise

    def _event(self, event: Event) -> Sequence[Frame | bytes]:
        if isinstance(event, h11.Request):
            self._begin(event)
            self._refused = self._reason_to_refuse(event)
            if self._machine.they_are_waiting_for_100_continue:
                return self._go_ahead()
        elif isinstance(event, h11.Data):
            if not self._took(event.data):
                self._refused = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {self._most} bytes"
            if self._refused is not None and self._size > HEAD:  # it is not read to its end for nothing
                return self._refuse(ends=True)
        elif isinstance(event, h11.EndOfMessage):
            return self._refuse(ends=False) if self._refused is not None else [self._request()]
        return []

    def _go_ahead(self) -> Sequence[bytes]:
        """Answer who asks whether its body is wanted."""
        if self._refused is not None:
            return self._refuse(ends=True)
        go = h11.InformationalResponse(status_code=HTTPStatus.CONTINUE, reason=b"Continue", headers=[])
        return [self._sent(go)]

    def _request(self) -> Frame:
        head, self._head = self._head, None
        agent = _header(head, b"user-agent")
        return Frame(
            Operation.REQUEST, b"".join(self._body), _path(head.target), _content_type(head)[0],
            custom=_custom(head), agent=agent or "",
        )  # fmt: skip

    def _reason_to_refuse(self, head: Event) -> tuple[HTTPStatus, str] | None:
        """Why a request is no call."""
        names = [name for name, _ in head.headers]
        if len(names) > HEADERS:
            return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {HEADERS} headers"
        if any(name in names for name in BROWSER):
            return HTTPStatus.FORBIDDEN, "pages in a browser are not served"
        host = _header(head, b"host")  # HTTP/1.1 has one, h11 sees to it; before that no browser is left
        if host is not None and not self._is_called(host):
            return HTTPStatus.MISDIRECTED_REQUEST, f"this is not {host[:80]!r}; if it is, listen with ?names= and that"
        if head.method != b"POST":
            return HTTPStatus.METHOD_NOT_ALLOWED, "calls are POSTed; nothing else is here"
        if _header(head, b"content-encoding") not in (None, "identity"):
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content that is encoded is not taken"
        content, charset = _content_type(head)
        if content not in self.content_types or charset not in CHARSETS:
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a call is {XML} in UTF-8 (SOAP 1.1), or {BINARY}"
        if content == XML and ACTION not in names:
            return HTTPStatus.BAD_REQUEST, "SOAP 1.1 has a SOAPAction header, which may be empty"
        if int(_header(head, b"content-length") or 0) > self._most:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {self._most} bytes"
        if not _path(head.target).strip("/"):
            return HTTPStatus.NOT_FOUND, "the path names no object"
        return None

    def _is_called(self, host: str) -> bool:
        """Whether a ``Host`` is this machine, by an address or by name. Only a name can have been led here."""
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = (found[1] or found[2]).lower().rstrip(".")
        return name == LOCAL or name in self._names or _is_address(name)

    # --- answers -------------------------------------------------------------------------------------------------

    def pack(self, frame: Frame) -> bytes:
        """The response; nothing if the connection has ended meanwhile."""
        status = HTTPStatus.OK
        if frame.fault:
            status = HTTPStatus.INTERNAL_SERVER_ERROR
        elif not frame.body:
            status = HTTPStatus.ACCEPTED
        content = f'{XML}; charset="utf-8"' if frame.content_type == XML else frame.content_type
        with self._guard:
            return self._response(status, content, frame.body)

    def _response(self, status: HTTPStatus, content: str, body: bytes, more: Sequence[tuple[str, str]] = ()) -> bytes:
        if self._machine.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return b""
        headers = [("Server", AGENT), ("Content-Length", str(len(body))), *more]
        if content:
            headers.append(("Content-Type", content))
        head = h11.Response(status_code=status, reason=status.phrase.encode(), headers=headers)
        data = self._sent(head, h11.Data(data=body), h11.EndOfMessage())
        self._head = None
        self.over = not self._next()
        return data

    def _refuse(self, *, ends: bool) -> Sequence[bytes]:
        """Say why a request is no call; ``ends``: the connection goes with it, since its body was not read."""
        assert self._refused is not None
        status, reason = self._refused
        head = self._head
        body = b"" if head is not None and head.method == b"HEAD" else f"{reason}\n".encode()
        more = [("Allow", "POST")] if status is HTTPStatus.METHOD_NOT_ALLOWED else []
        more += [("Connection", "close")] if ends else []
        return [self._response(status, "text/plain; charset=utf-8", body, more)]

    def _last_word(self, status: HTTPStatus, reason: str) -> Iterator[bytes]:
        """What to say to bytes that are no HTTP, if it is our turn."""
        with self._guard:
            self._refused = status, reason
            if self._machine.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                yield from self._refuse(ends=True)
        self.over = True


# --- the client's end -------------------------------------------------------------------------------------------


class HttpClientWire(_Http):
    """Requests out, responses in.

    Args:
        host: of the server, with its port, as the Host header has it.
        message: bytes that one body may have.
    """

    def __init__(self, host: str, message: int = MESSAGE) -> None:
        super().__init__(h11.CLIENT, message)
        self._host = host

    def pack(self, frame: Frame) -> bytes:
        """The request."""
        content = f'{XML}; charset="utf-8"' if frame.content_type == XML else frame.content_type
        headers = [
            ("Host", self._host), ("User-Agent", AGENT), ("Content-Type", content),
            ("Content-Length", str(len(frame.body))), *frame.custom.items(),
        ]  # fmt: skip
        path = quote(f"/{_path(frame.uri).lstrip('/')}", safe="/:@!$&'()*+,;=~")
        request = h11.Request(method="POST", target=path, headers=headers)
        with self._guard:
            return self._sent(request, h11.Data(data=frame.body), h11.EndOfMessage())

    def _event(self, event: Event) -> Sequence[Frame | bytes]:
        if isinstance(event, h11.Response):
            self._begin(event)
            self._check(event)
        elif isinstance(event, h11.Data):
            if not self._took(event.data):
                raise ProtocolError(f"an HTTP response of more than {self._most} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return [self._response()]
        return []

    def _check(self, head: Event) -> None:
        if len(head.headers) > HEADERS:
            raise ProtocolError(f"an HTTP response with more than {HEADERS} headers")
        if self._wanted > self._most:
            raise ProtocolError(f"an HTTP response of {self._wanted} bytes; the limit is {self._most}")
        bodiless = head.status_code in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
        if not bodiless and _header(head, b"content-length") is None and _header(head, b"transfer-encoding") is None:
            raise ProtocolError("an HTTP response that does not say where it ends")

    def _response(self) -> Frame:
        head, self._head = self._head, None
        status, body, (content, _) = head.status_code, b"".join(self._body), _content_type(head)
        self.patience = _kept_alive(_header(head, b"keep-alive"))
        frame = Frame(
            Operation.REPLY, body, content_type=content, custom=_custom(head), agent=_header(head, b"server") or ""
        )
        if status in (HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT):
            pass
        elif status == HTTPStatus.INTERNAL_SERVER_ERROR and content in self.content_types:
            frame.fault = True
        else:
            said = _said(body) if content in ("text/plain", "text/html") else ""
            frame.failure = f"{status} {head.reason.decode('latin-1')}{': ' if said else ''}{said}"
            frame.uncertain = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        frame.closes = self.over = not self._next()
        return frame


def _said(body: bytes) -> str:
    """What a page says, without its tags."""
    return " ".join(_TAG.sub(" ", body[:REASON].decode("utf-8", "replace")).split())


def _kept_alive(value: str | None) -> float | None:
    """The seconds in a Keep-Alive header: ``timeout=15,max=100``."""
    for part in (value or "").split(","):
        name, _, number = part.strip().partition("=")
        if name.lower() == "timeout" and number.isascii() and number.isdigit():
            return float(number[:6])
    return None


# --- headers and targets ----------------------------------------------------------------------------------------


def _header(head: Event, name: bytes) -> str | None:
    return next((value.decode("latin-1") for known, value in head.headers if known == name), None)


def _content_type(head: Event) -> tuple[str, str]:
    """The type of a body, and its charset."""
    content, *parameters = (_header(head, b"content-type") or "").split(";")
    charset = ""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip("\"'").lower()
    return content.strip().lower(), charset


def _custom(head: Event) -> dict[str, str]:
    names = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers)
    return {name: value for name, value in names if name not in OWN}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _path(target: bytes | str) -> str:
    """The path of a target: of a URL, or the target itself."""
    text = target.decode("ascii", "replace") if isinstance(target, bytes) else target
    scheme, colon, rest = text.partition("://")
    if colon and "/" not in scheme:
        text = f"/{rest.partition('/')[2]}"
    return unquote(text.partition("?")[0])
