"""Bytes recorded between a Mono 6.8 client and server, without their frames: the published classic and its kin.

The server's application is ``app``, its object ``RemoteObjectURL`` of type `T`. Hexadecimal stands apart from texts,
so that each can be compared with the format's description.
"""

T = "RemoteObjectDef, shared, Version=0.0.0.0, Culture=neutral, PublicKeyToken=null"
ACTIVATOR = (
    "System.Runtime.Remoting.Activation.IActivator, mscorlib, Version=4.0.0.0, Culture=neutral, "
    "PublicKeyToken=b77a5c561934e089"
)

HEADER_INLINE = "00 00000000 00000000 01000000 00000000"  # root 0: a call without objects
HEADER_ARRAY = "00 01000000 ffffffff 01000000 00000000"  # root 1


def recorded(*parts: str) -> bytes:
    """Texts begin with ``'`` and get their length in front; the rest is hexadecimal."""
    out = b""
    for part in parts:
        if part.startswith("'"):
            text = part[1:].encode()
            size = len(text)
            out += (bytes((size & 0x7F | 0x80, size >> 7)) if size > 127 else bytes((size,))) + text
        else:
            out += bytes.fromhex(part)
    return out


SET_VALUE = recorded(
    HEADER_INLINE,
    "15 12000000",  # MethodCall: ArgsInline + NoContext
    "12", "'SetValue", "12", "'" + T,
    "01000000 12", "'000",
    "0b",
)  # fmt: skip
SET_VALUE_REPLY = recorded(HEADER_INLINE, "16 12020000 01000000 11 0b")  # NoReturnValue, one out slot: null
ADD = recorded(
    HEADER_INLINE, "15 12000000 12", "'Add", "12", "'" + T, "02000000 08 02000000 08 03000000 0b"
)  # fmt: skip
ADD_REPLY = recorded(HEADER_INLINE, "16 12080000 08 05000000 02000000 11 11 0b")  # ReturnValueInline Int32 5
COUNT = recorded(HEADER_INLINE, "15 11000000 12", "'Count", "12", "'" + T, "0b")  # NoArgs
COUNT_REPLY = recorded(HEADER_INLINE, "16 11080000 08 01000000 0b")

STACK = "  at RemoteObjectDef.Boom () [0x00000] in <0123456789abcdef>:0 "
BOOM_REPLY = recorded(
    HEADER_ARRAY,
    "16 11220000",  # NoArgs + NoContext + NoReturnValue + ExceptionInArray
    "10 01000000 01000000 09 02000000",  # ArraySingleObject 1 of one: object 2
    "04 02000000", "'System.InvalidOperationException", "0b000000",
    "'ClassName", "'Message", "'Data", "'InnerException", "'HelpURL", "'StackTraceString",
    "'RemoteStackTraceString", "'RemoteStackIndex", "'ExceptionMethod", "'HResult", "'Source",
    "01 01 03 03 01 01 01 00 02 00 01",
    "'System.Collections.IDictionary", "'System.Exception", "08 08",
    "06 03000000", "'System.InvalidOperationException", "06 04000000", "'boom", "0a 0a 0a",
    "06 05000000", "'" + STACK, "0a 00000000 0a 09151380",
    "06 06000000", "'shared", "0b",
)  # fmt: skip
