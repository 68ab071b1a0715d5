"""Calls and returns in SOAP 1.1: one element for the message, named after the method, with one for each value.

    call     <a1:Divide><a>17</a><b>5</b></a1:Divide>       parameters that only come back are left out
    return   <a1:DivideResponse><return>3</return><rest>2</rest></a1:DivideResponse>
    fault    <SOAP-ENV:Fault> … <detail> a ServerFault with the exception in it

A call of an overloaded method names the types of its parameters in a header. Other headers are not read; one that must
be understood is refused.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from rpcx.errors import ProtocolError
from rpcx.interop.dotnet.clrnames import split_assembly
from rpcx.interop.dotnet.framing import XML
from rpcx.interop.dotnet.messages import MethodCall, MethodReturn
from rpcx.interop.dotnet.nodes import ClassNode, Node, Untyped
from rpcx.interop.dotnet.scalars import Bounds
from rpcx.interop.dotnet.soap_names import (
    ENVELOPE,
    PROPERTIES,
    decoded,
    encoded,
    method_space,
    type_of,
    type_of_methods,
)
from rpcx.interop.dotnet.soap_reader import SoapReader
from rpcx.interop.dotnet.soap_writer import Declared, Dialect, SoapWriter, escaped
from rpcx.interop.dotnet.xml_tree import Element, parse

BOUNDS: Final = Bounds(elements=500_000, text=64 << 20)  # an element of XML takes some 130 bytes here
SIGNATURE: Final = "__MethodSignature"
RESULT: Final = "return"
FAULT: Final = "System.Runtime.Serialization.Formatters.ServerFault"
REMOTING: Final = "System.Runtime.Remoting.RemotingException"
MOST_TYPES: Final = 256  # in a signature


class Soap:
    """The SOAP formatter.

    Args:
        declared: which types classes here declare for their members.
        dialect: whose reader it writes for.
    """

    content_type = XML

    def __init__(self, declared: Declared, dialect: Dialect) -> None:
        self._declared = declared
        self._dialect = dialect

    # --- writing -------------------------------------------------------------------------------------------------

    def headers(self, call: MethodCall) -> dict[str, str]:
        """What stands around a call, beside its type."""
        action = quote(f"{method_space(call.type_name)}#{call.method}", safe="/:#%,=&+`[]")
        return {"SOAPAction": f'"{action}"'}

    def write_call(self, call: MethodCall) -> bytes:
        """The bytes of a call. Raises ValueError: a value does not fit into its type, or does not go by SOAP."""
        writer = self._writer()
        names = call.names or tuple(f"arg{number}" for number in range(1, len(call.args) + 1))
        values = [(name, node) for name, node in zip(names, call.args, strict=True) if name is not None]
        header = _signature(writer, call.signature) if call.signature is not None else ""
        writer.message(f"{writer.prefix(method_space(call.type_name))}:{encoded(call.method)}", values)
        return writer.document(header)

    def write_return(self, answer: MethodReturn, call: MethodCall | None) -> bytes:
        """The bytes of the answer to ``call``; None: one that could not be read. Raises ValueError as above."""
        writer = self._writer()
        if answer.exception is not None:
            writer.message("SOAP-ENV:Fault", _fault(answer.exception))
            return writer.document()
        assert call is not None  # it was run
        values = [] if answer.void else [(RESULT, answer.value)]
        names = answer.names or ()
        values += [(name, node) for name, node in zip(names, answer.out, strict=True) if name is not None]
        space = call.space or method_space(call.type_name)
        writer.message(f"{writer.prefix(space)}:{encoded(call.method)}Response", values)
        return writer.document()

    def _writer(self) -> SoapWriter:
        return SoapWriter(self._declared, self._dialect)

    # --- reading -------------------------------------------------------------------------------------------------

    def read_call(self, body: bytes) -> MethodCall:
        """The call in ``body``. Raises ProtocolError: there is none."""
        message = _Message(body)
        method, elements = message.element, message.element.children
        args = message.reader.nodes(elements)
        space = method.name.space
        return MethodCall(
            decoded(method.name.local), type_of_methods(space), args, message.signature(),
            names=tuple(decoded(element.name.local) for element in elements), space=space,
        )  # fmt: skip

    def read_return(self, body: bytes) -> MethodReturn:
        """The return in ``body``. Raises ProtocolError: there is none."""
        message = _Message(body)
        elements = message.element.children
        if message.element.name == (ENVELOPE, "Fault"):
            return MethodReturn(exception=_exception(message))
        nodes = message.reader.nodes(elements)
        names = tuple(decoded(element.name.local) for element in elements)
        if names and names[0] == RESULT:
            return MethodReturn(nodes[0], out=nodes[1:], names=names[1:])
        return MethodReturn(void=True, out=nodes, names=names)


# --- parts that are written ---------------------------------------------------------------------------------------


def _signature(writer: SoapWriter, types: Sequence[str]) -> str:
    named = []
    for qualified in types:
        name, assembly = split_assembly(qualified)
        known = writer.type_name(name, None if assembly.startswith("mscorlib") else assembly or None)
        named.append(escaped(known))
    return (
        f'<h4:{SIGNATURE} SOAP-ENC:root="1" xsi:type="SOAP-ENC:methodSignature" xmlns:h4="{PROPERTIES}">'
        f"{' '.join(named)}</h4:{SIGNATURE}>"
    )


def _fault(exception: Node) -> list[tuple[str, Node]]:
    assert isinstance(exception, ClassNode)
    about = f"{exception.name} - {exception.members.get('Message')}"
    members: dict[str, Node] = {"exceptionType": None, "message": None, "stackTrace": None, "exception": exception}
    return [
        ("faultcode", "SOAP-ENV:Server"),
        ("faultstring", f" **** {about}"),  # the stars are .NET's
        ("detail", ClassNode(FAULT, members)),
    ]


# --- parts that are read ------------------------------------------------------------------------------------------


class _Message:
    """A document, and in it the message's own element."""

    def __init__(self, body: bytes) -> None:
        root = parse(body, BOUNDS)
        if root.name != (ENVELOPE, "Envelope"):
            raise ProtocolError(f"no SOAP 1.1: the document is a {str(root.name)[:200]}")
        parts = [child for child in root.children if child.name.space == ENVELOPE]
        bodies = [part for part in parts if part.name.local == "Body"]
        if len(bodies) != 1 or not bodies[0].children:
            raise ProtocolError("no SOAP 1.1: it has not one body with something in it")
        self.element = bodies[0].children[0]
        self._headers = [header for part in parts if part.name.local == "Header" for header in part.children]
        self.reader = SoapReader(root, BOUNDS)
        for header in self._headers:
            known = header.name == (PROPERTIES, header.name.local)
            if header.attributes.get(f"{{{ENVELOPE}}}mustUnderstand") == "1" and not known:
                raise ProtocolError(f"a header that must be understood, and is not: {str(header.name)[:200]}")

    def signature(self) -> tuple[str, ...] | None:
        """The types of the parameters; None: not said."""
        for header in self._headers:
            if header.name == (PROPERTIES, SIGNATURE):
                names = header.text.split()
                if len(names) > MOST_TYPES:
                    raise ProtocolError(f"a signature of more than {MOST_TYPES} types, in SOAP")
                return tuple(_qualified(header, name) for name in names)
        return None


def _qualified(element: Element, name: str) -> str:
    of = type_of(element.meant(name))
    return of.name if of.assembly is None else f"{of.name}, {of.assembly}"


def _exception(message: _Message) -> ClassNode:
    """The exception in a fault; one of our making, if it is another server's than .NET."""
    parts = {element.name.local: element for element in message.element.children}
    reason = parts["faultstring"].text if "faultstring" in parts else ""
    detail = message.reader.nodes([parts["detail"]])[0] if "detail" in parts else None
    members = detail.members if isinstance(detail, ClassNode | Untyped) else None
    members = members or {}
    exception = members.get("exception")
    if isinstance(exception, ClassNode):
        return exception
    said, stack = _text(members.get("message")), _text(members.get("stackTrace"))
    name = _text(members.get("exceptionType")) or REMOTING
    return ClassNode(name, {"ClassName": name, "Message": said or reason.strip(), "StackTraceString": stack})


def _text(node: Node) -> str | None:
    return node if isinstance(node, str) else node.text if isinstance(node, Untyped) else None
