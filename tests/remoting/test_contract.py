"""Contracts: what counts as remote, and when two of them fit."""

from collections.abc import Iterator
from typing import Protocol

import pytest

import rpcx
from rpcx.remoting.contract import contract_of
from rpcx.remoting.differences import difference


def table(cls: type) -> set[str]:
    return set(contract_of(cls).methods)


def test_public_functions_and_properties_are_remote_and_nothing_else():
    @rpcx.remote
    class Thing:
        attribute = 5

        def call(self): ...
        async def later(self): ...
        def _private(self): ...
        def __len__(self):
            return 0

        @staticmethod
        def static(): ...
        @property
        def value(self): ...
        @value.setter
        def value(self, new): ...
        @value.deleter
        def value(self): ...

    assert table(Thing) == {"call", "later", "value", "value.set", "value.del"}


def test_of_an_undecorated_base_only_what_is_marked_is_remote():
    class Base:
        def hidden(self): ...
        @rpcx.method
        def shown(self): ...

    @rpcx.remote
    class Thing(Base):
        def own(self): ...

    assert table(Thing) == {"own", "shown"}


def test_what_decorated_bases_offer_is_inherited():
    @rpcx.remote
    class Base:
        def one(self): ...

    @rpcx.remote(name="Derived")
    class Thing(Base):
        def two(self): ...

    assert table(Thing) == {"one", "two"}
    assert list(contract_of(Thing).lineage) == ["Base", "Derived"]


def test_a_protocol_can_be_a_contract():
    @rpcx.remote
    class Greeter(Protocol):
        def greet(self, name: str) -> str: ...

    assert table(Greeter) == {"greet"}


@pytest.mark.parametrize("name", ["ünïcode", "x" * 65])
def test_names_that_look_like_others_are_refused(name):
    with pytest.raises(TypeError, match="ASCII"):
        rpcx.remote(type("Thing", (), {name: lambda self: None}))


def test_decorators_say_what_they_are_for():
    with pytest.raises(TypeError, match="needs the uri"):
        rpcx.singleton(object)
    with pytest.raises(TypeError, match="is for a method"):
        rpcx.oneway(5)
    with pytest.raises(TypeError, match=r"no rpcx\.Lease"):
        rpcx.client_activated(lease=5)(type("Thing", (), {}))


def made(**functions) -> type:
    return rpcx.remote(name="Same")(type("Same", (), functions))


def base(self, a: int, b: str = "x") -> int: ...
def renamed(self, c: int, b: str = "x") -> int: ...
def retyped(self, a: float, b: str = "x") -> int: ...
def returning(self, a: int, b: str = "x") -> str: ...
def longer(self, a: int, b: str = "x", c: int = 5) -> int: ...
def demanding(self, a: int, b: str = "x", *, c: int) -> int: ...
def streaming(self, a: int, b: str = "x") -> Iterator[int]: ...


def yielding():
    def f(self) -> Iterator[int]: ...

    return f


def test_a_fingerprint_is_of_what_callers_depend_on():
    fingerprint = contract_of(made(f=base)).fingerprint
    assert contract_of(made(f=base)).fingerprint == fingerprint
    for other in (renamed, retyped, returning, longer, demanding, streaming):
        assert contract_of(made(f=other)).fingerprint != fingerprint


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (renamed, "name is 'a' here and 'c' there"),
        (retyped, "type is 'int' here and 'float' there"),
        (demanding, "required there"),
        (streaming, "kind is 'call' here and 'stream' there"),
    ],
)
def test_the_first_difference_is_named(other, said):
    reason, _ = difference(contract_of(made(f=base)).describe(), contract_of(made(f=other)).describe())
    assert said in reason


def test_what_was_added_still_fits():
    mine = contract_of(made(f=base)).describe()
    reason, added = difference(mine, contract_of(made(f=longer, g=base)).describe())
    assert reason is None
    assert len(added) == 2


def test_a_method_that_overran_is_slow_for_a_while_but_not_after_its_first_call():
    method = contract_of(made(f=base)).methods["f"]
    method.overran(100.0)
    assert method.slow_until == 0.0, "it built its validators"
    method.overran(200.0)
    assert method.slow_until == 260.0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: rpcx.singleton("x")(5), r"@rpcx\.singleton decorates a class, not 5"),
        (lambda: made(_hidden=rpcx.method(lambda self: None)), "a remote method's name begins with a letter"),
        (lambda: made(größe=property(lambda self: 5)), "a remote property's name is ASCII"),
        (lambda: made(f=rpcx.oneway(yielding())), "a one-way method cannot stream, nobody awaits its items"),
    ],
)
def test_what_cannot_be_remote_is_told_when_it_is_decorated(make, said):
    with pytest.raises(TypeError, match=said):
        make()


def test_remote_on_a_method_says_the_same_as_method():
    class Base:
        @rpcx.remote(blocking=True)
        def shown(self): ...

    @rpcx.remote
    class Thing(Base):
        """Its base is not remote."""

    assert contract_of(Thing).methods["shown"].blocking


def test_a_parameter_that_is_optional_on_one_side_only_does_not_fit():
    with_default = contract_of(made(f=lambda self, a=1: None)).describe()
    reason, _ = difference(with_default, contract_of(made(f=lambda self, a: None)).describe())
    assert reason == "f: parameter 'a' is optional on one side only"


class Lamp:
    """A contract without code."""

    def switch(self, on: bool) -> bool: ...
    @property
    def watts(self) -> int: ...
    @watts.setter
    def watts(self, value: int) -> None: ...


rpcx.remote(Lamp)


def test_an_implementation_may_have_an_attribute_where_its_contract_has_a_property():
    class Plain(Lamp):
        watts = 40

    contract = contract_of(Lamp)
    assert contract_of(Plain) is contract
    with pytest.raises(TypeError, match=r"Plain\.watts does not implement Lamp\.watts as a set"):
        contract.implemented_by(Plain)
    readable = rpcx.remote(type("Readable", (), {"watts": property(lambda self: 0)}))
    implementation = type("Plain", (readable,), {"watts": 60})
    assert contract_of(readable).implemented_by(implementation)["watts"].function(implementation()) == 60


def test_what_does_not_implement_its_contract_is_told():
    with pytest.raises(TypeError, match=r"Odd\.switch does not implement Lamp\.switch as a call"):
        contract_of(Lamp).implemented_by(type("Odd", (Lamp,), {"switch": 5}))


def test_an_implementation_without_annotations_is_checked_by_its_contract():
    class Own(Lamp):
        def switch(self, on):
            return on

        watts = Lamp.watts

    method = contract_of(Lamp).implemented_by(Own)["switch"]
    assert method.where == "Own.switch"
    assert method.arguments is contract_of(Lamp).methods["switch"].arguments
    assert repr(method) == "<Method Own.switch call>"
