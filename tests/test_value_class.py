"""Value class: a ``dataclass(frozen=True, slots=True, kw_only=True)``, for less."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import pickletools
import sys
import typing
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given, strategies as st

from perdure._value_class import constructor, record_class, value_class


@value_class
class Point:
    """A point."""

    x: int
    y: int = 0
    labels: list[str] = field(default_factory=list[str])

    @property
    def total(self) -> int:
        return self.x + self.y


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The same, as it would be without."""

    x: int
    y: int = 0
    labels: list[str] = field(default_factory=list[str])


@value_class(kw_only=False)
class Pair:
    left: int
    right: str = "r"


@value_class(kw_only=False)
class Nothing:
    """No field."""


@value_class
class Told:
    """One that says for itself how it is shown."""

    x: int

    def __repr__(self) -> str:
        return "told"


POINTS = st.fixed_dictionaries(
    {
        "x": st.integers(-3, 3),
        "y": st.integers(-3, 3),
        "labels": st.lists(st.sampled_from(["a", "b"]), max_size=2),
    }
)


@given(POINTS, POINTS)
def test_it_is_compared_shown_and_taken_apart_like_a_dataclass(
    one: dict[str, Any], two: dict[str, Any]
) -> None:
    ours, theirs = (Point(**one), Point(**two)), (Model(**one), Model(**two))
    assert (ours[0] == ours[1]) == (theirs[0] == theirs[1])
    assert repr(ours[0]) == repr(theirs[0]).replace("Model", "Point")
    assert dataclasses.asdict(ours[0]) == dataclasses.asdict(theirs[0])
    assert dataclasses.replace(ours[0], x=9) == Point(x=9, y=one["y"], labels=one["labels"])
    for same in (copy.copy(ours[0]), copy.deepcopy(ours[0]), pickle.loads(pickle.dumps(ours[0]))):
        assert same == ours[0]
        assert type(same) is Point


def test_what_is_pickled_names_its_class_and_no_function() -> None:
    values = [Pair(1), Nothing(), Point(x=2, labels=["a"])]
    written = pickle.dumps(values)
    texts = {arg for _, arg, _ in pickletools.genops(written) if isinstance(arg, str)}
    assert pickle.loads(written) == values
    assert {"Pair", "Nothing", "Point"} <= texts
    assert not {"_slotted", "value_class", "_initializer", "__init__"} & texts


@pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace is new in 3.13")
def test_copy_replaces_its_fields() -> None:
    replace = cast(Any, copy).replace
    assert replace(Point(x=1, y=2), x=3) == Point(x=3, y=2)


def test_its_signature_is_a_dataclass_s() -> None:
    assert str(inspect.signature(Point)) == str(inspect.signature(Model))
    assert typing.get_type_hints(Point) == typing.get_type_hints(Model)
    assert Point.__init__.__qualname__ == "Point.__init__"
    assert inspect.getdoc(new_point) == "A ``Point`` of *x*, *y*, *labels*."
    assert {Point.__init__.__module__, new_point.__module__} == {__name__}


def test_defaults_are_made_anew() -> None:
    first, second = Point(x=1), Point(x=1)
    first.labels.append("a")
    assert second.labels == []
    assert first.total == 1


def test_nothing_in_it_can_be_set_or_deleted() -> None:
    point = Point(x=1)
    with pytest.raises(FrozenInstanceError, match="Point is frozen: x stays"):
        cast(Any, point).x = 2
    with pytest.raises(FrozenInstanceError):
        delattr(point, "x")
    with pytest.raises(FrozenInstanceError):
        cast(Any, point).z = 2
    assert point == Point(x=1)


def test_it_has_slots_and_positional_fields_where_asked_for() -> None:
    assert vars(Pair)["__slots__"] == ("left", "right")
    assert not hasattr(Pair(1), "__dict__")
    match Pair(1):
        case Pair(left, right):
            assert (left, right) == (1, "r")


def test_it_is_hashed_by_its_fields_and_equal_to_its_own_kind_only() -> None:
    assert len({Pair(1), Pair(1, "r"), Pair(2)}) == 2
    assert Nothing() == Nothing()
    assert cast(object, Pair(1)) != (1, "r")
    assert hash(Nothing()) == hash(Nothing())
    with pytest.raises(TypeError, match="unhashable"):
        hash(Point(x=1))


@st.composite
def shapes(draw: st.DrawFn) -> tuple[dict[str, object], bool, list[str]]:
    """What stands in a class, whether its fields are taken by name, and all their names."""
    names = draw(st.lists(st.sampled_from("abcdefghijkl"), unique=True, max_size=9))
    required = draw(st.integers(0, len(names)))
    space: dict[str, object] = {"__annotations__": dict.fromkeys(names, "object")}
    for name in names[required:]:
        space[name] = draw(st.sampled_from([0, "text", None, "list"]))
    if draw(st.booleans()):
        space["__doc__"] = "A class of some shape."
    return space, draw(st.booleans()), names


@given(shapes(), st.data())
def test_a_class_of_any_shape_is_as_a_dataclass_of_it(
    shape: tuple[dict[str, object], bool, list[str]], data: st.DataObject
) -> None:
    space, kw_only, names = shape
    ours, theirs = (_of_shape(space, kw_only, kind) for kind in ("ours", "theirs"))
    assert str(inspect.signature(ours)) == str(inspect.signature(theirs))
    for one, other in zip(dataclasses.fields(ours), dataclasses.fields(theirs), strict=True):
        assert repr(one) == repr(other)
    assert (ours.__match_args__, ours.__slots__) == (theirs.__match_args__, theirs.__slots__)
    construct = constructor(ours)
    chosen: set[str] = data.draw(st.sets(st.sampled_from(names))) if names else set()
    values = {name: f"of {name}" for name in names if name in chosen}
    placed = data.draw(st.integers(0, 3))
    assert _call(ours, placed, values) == _call(theirs, placed, values)
    assert _call(construct, placed, values) == _call(theirs, placed, values)


def _of_shape(space: dict[str, object], kw_only: bool, kind: str) -> Any:
    content: dict[str, object] = {
        name: field(default_factory=list[str]) if value == "list" else value
        for name, value in space.items()
    }
    cls = type("Shape", (), {**content, "__module__": __name__})
    if kind == "ours":
        return value_class(kw_only=kw_only)(cls)
    return dataclass(frozen=True, slots=True, kw_only=kw_only)(cls)


def _call(call: Any, placed: int, values: dict[str, str]) -> object:
    """What it makes, or that it refuses."""
    try:
        value = call(*range(placed), **values)
    except TypeError:
        return TypeError
    return dataclasses.astuple(value)


def test_a_field_without_a_default_may_not_follow_one_with() -> None:
    cls = type("Odd", (), {"__annotations__": {"a": "int", "b": "int"}, "a": 1, "__doc__": "."})
    with pytest.raises(TypeError, match="without a default follows"):
        value_class(kw_only=False)(cls)


@value_class
class Counted:
    """One with something else than fields in it."""

    total: typing.ClassVar[int] = 7
    x: int = 1


class Broad:
    __slots__ = ("width",)


@value_class
class Wide(Broad):
    """One whose base has a slot."""

    x: int


def test_what_is_no_plain_field_is_left_to_dataclasses() -> None:
    assert [member.name for member in dataclasses.fields(Counted)] == ["x"]
    assert (Counted().x, Counted.total) == (1, 7)
    assert constructor(Counted)(x=5) == Counted(x=5)
    assert vars(Wide)["__slots__"] == ("x",)


@record_class
class Row:
    """A record."""

    x: int
    labels: list[str] = field(default_factory=list[str])


@record_class(kw_only=False)
class Wake(Row):
    """A record of more fields."""

    due: int | None = None


def test_a_record_is_a_dataclass_that_may_change() -> None:
    row, other = Row(x=1), Row(x=1)
    row.x = 2
    row.labels.append("a")
    assert row != other
    assert (row, other.labels) == (Row(x=2, labels=["a"]), [])
    assert repr(row) == "Row(x=2, labels=['a'])"
    assert dataclasses.replace(row, x=3) == Row(x=3, labels=["a"])
    assert not hasattr(row, "__dict__")
    assert [pickle.loads(pickle.dumps(row)), copy.deepcopy(row)] == [row, row]
    with pytest.raises(TypeError, match="unhashable"):
        hash(row)
    with pytest.raises(AttributeError):
        cast(Any, row).z = 1


def test_a_record_may_have_more_fields_than_its_base() -> None:
    wake = Wake(due=3, x=1)
    wake.due = None
    assert (wake, wake.x) == (Wake(x=1), 1)
    assert [member.name for member in dataclasses.fields(Wake)] == ["x", "labels", "due"]


def test_a_method_of_its_own_stays() -> None:
    assert repr(Told(x=1)) == "told"


def test_what_is_missing_is_an_error() -> None:
    with pytest.raises(TypeError, match="x"):
        cast(Any, Point)()


new_point, new_pair, new_nothing = constructor(Point), constructor(Pair), constructor(Nothing)


@given(POINTS, st.booleans())
def test_a_constructor_makes_what_its_class_makes(fields: dict[str, Any], whole: bool) -> None:
    named = fields if whole else {"x": fields["x"]}
    ours, theirs = new_point(**named), Point(**named)
    assert (ours, repr(ours), type(ours)) == (theirs, repr(theirs), Point)
    assert pickle.loads(pickle.dumps(ours)) == copy.copy(ours) == theirs


def test_what_a_constructor_makes_is_frozen_and_its_own() -> None:
    first, second = new_point(x=1), new_point(x=1)
    with pytest.raises(FrozenInstanceError, match="Point is frozen: x stays"):
        cast(Any, first).x = 2
    first.labels.append("a")
    assert second.labels == []
    assert first.total == 1


def test_a_constructor_takes_fields_as_its_class_does() -> None:
    assert (new_pair(1), new_pair(left=1, right="s")) == (Pair(1), Pair(1, "s"))
    assert new_nothing() == Nothing()
    for call in (new_point, new_pair):
        with pytest.raises(TypeError, match="missing 1 required"):
            cast(Any, call)()
    with pytest.raises(TypeError, match="positional"):
        cast(Any, new_point)(1)
