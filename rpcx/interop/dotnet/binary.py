"""Calls and returns in the binary formatter's bytes.

Small ones (primitives, texts and nulls) stand in the message's own record. As soon as one value is an object, all of
them go into one array of objects behind it, together with whatever else the message carries, in a fixed order:

    call    arguments, type arguments, signature, context, properties   (the arguments alone: the array is them)
    return  out arguments, value, exception, context, properties
"""

from collections.abc import Sequence
from typing import Final

from rpcx.interop.dotnet.clrnames import split_assembly
from rpcx.interop.dotnet.messages import MethodCall, MethodReturn
from rpcx.interop.dotnet.nodes import OBJECT, ArrayNode, ClassNode, Kind, Node, Primitive
from rpcx.interop.dotnet.reader import Reader
from rpcx.interop.dotnet.records import CODE_NULL, CODE_STRING, Flag, Record
from rpcx.interop.dotnet.scalars import Bounds
from rpcx.interop.dotnet.writer import Writer

HOLDER: Final = "System.UnitySerializationHolder"  # what a Type becomes
RUNTIME_TYPE: Final = 4  # its UnityType for a Type
ARGS_AND_OTHERS: Final = Flag.ARGS_IN_ARRAY | Flag.SIGNATURE_IN_ARRAY | Flag.GENERIC_METHOD | Flag.CONTEXT_IN_ARRAY


# --- writing ----------------------------------------------------------------------------------------------------


def write_call(call: MethodCall) -> bytes:
    """The bytes of a call.

    Raises:
        ValueError: a value does not fit into its type.
    """
    flags, inline, array = _args(call.args)
    others: list[Node] = []
    if call.generics is not None:
        flags |= Flag.GENERIC_METHOD
        others.append(types_node(call.generics))
    if call.signature is not None:
        flags |= Flag.SIGNATURE_IN_ARRAY
        others.append(types_node(call.signature))
    if isinstance(call.context, ClassNode):
        flags |= Flag.CONTEXT_IN_ARRAY
        others.append(call.context)
    else:
        flags |= Flag.NO_CONTEXT
    if others and array is not None:  # then the arguments are one item among others
        flags = flags & ~Flag.ARGS_IS_ARRAY | Flag.ARGS_IN_ARRAY
        array = [ArrayNode(OBJECT, list(array)), *others]
    elif others:
        array = others
    writer = _begun(array)
    writer.byte(Record.CALL)
    writer.int32(flags)
    _write_value(writer, call.method)
    _write_value(writer, call.type_name)
    if inline is not None:
        _write_values(writer, inline)
    return _ended(writer, array)


def write_return(answer: MethodReturn) -> bytes:
    """The bytes of a return.

    Raises:
        ValueError: a value does not fit into its type.
    """
    flags, inline, array = (Flag.NO_ARGS, None, None) if answer.exception is not None else _args(answer.out)
    others: list[Node] = []
    value_inline = False
    if answer.exception is not None:
        flags |= Flag.EXCEPTION_IN_ARRAY | Flag.NO_RETURN_VALUE
        others.append(answer.exception)
    elif answer.void:
        flags |= Flag.NO_RETURN_VALUE
    elif isinstance(answer.value, _PLAIN):
        flags |= Flag.RETURN_INLINE
        value_inline = True
    else:
        flags |= Flag.RETURN_IN_ARRAY
        others.append(answer.value)
    if isinstance(answer.context, ClassNode):
        flags |= Flag.CONTEXT_IN_ARRAY
        others.append(answer.context)
    else:
        flags |= Flag.NO_CONTEXT
    if others and array is not None:
        flags = flags & ~Flag.ARGS_IS_ARRAY | Flag.ARGS_IN_ARRAY
        array = [ArrayNode(OBJECT, list(array)), *others]
    elif others:
        array = others
    writer = _begun(array)
    writer.byte(Record.RETURN)
    writer.int32(flags)
    if value_inline:
        _write_value(writer, answer.value)
    if inline is not None:
        _write_values(writer, inline)
    return _ended(writer, array)


def _args(args: Sequence[Node]) -> tuple[int, Sequence[Node] | None, list[Node] | None]:
    """Where arguments go: their flag, and they themselves inline or as an array."""
    if not args:
        return Flag.NO_ARGS, None, None
    for arg in args:
        if not isinstance(arg, _PLAIN):
            return Flag.ARGS_IS_ARRAY, None, list(args)
    return Flag.ARGS_INLINE, args, None


_PLAIN: Final = (Primitive, str, type(None))


def _begun(array: list[Node] | None) -> Writer:
    writer = Writer()
    if array is None:
        writer.header(0, 0)
    else:
        writer.header(1)
    return writer


def _ended(writer: Writer, array: list[Node] | None) -> bytes:
    if array is not None:
        writer.graph(ArrayNode(OBJECT, array))
    return writer.end()


def _write_value(writer: Writer, value: Node) -> None:
    if value is None:
        writer.byte(CODE_NULL)
    elif isinstance(value, str):
        writer.byte(CODE_STRING)
        writer.text(value)
    else:
        assert isinstance(value, Primitive)
        writer.byte(value.kind)
        writer.primitive(value)


def _write_values(writer: Writer, values: Sequence[Node]) -> None:
    writer.int32(len(values))
    for value in values:
        _write_value(writer, value)


def types_node(names: Sequence[str]) -> ArrayNode:
    """A ``Type[]``: each by its name, with its assembly behind the first comma outside of brackets."""
    return ArrayNode("System.Type", [type_node(name) for name in names])


def type_node(qualified: str) -> ClassNode:
    """A ``Type``, from ``Name, Assembly``."""
    name, assembly = split_assembly(qualified)
    members: dict[str, Node] = {
        "Data": name,
        "UnityType": Primitive(Kind.INT32, RUNTIME_TYPE),
        "AssemblyName": assembly,
    }
    return ClassNode(HOLDER, members)


# --- reading ----------------------------------------------------------------------------------------------------


def read_call(body: bytes, bounds: Bounds | None = None) -> MethodCall:
    """The call in ``body``.

    Raises:
        ProtocolError: there is none.
    """
    reader = Reader(body, bounds)
    root = reader.header()
    if reader.byte() != Record.CALL:
        raise reader.error("it is no call")
    flags = reader.int32()
    call = MethodCall(_read_text(reader), _read_text(reader))
    if flags & Flag.CONTEXT_INLINE:
        call.context = _read_text(reader)
    if flags & Flag.ARGS_INLINE:
        call.args = _read_values(reader)
    array = _Items(reader, reader.graph().get(root), wanted=bool(flags & (ARGS_AND_OTHERS | Flag.ARGS_IS_ARRAY)))
    if flags & Flag.ARGS_IS_ARRAY:
        call.args = array.items
        return call
    if flags & Flag.ARGS_IN_ARRAY:
        call.args = _nodes(reader, array.take())
    if flags & Flag.GENERIC_METHOD:
        call.generics = _type_names(reader, array.take())
    if flags & Flag.SIGNATURE_IN_ARRAY:
        call.signature = _type_names(reader, array.take())
    if flags & Flag.CONTEXT_IN_ARRAY:
        call.context = _class(reader, array.take())
    return call


def read_return(body: bytes, bounds: Bounds | None = None) -> MethodReturn:
    """The return in ``body``.

    Raises:
        ProtocolError: there is none.
    """
    reader = Reader(body, bounds)
    root = reader.header()
    if reader.byte() != Record.RETURN:
        raise reader.error("it is no return")
    flags = reader.int32()
    answer = MethodReturn(void=bool(flags & (Flag.NO_RETURN_VALUE | Flag.VOID)))
    if flags & Flag.RETURN_INLINE:
        answer.value = _read_value(reader)
    if flags & Flag.CONTEXT_INLINE:
        answer.context = _read_text(reader)
    if flags & Flag.ARGS_INLINE:
        answer.out = _read_values(reader)
    in_array = Flag.ARGS_IS_ARRAY | Flag.ARGS_IN_ARRAY | Flag.RETURN_IN_ARRAY | Flag.EXCEPTION_IN_ARRAY
    array = _Items(reader, reader.graph().get(root), wanted=bool(flags & (in_array | Flag.CONTEXT_IN_ARRAY)))
    if flags & Flag.ARGS_IS_ARRAY:
        answer.out = array.items
        return answer
    if flags & Flag.ARGS_IN_ARRAY:
        answer.out = _nodes(reader, array.take())
    if flags & Flag.RETURN_IN_ARRAY:
        answer.value = array.take()
    if flags & Flag.EXCEPTION_IN_ARRAY:
        answer.exception = array.take()
        if answer.exception is None:
            raise reader.error("its exception is null")
    if flags & Flag.CONTEXT_IN_ARRAY:
        answer.context = _class(reader, array.take())
    return answer


class _Items:
    """The array behind a message, taken from the front."""

    def __init__(self, reader: Reader, array: Node, *, wanted: bool) -> None:
        self._reader = reader
        self.items: list[Node] = []
        if wanted:
            self.items = _nodes(reader, array)

    def take(self) -> Node:
        if not self.items:
            raise self._reader.error("its array has fewer items than its flags say")
        return self.items.pop(0)


def _nodes(reader: Reader, node: Node) -> list[Node]:
    if not isinstance(node, ArrayNode) or isinstance(node.element, Kind):
        raise reader.error(f"an array of objects is needed where there is {node!r}"[:200])
    return list(node.items)


def _class(reader: Reader, node: Node) -> ClassNode:
    if not isinstance(node, ClassNode):
        raise reader.error("its context is no object")
    return node


def _type_names(reader: Reader, node: Node) -> tuple[str, ...]:
    return tuple(_type_name(reader, item) for item in _nodes(reader, node))


def _type_name(reader: Reader, node: Node) -> str:
    if isinstance(node, ClassNode) and node.name == HOLDER:
        name, assembly = node.members.get("Data"), node.members.get("AssemblyName")
        if isinstance(name, str):
            return f"{name}, {assembly}" if isinstance(assembly, str) and assembly else name
    raise reader.error("a type is not as .NET writes one")


def _read_text(reader: Reader) -> str:
    value = _read_value(reader)
    if not isinstance(value, str):
        raise reader.error("a name is no text")
    return value


def _read_value(reader: Reader) -> Node:
    code = reader.byte()
    if code == CODE_NULL:
        return None
    if code == CODE_STRING:
        return reader.text()
    kind = reader.kind(code)
    return Primitive(kind, reader.primitive(kind))


def _read_values(reader: Reader) -> list[Node]:
    count = reader.count()
    if count > reader.left:
        raise reader.error(f"{count} values do not fit into what is left")
    return [_read_value(reader) for _ in range(count)]
