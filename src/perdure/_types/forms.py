"""Forms: annotations as TypeScript types, and the interfaces that they name.

Pure. A class with fields becomes one exported type. Where a workflow may leave fields out that
Python fills in, the value that it passes has a type of its own, with ``Input`` in its name.
"""

# Classes are looked at by attributes that only some of them have:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import contextlib
import re
import typing
from collections import Counter, OrderedDict, abc, defaultdict, deque
from collections.abc import Generator, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from pathlib import PurePath
from re import Pattern
from types import UnionType
from typing import Any, TypeVar, cast, final
from uuid import UUID

from .._protocol.enums import form_of
from .._protocol.texts import crosses_as_text
from ..errors import GuestError
from ..values import (
    AbortController,
    AbortSignal,
    ArrayBuffer,
    BigInt,
    ClassRef,
    DataView,
    Headers,
    Instance,
    RegExp,
    Request,
    Response,
    RunRef,
    StepRef,
    Stream,
    TypedArray,
    Undefined,
    Url,
)
from .structures import Field, Structure, key_word, structure_of
from .texts import RESERVED, RESERVED_TYPES, comment, is_identifier, quoted

__all__ = ("Forms", "is_declarable", "listed", "says_map", "says_number")

_PLAIN: dict[object, str] = {
    int: "number",
    float: "number",
    bool: "boolean",
    str: "string",
    bytes: "Uint8Array",
    bytearray: "Uint8Array",
    None: "null",
    type(None): "null",
    datetime: "Date",
    timedelta: "number",
    UUID: "string",
    Decimal: "string",
    date: "string",
    time: "string",
    object: "unknown",
    Any: "any",
    dict: "Record<string, any>",
    list: "any[]",
    tuple: "any[]",
    set: "Set<any>",
    frozenset: "Set<any>",
    deque: "any[]",
    BigInt: "bigint",
    Undefined: "undefined",
    Url: "URL",
    RegExp: "RegExp",
    ArrayBuffer: "ArrayBuffer",
    DataView: "DataView",
    TypedArray: "ArrayBufferView",
    # A module may well have classes of these names.
    **{
        kind: f"globalThis.{kind.__name__}"
        for kind in (AbortController, AbortSignal, Headers, Request, Response)
    },
    RunRef: 'import("workflow/api").Run',
    StepRef: "(...args: any[]) => Promise<any>",
    Instance: "any",
    ClassRef: "any",
    Stream: "globalThis.WritableStream",
    typing.Never: "never",
    typing.NoReturn: "never",
    typing.LiteralString: "string",
    abc.Sequence: "any[]",
    abc.Iterable: "any[]",
    abc.Mapping: "Record<string, any>",
    abc.MutableMapping: "Record<string, any>",
    abc.Set: "Set<any>",
}
_PYDANTIC = {  # classes there for the type alone, by name
    **dict.fromkeys(("AwareDatetime", "FutureDatetime", "NaiveDatetime", "PastDatetime"), "Date"),
    **dict.fromkeys(("FutureDate", "PastDate", "ImportString", "SecretStr"), "string"),
    **dict.fromkeys(("IPvAnyAddress", "IPvAnyInterface", "IPvAnyNetwork"), "string"),
    "SecretBytes": "Uint8Array",
}
_PYDANTIC_MODULES = ("pydantic.networks", "pydantic.types")
_ERRORS = frozenset(GuestError.__mro__) - {object}
_LISTS: tuple[object, ...] = (
    list,
    abc.Sequence,
    abc.Iterable,
    abc.Collection,
    abc.MutableSequence,
    deque,
)
_SETS: tuple[object, ...] = (set, frozenset, abc.Set, abc.MutableSet)
_MAPS: tuple[object, ...] = (dict, abc.Mapping, abc.MutableMapping, defaultdict, OrderedDict)
_WRAPPERS = (
    typing.Annotated,
    typing.Required,
    typing.NotRequired,
    typing.Final,
    typing.ClassVar,
    getattr(typing, "ReadOnly", typing.Required),  # since Python 3.13
)
_BARE: tuple[object, ...] = (
    # The old names are what is meant.
    *(typing.List, typing.Tuple, typing.Dict, typing.Set, typing.FrozenSet, typing.Deque),  # noqa: UP006
    *(typing.Sequence, typing.Iterable, typing.Mapping, typing.Collection),
)
_SAFE = 2**53 - 1
_NUMBER = re.compile(r"\bnumber\b(?!\??:)")
_ASIDE = re.compile(r'/\*.*?\*/|"(?:[^"\\]|\\.)*"', re.DOTALL)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


def says_number(annotation: object) -> bool:
    """Whether ``number`` is the TypeScript type of something in values of this type."""
    return any(_NUMBER.search(text) for text in _texts_of(annotation))


def says_map(annotation: object) -> bool:
    """Whether ``Map`` is the TypeScript type of something in values of this type."""
    return any("Map<" in text for text in _texts_of(annotation))


def _texts_of(annotation: object) -> list[str]:
    """A type and all that it names, without comments and literals."""
    forms = Forms()
    return [_ASIDE.sub("", text) for text in (forms.of(annotation), *forms.declarations())]


def is_declarable(owner: type[object]) -> bool:
    """Whether a class has fields that cross by themselves, or is an enum with members."""
    if issubclass(owner, Enum):
        return owner.__module__ != Enum.__module__
    return structure_of(owner) is not None


@final
class Forms:
    """The types of one module."""

    def __init__(self) -> None:
        self._declared: dict[tuple[object, bool], str] = {}  # (class, is_input) -> declaration
        self._names: dict[tuple[object, bool], str] = {}
        self._open: dict[tuple[object, bool], str | None] = {}  # aliases -> name, if one is needed
        self._scope: frozenset[TypeVar] = frozenset()  # type variables that have a meaning here
        self._owners = cast("dict[str, object]", dict.fromkeys(RESERVED_TYPES))  # names in use

    def __repr__(self) -> str:
        return f"<Forms of {len(self._declared)} classes>"

    def declarations(self) -> list[str]:
        """The exported types that were needed so far, in the order of their first use."""
        return list(dict.fromkeys(text for text in self._declared.values() if text))

    @contextlib.contextmanager
    def within(self, variables: Iterable[TypeVar]) -> Generator[None]:
        """Take these type variables for declared, as they are in a function or class of them."""
        outer, self._scope = self._scope, frozenset(variables)
        try:
            yield
        finally:
            self._scope = outer

    def parameters(self, variables: Iterable[TypeVar]) -> str:
        """Type variables as a list of type parameters; nothing if there are none."""
        texts: list[str] = []
        for variable in variables:
            bounds = variable.__constraints__ or filter(None, [variable.__bound__])
            limits = " | ".join(dict.fromkeys(self.of(kind, is_input=True) for kind in bounds))
            texts.append(f"{variable.__name__} extends {limits}" if limits else variable.__name__)
        return f"<{', '.join(texts)}>" if texts else ""

    def of(self, annotation: object, *, is_input: bool = False) -> str:
        """An annotation as a TypeScript type.

        Args:
            is_input: of a value that Python takes from a workflow, not one that it returns.
        """
        if isinstance(annotation, TypeVar):
            return annotation.__name__
        plain = _PLAIN.get(annotation) if isinstance(annotation, abc.Hashable) else None
        if plain is not None:
            return plain
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin in _WRAPPERS or key_word(annotation) is not None:
            return self.of(arguments[0], is_input=is_input)
        if origin is typing.Literal:
            return " | ".join(_literal(value) for value in arguments)
        if origin in (typing.Union, UnionType):
            members = [self.of(member, is_input=is_input) for member in arguments]
            return " | ".join(dict.fromkeys(_grouped(member) for member in members))
        if origin is not None:
            if not arguments and annotation in _BARE:  # such as List, without saying of what
                return self.of(origin, is_input=is_input)
            return self._generic(origin, arguments, is_input)
        named: Any = annotation
        if hasattr(named, "__supertype__"):  # NewType
            return self.of(named.__supertype__, is_input=is_input)
        if hasattr(named, "__value__"):  # type X = … since Python 3.12
            return self._alias((named,), named.__value__, is_input)
        return self._class(annotation, (), is_input) if isinstance(annotation, type) else "unknown"

    def declare(self, owner: type[object]) -> None:
        """Declare a class by its name, as Python returns it and as it takes it."""
        if not issubclass(owner, Enum):
            self.of(owner)
            self.of(owner, is_input=True)
            return
        key = owner, False
        name = self._free_name(owner.__name__, key)
        self._declared[key] = f"export type {name} = {_enum(owner)};"

    def _generic(self, origin: Any, arguments: tuple[object, ...], is_input: bool) -> str:
        if hasattr(origin, "__value__"):
            return self._alias((origin, *arguments), origin.__value__[arguments], is_input)
        if origin is tuple:
            return self._tuple(arguments, is_input)
        if origin in _LISTS:
            return listed(self.of(arguments[0], is_input=is_input))
        if origin in _SETS:
            return f"Set<{self.of(arguments[0], is_input=is_input)}>"
        if origin is Counter:
            arguments = (*arguments, int)
        if origin in _MAPS or origin is Counter:
            return self._map(*arguments, is_input=is_input)
        return self._class(origin, arguments, is_input) if isinstance(origin, type) else "unknown"

    def _alias(self, alias: tuple[object, ...], value: object, is_input: bool) -> str:
        """The type that an alias and its arguments stand for; its name where it names itself."""
        key = alias, is_input
        if key in self._open:
            if self._open[key] is None:
                base = str(getattr(alias[0], "__name__", "")) + ("Input" if is_input else "")
                self._open[key] = self._free_name(base, key)
            return cast("str", self._open[key])
        self._open[key] = None
        text = self.of(value, is_input=is_input)
        name = self._open.pop(key)
        if name is None:
            return text
        self._declared[key] = f"export type {name} = {text};"
        return name

    def _tuple(self, arguments: tuple[object, ...], is_input: bool) -> str:
        if len(arguments) == 2 and arguments[1] is ...:
            return listed(self.of(arguments[0], is_input=is_input))
        return f"[{', '.join(self.of(item, is_input=is_input) for item in arguments)}]"

    def _map(self, key: object, item: object, *, is_input: bool) -> str:
        keys, items = self.of(key, is_input=is_input), self.of(item, is_input=is_input)
        parts = set(_QUOTED.sub('""', keys).split(" | "))
        if "string" in parts and parts <= {"string", '""'}:
            return f"Record<string, {items}>"
        if parts == {'""'}:
            return f"{{ [key in {keys}]?: {items} }}"
        return f"Map<{keys}, {items}>"

    def _class(self, owner: type[object], arguments: tuple[object, ...], is_input: bool) -> str:
        if issubclass(owner, Enum):
            return _enum(owner)
        if issubclass(owner, PurePath) or crosses_as_text(owner):
            return "string"
        if owner in _ERRORS:
            return "Error"
        if owner is Pattern or (owner.__module__, owner.__name__) == ("os", "PathLike"):
            return "string"
        if owner.__module__ in _PYDANTIC_MODULES and owner.__name__ in _PYDANTIC:
            return _PYDANTIC[owner.__name__]
        generic = getattr(owner, "__pydantic_generic_metadata__", None) or {}
        if generic.get("origin") is not None:  # a parametrised model is a class of its own
            owner, arguments = generic["origin"], generic["args"]
        structure = structure_of(owner)
        if structure is None or not is_identifier(structure.name):
            return _base(owner)
        name = self._declare(owner, structure, is_input)
        if not structure.variables:
            return name
        if not arguments:
            # Pydantic's Page[T], where T is the variable of Page itself, is Page.
            open_ = self._scope if generic else frozenset[TypeVar]()
            arguments = tuple(v if v in open_ else Any for v in structure.variables)
        return f"{name}<{', '.join(self.of(a, is_input=is_input) for a in arguments)}>"

    def _declare(self, owner: object, structure: Structure, is_input: bool) -> str:
        key = owner, is_input and self._differs(structure, [])
        if key not in self._names:
            self._names[key] = self._free_name(structure.name + ("Input" if key[1] else ""), key)
            self._declared[key] = ""  # keeps its place, and it may name itself
            self._declared[key] = self._declaration(self._names[key], structure, key[1])
        return self._names[key]

    def _free_name(self, wanted: str, key: object) -> str:
        """*wanted*, numbered if another class of this module has it."""
        name, number = wanted, 1
        while self._owners.setdefault(name, key) != key:
            number += 1
            name = f"{wanted}{number}"
        return name

    def _differs(self, structure: Structure, outer: list[str]) -> bool:
        """Whether a workflow may pass something else than it is given."""
        if structure.name in outer:
            return False
        for field in structure.fields:
            if field.has_default or field.is_computed or field.is_passed:
                return True
            for owner in _classes_in(field.annotation):
                inner = structure_of(owner)
                if inner is not None and self._differs(inner, [*outer, structure.name]):
                    return True
        return False

    def _declaration(self, name: str, structure: Structure, is_input: bool) -> str:
        with self.within(structure.variables):
            return self._declaration_text(name, structure, is_input)

    def _declaration_text(self, name: str, structure: Structure, is_input: bool) -> str:
        head = comment(structure.doc)
        full = name + self.parameters(structure.variables)
        if structure.kind == "root":
            root = self.of(structure.fields[0].annotation, is_input=is_input)
            return f"{head}export type {full} = {root};"
        if structure.kind == "tuple":
            items = ", ".join(self._item(field, is_input) for field in structure.fields)
            return f"{head}export type {full} = [{items}];"
        lines = [
            self._member(field, is_input)
            for field in structure.fields
            if not (field.is_computed if is_input else field.is_passed)
        ]
        return "\n".join([f"{head}export interface {full} {{", *lines, "}"])

    def _item(self, field: Field, is_input: bool) -> str:
        mark = "?" if is_input and field.has_default else ""
        name = f"{field.name}_" if field.name in RESERVED else field.name
        return f"{name}{mark}: {self.of(field.annotation, is_input=is_input)}"

    def _member(self, field: Field, is_input: bool) -> str:
        name = field.name if is_identifier(field.name) else quoted(field.name)
        mark = "?" if field.may_miss or (is_input and field.has_default) else ""
        only = "readonly " if field.is_computed else ""
        return f"  {only}{name}{mark}: {self.of(field.annotation, is_input=is_input)};"


def listed(item: str) -> str:
    """The type of an array of *item*."""
    return f"({item})[]" if " " in item else f"{item}[]"


def _grouped(member: str) -> str:
    return f"({member})" if "=>" in member else member


def _base(owner: type[object]) -> str:
    """The type of a subclass of a plain class, which crosses as that one."""
    for plain in (bool, BigInt, int, float, str, bytes, datetime):
        if issubclass(owner, plain):
            return _PLAIN[plain]
    return "unknown"


def _enum(owner: type[Enum]) -> str:
    members = cast("Iterable[Enum]", owner)
    if issubclass(owner, Flag):
        bits = [abs(member.value) for member in owner.__members__.values()]
        return "number" if sum(bits) <= _SAFE else "number | bigint"
    return " | ".join(_literal(form_of(member)) for member in members) or "never"


def _classes_in(annotation: object) -> list[type[object]]:
    origin = typing.get_origin(annotation) or annotation
    classes = [origin] if isinstance(origin, type) else []
    for part in typing.get_args(annotation):
        classes += _classes_in(part)
    return classes


def _literal(value: object) -> str:
    if isinstance(value, Enum):
        return _literal(form_of(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value)) if abs(value) <= _SAFE else f"{int(value)}n"
    if isinstance(value, float):
        return repr(float(value)) if value == value and abs(value) != float("inf") else "number"
    if isinstance(value, bytes):
        return "Uint8Array"
    return "null" if value is None else quoted(str(value))
