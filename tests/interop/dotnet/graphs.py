"""Graphs of nodes: whether two are the same, and arbitrary ones."""

from decimal import Decimal

from hypothesis import strategies as st

from rpcx.interop.dotnet.nodes import ArrayNode, ClassNode, Kind, Node, Primitive

RANGES = {
    Kind.BYTE: (0, 2**8 - 1), Kind.SBYTE: (-(2**7), 2**7 - 1), Kind.INT16: (-(2**15), 2**15 - 1),
    Kind.UINT16: (0, 2**16 - 1), Kind.INT32: (-(2**31), 2**31 - 1), Kind.UINT32: (0, 2**32 - 1),
    Kind.INT64: (-(2**63), 2**63 - 1), Kind.UINT64: (0, 2**64 - 1), Kind.TIMESPAN: (-(2**63), 2**63 - 1),
    Kind.DATETIME: (0, 2**64 - 1),
}  # fmt: skip

VALUES = {
    **{kind: st.integers(*bounds) for kind, bounds in RANGES.items()},
    Kind.BOOLEAN: st.booleans(),
    Kind.CHAR: st.characters(max_codepoint=0xFFFF, exclude_categories=("Cs",)),
    Kind.DECIMAL: st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=6),
    Kind.DOUBLE: st.floats(),
    Kind.SINGLE: st.floats(width=32),
}
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
NAMES = st.text(st.sampled_from("abcXYZ_<>.`1[]"), min_size=1, max_size=12).map(lambda name: f"N.{name}")
PRIMITIVES = st.sampled_from(Kind).flatmap(lambda kind: VALUES[kind].map(lambda value: Primitive(kind, value)))


@st.composite
def plain_arrays(draw):
    kind = draw(st.sampled_from(Kind))
    items = draw(st.binary(max_size=24) if kind is Kind.BYTE else st.lists(VALUES[kind], max_size=24))
    lengths = (len(items),)
    if len(items) and len(items) % 2 == 0 and draw(st.booleans()):
        lengths = (2, len(items) // 2)
    return ArrayNode(kind, items, lengths, lower=draw(st.none() | st.just((1,) * len(lengths))))


@st.composite
def graphs(draw):
    """A graph whose objects refer to each other at will, cycles included."""
    count = draw(st.integers(1, 6))
    made = [draw(st.one_of(st.builds(ClassNode, NAMES, st.just({})), st.just(None))) for _ in range(count)]
    made = [node or ArrayNode("System.Object", []) for node in made]
    for node in made:
        if isinstance(node, ClassNode):
            node.assembly = draw(st.none() | st.sampled_from(["shared", "other, Version=1.0.0.0"]))
    leaf = st.one_of(st.none(), TEXTS, PRIMITIVES, plain_arrays(), st.sampled_from(made), inline_structs())
    for node in made:
        if isinstance(node, ClassNode):
            node.members = draw(st.dictionaries(NAMES, leaf, max_size=5))
        else:
            node.items = draw(st.lists(leaf, max_size=8))
            node.lengths = (len(node.items),)
            if node.items and draw(st.booleans()):
                node.element, node.assembly = draw(st.sampled_from([("N.Thing", "shared"), ("N.Thing[]", None)]))
    return made[0]


@st.composite
def inline_structs(draw):
    inner = draw(st.none() | st.builds(ClassNode, NAMES, st.dictionaries(NAMES, PRIMITIVES, max_size=2)))
    if inner is not None:
        inner.inline = True
    members: dict[str, Node] = {"value__": Primitive(Kind.INT32, 7), "inner": inner}
    return ClassNode(draw(NAMES), members, inline=True)


def same(one: Node, other: Node, met: dict[int, int] | None = None) -> bool:
    """Whether two graphs are equal, shared parts and cycles included."""
    met = {} if met is None else met
    if type(one) is not type(other):
        return False
    if not isinstance(one, ClassNode | ArrayNode):
        return one == other
    if id(one) in met:
        return met[id(one)] == id(other)
    met[id(one)] = id(other)
    if isinstance(one, ClassNode):
        return (
            (one.name, one.assembly, list(one.members)) == (other.name, other.assembly, list(other.members))
            and all(same(mine, yours, met) for mine, yours in zip(one.members.values(), other.members.values()))
        )  # fmt: skip
    if (one.element, one.lengths, one.assembly, one.lower) != (
        other.element,
        other.lengths,
        other.assembly,
        other.lower,
    ):
        return False
    if isinstance(one.element, Kind):
        return all(
            Primitive(one.element, mine) == Primitive(one.element, yours)
            for mine, yours in zip(one.items, other.items, strict=True)
        )
    return all(same(mine, yours, met) for mine, yours in zip(one.items, other.items, strict=True))


def decimal(text: str) -> Primitive:
    return Primitive(Kind.DECIMAL, Decimal(text))
