"""An ObjRef: what stands for a remote object in .NET's messages.

It says where the object is (a URI, and the URLs of its process's channels), and what it is (the names of its class,
its bases and interfaces). Here only names are read out of it; whether anybody connects to a URL in it, is decided
elsewhere.
"""

from dataclasses import dataclass

from rpcx.errors import InvalidArguments
from rpcx.interop.dotnet.nodes import OBJECT, STRING, ArrayNode, ClassNode, Kind, Node, Primitive

NAME = "System.Runtime.Remoting.ObjRef"
AS_VALUE = "fIsMarshalled"  # a member that an ObjRef has when it stays one, instead of becoming a proxy
CHANNELS = "System.Runtime.Remoting.Channels"


@dataclass(slots=True)
class ObjRef:
    """A reference in its parts."""

    uri: str
    server_type: str = ""  # with its assembly; empty: it came without
    hierarchy: tuple[str, ...] = ()  # base classes
    interfaces: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()  # of the channels of its process
    process: str = ""  # the guid of its process


def compose(reference: ObjRef, *, as_value: bool = False) -> ClassNode:
    """The node of a reference.

    Args:
        reference: what is to be said.
        as_value: it stays an ObjRef at the other end, instead of becoming a proxy there.
    """
    type_info = ClassNode(
        "System.Runtime.Remoting.TypeInfo",
        {
            "serverType": reference.server_type,
            "serverHierarchy": ArrayNode(STRING, list(reference.hierarchy)),
            "interfacesImplemented": ArrayNode(STRING, list(reference.interfaces)),
        },
    )
    domain = ClassNode(
        f"{CHANNELS}.CrossAppDomainData",
        {
            "_ContextID": Primitive(Kind.INT32, 0),
            "_DomainID": Primitive(Kind.INT32, 0),
            "_processGuid": reference.process,
        },
    )
    store = ClassNode(
        f"{CHANNELS}.ChannelDataStore",
        {"_channelURIs": ArrayNode(STRING, list(reference.urls)), "_extraData": None},
    )
    members: dict[str, Node] = {
        "uri": reference.uri,
        "typeInfo": type_info,
        "envoyInfo": None,
        "channelInfo": ClassNode(
            "System.Runtime.Remoting.ChannelInfo", {"channelData": ArrayNode(OBJECT, [domain, store])}
        ),
        "objrefFlags": Primitive(Kind.INT32, 0),
    }
    if as_value:
        members[AS_VALUE] = Primitive(Kind.INT32, 0)
    return ClassNode(NAME, members)


def parse(node: ClassNode) -> ObjRef:
    """What a reference's node says.

    Raises:
        InvalidArguments: it names no object.
    """
    uri = node.members.get("uri") or node.members.get("url")
    if not isinstance(uri, str):
        raise InvalidArguments("an ObjRef that names no object")
    reference = ObjRef(uri)
    info = node.members.get("typeInfo")
    if isinstance(info, ClassNode):
        server_type = info.members.get("serverType")
        reference.server_type = server_type if isinstance(server_type, str) else ""
        reference.hierarchy = _texts(info.members.get("serverHierarchy"))
        reference.interfaces = _texts(info.members.get("interfacesImplemented"))
    for data in _items(node.members.get("channelInfo")):
        process = data.members.get("_processGuid")
        if isinstance(process, str):
            reference.process = process
        reference.urls += _texts(data.members.get("_channelURIs"))
    return reference


def _items(info: Node) -> list[ClassNode]:
    array = info.members.get("channelData") if isinstance(info, ClassNode) else None
    items = array.items if isinstance(array, ArrayNode) and array.element == OBJECT else []
    return [item for item in items if isinstance(item, ClassNode)]


def _texts(array: Node) -> tuple[str, ...]:
    items = array.items if isinstance(array, ArrayNode) and array.element == STRING else []
    return tuple(item for item in items if isinstance(item, str))
