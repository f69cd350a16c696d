# ruff: noqa: E501  # one kind a line
"""Kinds: types made up by chance, each with values of it.

A kind knows in which form of JavaScript's its values cross, so that a union is made of members
that their forms tell apart: docs/values.md says that others are not.
"""

# Types are values here, which are not known before they are made up:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import dataclasses
import enum
import itertools
from collections import Counter, OrderedDict, abc, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from functools import partial
from ipaddress import IPv4Address, IPv6Interface, IPv6Network
from pathlib import Path, PurePosixPath
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    TypeVar,
    Union,
)
from uuid import UUID
from zoneinfo import ZoneInfo

import annotated_types
import pydantic
from hypothesis import reject, strategies as st
from pydantic.alias_generators import to_camel
from pydantic_core import SchemaError
from typing_extensions import TypedDict  # pydantic's models take no other before Python 3.12

from perdure.values import ArrayBuffer, BigInt, DataView, RegExp, Stream, Url

__all__ = ("Kind", "kinds", "same")

T = TypeVar("T")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
NAMES = st.sampled_from(["a", "b", "type", "id", "class_", "strict", "model", "é", "constructor"])
SAFE = st.integers(-(2**53) + 1, 2**53 - 1)
_number = itertools.count()


@dataclass(frozen=True)
class Kind:
    """A type, values of it, and what these are in JavaScript."""

    annotation: Any
    values: st.SearchStrategy[Any]
    form: str
    is_hashable: bool = False

    def __repr__(self) -> str:
        return f"<Kind {self.form}>"


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"
    ALSO_BLUE = "blue"  # noqa: PIE796  # an alias


class Word(enum.StrEnum):
    AM = enum.auto()
    PM = enum.auto()


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2**40


class Ratio(float, enum.Enum):
    HALF = 0.5
    ONE = 1.0


class Huge(enum.IntEnum):
    ONE = 1
    LAST = 2**63


class Truth(enum.Enum):
    YES = True
    NO = False


class Mixed(enum.Enum):
    ONE = 1
    TWO = "two"
    THREE = 2.5


class Shape(enum.Enum):
    SQUARE = (1, 1)
    WIDE = (2, 1)


class Nothing(enum.Enum):
    NOTHING = None
    SOME = "some"


class Access(enum.Flag):
    READ = 1
    WRITE = 2
    BOTH = 3


class Mode(enum.IntFlag):
    A = 1
    B = 4


class Wide(enum.IntFlag):
    A = 1
    B = 2**60


class Planet(enum.Enum):
    EARTH = (1.0, 2.0)
    MARS = (3.0, 4.0)

    def __init__(self, mass: float, radius: float) -> None:
        self.mass = mass


UserId = NewType("UserId", UUID)
AWARE = st.datetimes(
    datetime(1, 1, 3),
    datetime(9999, 12, 29),
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)
SPANS = st.timedeltas(timedelta(days=-100_000), timedelta(days=100_000))
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [Decimal("1.50"), Decimal("-0"), Decimal("1E+5")]
)
PATHS = st.sampled_from(["/a/b", "a", ".", "é/ü", "/"])

LEAVES: list[Kind] = [
    Kind(int, SAFE, "number", True),
    Kind(float, st.floats(), "number", True),
    Kind(bool, st.booleans(), "boolean", True),
    Kind(str, TEXT, "string", True),
    Kind(bytes, st.binary(max_size=4), "bytes"),
    Kind(None, st.none(), "null", True),
    Kind(datetime, AWARE, "Date"),
    Kind(pydantic.AwareDatetime, AWARE, "Date"),
    Kind(pydantic.PastDatetime, st.datetimes(datetime(1900, 1, 1), datetime(2000, 1, 1), timezones=st.just(UTC)), "Date"),
    Kind(date, st.dates(), "string", True),
    Kind(time, st.times(timezones=st.sampled_from([None, UTC])), "string", True),
    Kind(timedelta, SPANS, "number", True),
    Kind(UUID, st.uuids(), "string", True),
    Kind(pydantic.UUID4, st.uuids(version=4), "string", True),
    Kind(UserId, st.uuids(), "string", True),
    Kind(Decimal, DECIMALS, "string", True),
    Kind(Path, PATHS.map(Path), "string", True),
    Kind(PurePosixPath, PATHS.map(PurePosixPath), "string", True),
    Kind(Fraction, st.fractions(), "string", True),
    Kind(IPv4Address, st.ip_addresses(v=4), "string", True),
    Kind(IPv6Network, st.just(IPv6Network("::/8")), "string", True),
    Kind(IPv6Interface, st.just(IPv6Interface("::1/64")), "string", True),
    Kind(ZoneInfo, st.sampled_from(["UTC", "Europe/Berlin"]).map(ZoneInfo), "string", True),
    Kind(pydantic.HttpUrl, st.just(pydantic.HttpUrl("http://a/b?c=d#e")), "string", True),
    Kind(pydantic.PostgresDsn, st.just(pydantic.PostgresDsn("postgres://u:p@h/d")), "string", True),
    Kind(BigInt, st.integers(-(2**100), 2**100).map(BigInt), "number", True),
    Kind(Url, st.just(Url("http://a/b")), "URL"),
    Kind(RegExp, st.just(RegExp("a+", "gi")), "RegExp"),
    Kind(Stream, st.builds(Stream, TEXT, TEXT), "WritableStream"),
    Kind(ArrayBuffer, st.binary(max_size=3).map(ArrayBuffer), "ArrayBuffer"),
    Kind(DataView, st.binary(max_size=3).map(DataView), "DataView"),
    Kind(pydantic.ByteSize, st.integers(0, 2**40).map(pydantic.ByteSize), "other"),  # reads texts, too
    Kind(Annotated[int, pydantic.Field(ge=0, le=9)], st.integers(0, 9), "number", True),
    Kind(Annotated[int, annotated_types.MultipleOf(3)], st.integers(-9, 9).map(lambda n: 3 * n), "number", True),
    Kind(Annotated[float, pydantic.Field(gt=0)], st.floats(0.25, 9), "number", True),
    Kind(Annotated[Decimal, pydantic.Field(max_digits=6, decimal_places=2)], st.just(Decimal("12.34")), "string", True),
    Kind(Annotated[str, pydantic.StringConstraints(pattern="^a+$", max_length=4)], st.just("aa"), "string", True),
    Kind(Annotated[timedelta, pydantic.Field(ge=timedelta(0))], st.just(timedelta(microseconds=1)), "number", True),
    Kind(Annotated[datetime, pydantic.Field(gt=datetime(2000, 1, 1, tzinfo=UTC))], st.just(datetime(2020, 1, 1, 2, 3, 4, 5, tzinfo=UTC)), "Date"),
    Kind(pydantic.StrictInt, SAFE, "number", True),
    Kind(pydantic.StrictFloat, st.floats(allow_nan=False), "number", True),
    Kind(pydantic.FiniteFloat, st.floats(-9, 9), "number", True),
    Kind(pydantic.PositiveInt, st.integers(1, 9), "number", True),
    *[Kind(e, st.sampled_from([*e]), form, True) for e, form in [
        (Colour, "string"), (Word, "string"), (Size, "number"), (Ratio, "number"), (Huge, "other"), (Truth, "other"), (Mixed, "other"), (Shape, "string"), (Nothing, "string"), (Planet, "string"),
    ]],
    Kind(Access, st.integers(0, 3).map(Access), "number", True),
    Kind(Mode, st.sampled_from([0, 1, 4, 5]).map(Mode), "number", True),
    Kind(Wide, st.sampled_from([0, 1, 2**60, 2**60 + 1]).map(Wide), "other", True),
    Kind(Literal["a", "b"], st.sampled_from(["a", "b"]), "string", True),
    Kind(Literal[1, "1", True, None], st.sampled_from([1, "1", True, None]), "other", True),
    Kind(Literal[Colour.RED, Size.LARGE], st.sampled_from([Colour.RED, Size.LARGE]), "other", True),
    Kind(Literal[b"a"], st.just(b"a"), "bytes"),
]  # fmt: skip


def _made(make: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """A class or a value of one, if pydantic can make it."""
    try:
        return make(*args, **options)
    except (
        pydantic.PydanticUserError,
        pydantic.PydanticSchemaGenerationError,
        pydantic.ValidationError,
        SchemaError,
    ):
        reject()


def _itself(value: Any) -> Any:
    return value


def _aliased(name: str) -> str:
    return f"{name}_alias"


def _of(origin: Any, *arguments: Any) -> Any:
    """A generic type with its arguments, which a type checker does not know."""
    generic: Any = origin
    return generic[arguments if len(arguments) > 1 else arguments[0]]


def _fields(inner: st.SearchStrategy[Kind]) -> st.SearchStrategy[dict[str, Kind]]:
    return st.dictionaries(NAMES, inner, min_size=1, max_size=3)


def _filled(fields: dict[str, Kind]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({name: kind.values for name, kind in fields.items()})


def _name(base: str) -> str:
    return f"{base}{next(_number)}"


@st.composite
def _sequence(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    kind = draw(inner)
    item: Any = kind.annotation
    many = st.lists(kind.values, max_size=3)
    make: Any
    annotation, make = draw(st.sampled_from([
        (_of(list, item), list), (_of(tuple, item, ...), tuple), (_of(deque, item), deque), (_of(abc.Sequence, item), list),
        (_of(abc.MutableSequence, item), list),
        (Annotated[_of(list, item), pydantic.Field(max_length=9)], list),
    ]))  # fmt: skip
    return Kind(annotation, many.map(make), "Array")


@st.composite
def _set(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    kind = draw(inner.filter(lambda kind: kind.is_hashable))
    item: Any = kind.annotation
    make: Any
    annotation, make = draw(st.sampled_from([
        (_of(set, item), set), (_of(frozenset, item), frozenset), (_of(abc.Set, item), frozenset), (_of(abc.MutableSet, item), set),
    ]))  # fmt: skip
    return Kind(annotation, st.lists(kind.values, max_size=3).map(make), "Set")


@st.composite
def _tuple(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    parts = draw(st.lists(inner, max_size=3))
    made: Any = tuple.__class_getitem__(tuple(part.annotation for part in parts))
    hashable = all(part.is_hashable for part in parts)
    return Kind(made, st.tuples(*[part.values for part in parts]), "Array", hashable)


@st.composite
def _mapping(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    key = draw(st.sampled_from(LEAVES).filter(lambda kind: kind.is_hashable) | st.just(LEAVES[3]))
    kind = draw(inner)
    k, v = key.annotation, kind.annotation
    table = st.dictionaries(key.values, kind.values, max_size=3)
    ordered = st.dictionaries(NAMES, kind.values, max_size=3).map(OrderedDict)
    annotation, values = draw(st.sampled_from([
        (_of(dict, k, v), table), (_of(abc.Mapping, k, v), table), (_of(abc.MutableMapping, k, v), table),
        (_of(OrderedDict, str, v), ordered),
        (_of(defaultdict, k, v), table.map(lambda items: defaultdict(None, items))),
        (_of(Counter, k), st.dictionaries(key.values, st.integers(1, 9), max_size=3).map(Counter)),
    ]))  # fmt: skip
    return Kind(annotation, values, "object" if k is str else "Map or object")


@st.composite
def _union(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    chosen = draw(
        st.lists(inner, min_size=2, max_size=3, unique_by=lambda kind: kind.form.split()[-1])
    )
    chosen = [kind for kind in chosen if kind.form != "other"] or chosen[:1]
    made: Any = Union[tuple(kind.annotation for kind in chosen)]  # noqa: UP007  # of so many
    hashable = all(kind.is_hashable for kind in chosen)
    return Kind(made, st.one_of([kind.values for kind in chosen]), "other", hashable)


@st.composite
def _optional(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    kind = draw(inner)
    values = st.none() | kind.values
    form = "other" if kind.form == "null" else kind.form
    return Kind(_of(Optional, kind.annotation), values, "other" if form else form, kind.is_hashable)


@st.composite
def _dataclass(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    fields = draw(_fields(inner))
    options: dict[str, Any] = draw(st.sampled_from([{}, {"frozen": True}, {"slots": True}, {"kw_only": True}, {"frozen": True, "slots": True}, {"order": True}, {"eq": False}]))  # fmt: skip
    parts: list[Any] = []
    for name, kind in fields.items():
        if draw(st.booleans()) or not options.get("kw_only"):
            parts.append((name, kind.annotation))
        else:
            default = draw(kind.values)
            parts.append(
                (
                    name,
                    kind.annotation,
                    dataclasses.field(default_factory=partial(_itself, default)),
                )
            )
    make: Any = draw(st.sampled_from([dataclasses.make_dataclass, _validated]))
    owner: Any = _made(make, _name("Data"), parts, **options)
    hashable = bool(options.get("frozen")) and all(k.is_hashable for k in fields.values())
    return Kind(
        owner, _filled(fields).map(lambda values: _made(owner, **values)), "object", hashable
    )


def _validated(name: str, parts: list[Any], **options: Any) -> Any:
    body: dict[str, Any] = {
        "__annotations__": {part[0]: part[1] for part in parts},
        "__module__": __name__,
    }
    body |= {part[0]: part[2] for part in parts if len(part) > 2}
    make: Any = pydantic.dataclasses.dataclass(**options)
    return make(type(name, (), body))


@st.composite
def _named_tuple(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    fields = draw(_fields(inner))
    # Fields by chance.
    owner: Any = NamedTuple(_name("Named"), [(n, k.annotation) for n, k in fields.items()])  # type: ignore[misc]
    hashable = all(k.is_hashable for k in fields.values())
    return Kind(owner, _filled(fields).map(lambda values: owner(**values)), "Array", hashable)


@st.composite
def _typed_dict(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    fields = draw(_fields(inner))
    missing = draw(st.sets(st.sampled_from(sorted(fields))))
    make: Any = TypedDict
    total = draw(st.booleans())
    keys = {
        name: NotRequired[kind.annotation] if name in missing and total else kind.annotation
        for name, kind in fields.items()
    }
    owner = make(_name("Typed"), keys, total=total)
    optional = missing if total else set(fields)
    required = {n: k.values for n, k in fields.items() if n not in optional}
    values = st.fixed_dictionaries(
        required, optional={n: fields[n].values for n in sorted(optional)}
    )
    return Kind(owner, values, "object")


CONFIGS: list[dict[str, Any]] = [
    {}, {"extra": "allow"}, {"extra": "forbid"}, {"frozen": True}, {"strict": True}, {"populate_by_name": True},
    {"alias_generator": _aliased}, {"alias_generator": to_camel, "validate_by_name": True},
    {"validate_assignment": True}, {"ser_json_timedelta": "float"}, {"val_temporal_unit": "milliseconds"}, {"val_temporal_unit": "seconds"},
    {"revalidate_instances": "always"}, {"coerce_numbers_to_str": True}, {"use_enum_values": True, "validate_default": True},
    {"use_attribute_docstrings": True}, {"serialize_by_alias": True, "alias_generator": str.upper}, {"hide_input_in_errors": True},
    {"ser_json_bytes": "base64", "val_json_bytes": "base64"}, {"arbitrary_types_allowed": True}, {"from_attributes": True}, {"loc_by_alias": False},
]  # fmt: skip


@st.composite
def _model(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    fields = {f"f_{name}": kind for name, kind in draw(_fields(inner)).items()}
    config = draw(st.sampled_from(CONFIGS))
    parts: dict[str, Any] = {}
    for name, kind in fields.items():
        options: dict[str, Any] = draw(st.sampled_from([{}, {}, {"alias": f"{name}!"}, {"validation_alias": "V" + name}, {"exclude": True}, {"serialization_alias": "S" + name}, {"repr": False}, {"frozen": True}, {"validation_alias": pydantic.AliasChoices("x1" + name, pydantic.AliasPath("y1", name))}]))  # fmt: skip
        parts[name] = (kind.annotation, pydantic.Field(**options))
    base = type("Base", (pydantic.BaseModel,), {"model_config": config})
    owner: Any = _made(pydantic.create_model, _name("Model"), __base__=base, **parts)
    return Kind(owner, _filled(fields).flatmap(lambda values: _instances(owner, values)), "object")


def _instances(owner: Any, values: dict[str, Any]) -> st.SearchStrategy[Any]:
    """The model of these values, if it takes them."""
    return st.just(_made(owner.model_validate, values, by_name=True, by_alias=False))


@st.composite
def _root(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    kind = draw(inner.filter(lambda kind: kind.form not in ("null", "other")))
    base: Any = _made(pydantic.RootModel.__class_getitem__, kind.annotation)
    owner: Any = type(_name("Root"), (base,), {"__module__": __name__})
    return Kind(owner, kind.values.map(lambda value: _made(owner, value)), "other")


class Page(pydantic.BaseModel, Generic[T]):
    items: list[T]
    next: T | None = None


@dataclass
class Box(Generic[T]):
    item: T
    items: list[T]


@st.composite
def _generic(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    kind = draw(inner)
    pairs = st.tuples(kind.values, st.lists(kind.values, max_size=2))
    if draw(st.booleans()):
        page: Any = _made(Page.__class_getitem__, kind.annotation)
        return Kind(
            page, pairs.map(lambda pair: _made(page, items=pair[1], next=pair[0])), "object"
        )
    return Kind(_of(Box, kind.annotation), pairs.map(lambda pair: Box(*pair)), "object")


@st.composite
def _tagged(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    tags: list[Any] = draw(st.sampled_from([["a", "b"], [1, 2], [Colour.RED, Colour.BLUE]]))
    members: list[Any] = []
    values: list[st.SearchStrategy[Any]] = []
    for tag in tags:
        kind = draw(inner)
        owner: Any = _made(
            pydantic.create_model,
            _name("Tagged"),
            kind=(Literal[tag], tag),
            held=(kind.annotation, ...),
        )
        members.append(owner)
        values.append(
            kind.values.map(lambda held: {"held": held}).flatmap(partial(_instances, owner))
        )
    made: Any = Union[tuple(members)]  # noqa: UP007  # of so many
    if draw(st.booleans()):
        made = Annotated[made, pydantic.Field(discriminator="kind")]
    return Kind(made, st.one_of(values), "object")


def _grown(inner: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
    return st.one_of(
        _sequence(inner), _set(inner), _tuple(inner), _mapping(inner), _union(inner), _optional(inner),
        _dataclass(inner), _named_tuple(inner), _typed_dict(inner), _model(inner), _root(inner),
        _generic(inner), _tagged(inner),
    )  # fmt: skip


def kinds() -> st.SearchStrategy[Kind]:
    """A type made up of others, three levels deep at most."""
    leaves = st.integers(0, len(LEAVES) - 1).map(LEAVES.__getitem__)  # whose repr is short
    two = st.deferred(lambda: leaves | _grown(leaves))
    return st.deferred(lambda: two | _grown(two))


def same(one: Any, other: Any) -> bool:
    """Whether both are equal and of one type, all through."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float) and not isinstance(one, enum.Enum):
        return repr(one) == repr(other)
    if isinstance(one, Decimal):
        return str(one) == str(other)
    if isinstance(one, pydantic.BaseModel):
        return same(vars(one), vars(other)) and same(
            one.__pydantic_extra__, other.__pydantic_extra__
        )
    if dataclasses.is_dataclass(one):
        return all(
            same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one)
        )
    if isinstance(one, dict):
        return _same_tables(one, other)
    if isinstance(one, list | tuple | deque):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, set | frozenset):
        return len(one) == len(other) and _same_tables(dict.fromkeys(one), dict.fromkeys(other))
    return bool(one == other)


def _same_tables(one: dict[Any, Any], other: dict[Any, Any]) -> bool:
    """Whether two tables are the same; of a key or an item of a set JavaScript keeps no -0."""
    if len(one) != len(other):
        return False
    for key, item in one.items():
        alike = [k for k in other if same(k, key) or (key == 0 and type(k) is type(key) and k == 0)]
        if not alike or not same(item, other[alike[0]]):
            return False
    return True
