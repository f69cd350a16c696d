"""Schemas: pydantic's core schemas, adapted to the form that values have after they crossed.

Pure. Durations and instants are numbers of milliseconds, an enum is its member's form, numbers,
booleans and texts are never taken for each other, and a class with aliases takes its own names
first. Only schemas are walked: a mapping that merely looks like a part of one (with a field named
``type`` or ``strict``) is data.
"""

# Core schemas are dictionaries of many shapes:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

import contextlib
import dataclasses
import typing
from collections.abc import Generator, Iterable, Iterator, Mapping
from datetime import datetime
from types import FunctionType
from typing import Any, TypeAlias, final

from pydantic import TypeAdapter
from pydantic_core import SchemaValidator, core_schema

from ..errors import GuestError
from ..values import (
    UNDEFINED,
    AbortController,
    AbortSignal,
    ArrayBuffer,
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
from .annotations import LossyTypeError, without_undefined
from .bindings import Bindings, bindings_of, filled, is_open
from .descriptors import has_descriptors
from .models import check_enum_values, is_encoder, serialized_fields
from .rules import before, read_as_crossed, rule_of
from .unions import guards, passed_over

__all__ = ("Adapter", "mentions_undefined")

Schema: TypeAlias = "dict[str, Any]"
_EXACT = ("int", "float", "bool", "str", "bytes")  # never made of another type
_CONVERTED = ("datetime", "date", "timedelta")  # a serializer's form of them is pydantic's to read
_NAMING = ("model-fields", "typed-dict", "dataclass-args")  # their fields have names
_FUNCTIONS = ("function-before", "function-wrap", "function-plain")
_PARTS = (
    *("schema", "items_schema", "keys_schema", "values_schema", "lax_schema", "python_schema"),
    *("extras_schema", "extras_keys_schema", "arguments_schema", "var_args_schema"),
    *("var_kwargs_schema", "choices", "fields", "definitions", "steps"),
)
_TABLES = ("fields", "choices")  # a mapping there has names or tags as keys
_IMPOSSIBLE = {
    "callable": "a function",
    "is-subclass": "a class",
    "complex": "a complex number",
}
_HASHED = {"dict": ("keys_schema",), "set": ("items_schema",), "frozenset": ("items_schema",)}
_ARRIVING = (
    *(str, int, float, bool, bytes, list, dict, set, datetime, type(None), GuestError),
    *(Undefined, Url, RegExp, ArrayBuffer, DataView, TypedArray, StepRef, RunRef, Stream),
    *(Instance, ClassRef),
    *(AbortController, AbortSignal, Headers, Request, Response),
)


def _parts(schema: Schema) -> Iterator[Any]:
    """The schemas within *schema*, one level down."""
    for name in _PARTS:
        part = schema.get(name)
        if isinstance(part, Mapping):
            yield from part.values() if name in _TABLES else (part,)
        elif isinstance(part, list):
            yield from (item[0] if isinstance(item, tuple) else item for item in part)


def mentions_undefined(schema: Any) -> bool:
    """Whether *schema* or a part of it asks for ``undefined``."""
    if not isinstance(schema, Mapping):
        return False
    mapping = typing.cast("Schema", schema)
    return mapping.get("cls") is Undefined or any(map(mentions_undefined, _parts(mapping)))


@final
class Adapter:
    """Makes a core schema take values as they crossed."""

    def __init__(self, *, keeps_undefined: bool) -> None:
        self.keeps_undefined = keeps_undefined
        self._behind_function = False  # one that may make what nothing else can
        self._as_written = False  # by a serializer of the model's own
        self._in_model = False  # which has said what it takes
        self._serializer_fields = frozenset[str]()  # fields of the model that its serializers write
        self._definitions: dict[str, Schema] = {}  # by reference

    def __repr__(self) -> str:
        return f"<Adapter of {len(self._definitions)} definitions>"

    def adapt(self, schema: Any) -> Any:
        """*schema*, adapted, with all its parts.

        Raises:
            TypeError: nothing that JavaScript has fits a part of it.
        """
        if not isinstance(schema, Mapping):  # a choice may name another one
            return schema
        copy: Schema = dict(schema)
        self._refuse_impossible(copy)
        if copy.get("type") == "definitions":
            self._definitions.update({part["ref"]: part for part in copy["definitions"]})
        reference = copy.pop("ref", None)
        adapted = self._adapted(copy)
        if reference is not None:  # a wrapper that was put around it is found by that name, too
            adapted["ref"] = reference
        return adapted

    def _adapted(self, schema: Schema) -> Any:
        kind = schema.get("type")
        strict = schema.pop("strict", None)
        if kind in _EXACT and strict is not False and not self._as_written:
            schema["strict"] = True
        serializer_fields = self._serializer_fields
        if kind == "model":
            check_enum_values(schema["cls"])
            serializer_fields = serialized_fields(schema["cls"])
        if "config" in schema or kind in ("model", "dataclass", "typed-dict"):
            schema["config"] = _config(schema.get("config") or {})
        with (
            self._set(self._behind_function or kind in _FUNCTIONS, "_behind_function"),
            self._set(self._in_model or kind == "model", "_in_model"),
            self._set(serializer_fields, "_serializer_fields"),
        ):
            for name in _PARTS:
                if name in schema:
                    schema[name] = self._part(schema, name)
        adapted = self._ruled(kind, schema)
        return self._settle_undefined(adapted) if self.keeps_undefined else adapted

    def _ruled(self, kind: Any, schema: Schema) -> Any:
        if kind == "model":
            return self._model(schema)
        if kind == "dataclass":
            return self._dataclass(schema)
        if (self._as_written and kind in _CONVERTED) or (self._in_model and kind == "decimal"):
            return schema
        return rule_of(kind)(schema)

    @contextlib.contextmanager
    def _set(self, value: bool | frozenset[str], name: str) -> Generator[None]:
        previous = getattr(self, name)
        setattr(self, name, value)
        try:
            yield
        finally:
            setattr(self, name, previous)

    def _refuse_impossible(self, schema: Schema) -> None:
        kind = schema.get("type")
        if kind == "call" and isinstance(schema["function"], FunctionType):
            raise TypeError("a function is no type")
        if kind == "function-after" and is_encoder(schema["function"]) and not self._as_written:
            raise LossyTypeError(
                "an encoded text, such as Base64Str, crosses as a field of a model only;"
                " take str or bytes"
            )
        if self._behind_function:
            return
        for name in _HASHED.get(kind, ()) if isinstance(kind, str) else ():
            if name in schema and not _is_hashable(schema[name]):
                raise TypeError("a key or an item of a set must be hashable")
        if kind in _IMPOSSIBLE:
            raise TypeError(f"{_IMPOSSIBLE[kind]} cannot come from JavaScript")
        if kind == "is-instance" and not _can_arrive(schema["cls"]):
            raise TypeError(f"{_name(schema['cls'])} cannot come from JavaScript")

    def _part(self, schema: Schema, name: str) -> Any:
        part = schema[name]
        if name == "choices" and isinstance(part, list):
            if schema.get("mode") == "left_to_right":  # as its author says
                return self._choices(part, [frozenset()] * len(part))
            ordered = self._least_first(part)
            members = [item[0] if isinstance(item, tuple) else item for item in ordered]
            is_free = self._as_written  # then the forms are the serializer's
            others = (
                [frozenset[str]()] * len(part) if is_free else guards(members, self._definitions)
            )
            return self._choices(ordered, others)
        if name == "fields":
            return self._fields(schema, part)
        if isinstance(part, list):
            return [self.adapt(item) for item in part]
        if name in _TABLES:
            return _with_forms({key: self.adapt(item) for key, item in part.items()})
        return self.adapt(part)

    # --- unions ---------------------------------------------------------------------------------

    def _choices(self, choices: list[Any], others: list[frozenset[str]]) -> list[Any]:
        """The members of a union that are possible; one is enough.

        Args:
            others: for each, the forms in which a value is another member's.
        """
        possible: list[Any] = []
        refusal: TypeError | None = None
        for choice, forms in zip(choices, others, strict=True):
            member, label = choice if isinstance(choice, tuple) else (choice, None)
            try:
                adapted = passed_over(self.adapt(member), forms)
            except LossyTypeError:
                raise
            except TypeError as exc:
                refusal = exc
            else:
                possible.append(adapted if label is None else (adapted, label))
        if refusal is not None and not possible:
            raise refusal
        return possible

    def _least_first(self, choices: list[Any]) -> list[Any]:
        """Classes with fewer fields before those with more, of which defaults might be taken.

        A value from Python has all its fields, so one with fewer is not of the larger class.
        """
        counts = [self._count_fields(choice) for choice in choices]
        places = [at for at, count in enumerate(counts) if count is not None]
        ordered = list(choices)
        by_count = sorted(places, key=lambda at: counts[at] or 0)
        for place, at in zip(places, by_count, strict=True):
            ordered[place] = choices[at]
        return ordered

    def _count_fields(self, choice: Any) -> int | None:
        schema = choice[0] if isinstance(choice, tuple) else choice
        for _ in range(len(self._definitions) + 100):  # wrappers within each other
            if schema.get("type") == "definition-ref":
                schema = self._definitions.get(schema["schema_ref"], {})
            if schema.get("type") in ("model-fields", "dataclass-args"):
                return len(schema["fields"])
            if not isinstance(schema.get("schema"), Mapping):
                return None
            schema = schema["schema"]
        return None

    # --- classes with fields --------------------------------------------------------------------

    def _fields(self, schema: Schema, fields: Any) -> Any:
        if isinstance(fields, Mapping):
            serializer_fields = self._serializer_fields if schema["type"] == "model-fields" else ()
            return {
                name: self._field(name, field, as_written=name in serializer_fields)
                for name, field in fields.items()
            }
        if schema.get("type") == "dataclass":  # the names alone
            return fields
        return [self._field(field["name"], field) for field in fields]

    def _field(self, name: str, field: Schema, *, as_written: bool = False) -> Schema:
        with self._set(self._as_written or as_written, "_as_written"):
            adapted = self.adapt(field)
        alias = adapted.get("validation_alias")
        if alias is not None:
            adapted["validation_alias"] = [[name], *_paths(alias)]
        return typing.cast("Schema", adapted)

    def _settle_undefined(self, schema: Any) -> Any:
        """``undefined`` where a field or an item does not ask for it: dropped, or None."""
        kind = schema.get("type")
        if kind in _NAMING:
            fields = schema["fields"]
            pairs = fields.items() if isinstance(fields, Mapping) else _named(fields)
            asking = {name for name, field in pairs if mentions_undefined(field)}
            return before(lambda value: _drop(value, asking), schema)
        if kind in ("list", "set", "frozenset", "tuple") and not mentions_undefined(schema):
            return before(without_undefined, schema)
        return schema

    def _model(self, schema: Schema) -> Any:
        owner = schema["cls"]
        if schema.get("custom_init"):
            schema = _initialized(owner, schema)
        computed = getattr(owner, "model_computed_fields", {})
        if not computed:
            return schema
        names = frozenset(computed)  # they crossed with the others, for JavaScript to read
        return before(lambda value: _without(value, names), schema)

    def _dataclass(self, schema: Schema) -> Any:
        owner = schema["cls"]
        inner = _arguments_of(schema)
        if inner is None:
            return schema
        if "extra_fields_behavior" not in schema["config"]:
            inner.setdefault("extra_behavior", "forbid")
        bindings = bindings_of(owner)
        if bindings:
            self._bind(owner, inner["fields"], bindings)
        late = self._late(schema, inner["fields"], bindings)
        if has_descriptors(owner):
            schema = _set_by_init(owner, inner)
        if not late:
            return schema
        validator = SchemaValidator(core_schema.typed_dict_schema(late), _use_prebuilt=False)
        return core_schema.no_info_wrap_validator_function(
            lambda value, handler: _fill_late(value, handler, validator, frozenset(late)),
            typing.cast("Any", schema),
        )

    def _bind(self, owner: Any, fields: Iterable[Schema], bindings: Bindings) -> None:
        """Set the types of fields of generic bases: pydantic leaves their variables open."""
        hints = typing.get_type_hints(owner, include_extras=True)
        for field in fields:
            hint = hints.get(field["name"])
            kind = filled(hint, bindings)
            if kind is not hint:
                part = field["schema"]
                holder = part if part.get("type") == "default" else field
                holder["schema"] = self.adapt(TypeAdapter(kind).core_schema)

    def _late(self, schema: Schema, fields: Iterable[Schema], bindings: Bindings) -> Schema:
        """The fields that ``__init__`` does not take."""
        owner = schema["cls"]
        schemas = {field["name"]: field["schema"] for field in fields if field.get("init") is False}
        hints: dict[str, Any] = {}
        late: dict[str, Any] = {}
        for field in dataclasses.fields(owner):
            if field.init:
                continue
            if field.name not in schemas:  # pydantic passes over one without a default
                hints = hints or typing.get_type_hints(owner, include_extras=True)
                kind = filled(hints[field.name], bindings)
                if "generic_origin" in schema and is_open(kind):
                    raise TypeError(
                        f"the type of {owner.__name__}.{field.name} is open, and __init__ does not"
                        " take it; give it a default"
                    )
                schemas[field.name] = self.adapt(TypeAdapter(kind).core_schema)
            late[field.name] = core_schema.typed_dict_field(schemas[field.name], required=False)
        return late


def _config(config: Schema) -> Schema:
    loose = {name: value for name, value in config.items() if name != "strict"}
    return {**loose, "validate_by_alias": True, "validate_by_name": False}


def _paths(alias: Any) -> list[list[Any]]:
    """The places that an alias names."""
    if isinstance(alias, str):
        return [[alias]]
    return alias if isinstance(alias[0], list) else [alias]


def _with_forms(choices: Schema) -> Schema:
    """Choices by tag, with the forms of tags that are members of an enum."""
    forms = {read_as_crossed(tag): choice for tag, choice in choices.items()}
    return {**forms, **choices}


def _can_arrive(owner: Any) -> bool:
    with contextlib.suppress(TypeError):
        return any(issubclass(kind, owner) for kind in _ARRIVING)
    return True  # pydantic says of it what is wrong


def _is_hashable(schema: Schema) -> bool:
    if schema.get("type") in ("list", "dict", "set", "typed-dict"):
        return False
    return schema.get("type") not in ("model", "dataclass") or schema["cls"].__hash__ is not None


def _name(owner: Any) -> str:
    return getattr(owner, "__name__", None) or str(owner)


def _arguments_of(schema: Schema) -> Schema | None:
    inner = schema["schema"]
    while "schema" in inner and inner["type"] != "dataclass-args":
        inner = inner["schema"]
    return inner if inner["type"] == "dataclass-args" else None


def _named(fields: Iterable[Schema]) -> Iterable[tuple[str, Schema]]:
    return ((field["name"], field) for field in fields)


def _drop(value: Any, asking: set[str]) -> Any:
    if not isinstance(value, dict):
        return value
    return {k: v for k, v in value.items() if v is not UNDEFINED or k in asking}


def _without(value: Any, names: frozenset[str]) -> Any:
    if not isinstance(value, dict):
        return value
    return {k: v for k, v in value.items() if k not in names}


def _fill_late(value: Any, handler: Any, validator: SchemaValidator, names: frozenset[str]) -> Any:
    """A dataclass with the fields that its ``__init__`` does not take, as they were."""
    if not isinstance(value, dict):
        return handler(value)
    whole = handler(_without(value, names))
    late = {k: v for k, v in value.items() if k in names}
    for name, field in validator.validate_python(late).items():
        object.__setattr__(whole, name, field)
    return whole


def _set_by_init(owner: Any, arguments: Schema) -> Schema:
    """A dataclass with fields that are not its instances' own: only ``__init__`` sets them."""
    fields = [field for field in arguments["fields"] if field.get("init") is not False]
    passed = [field["name"] for field in fields if field.get("init_only")]
    names = [field["name"] for field in fields if not field.get("init_only")]

    def make(parts: tuple[dict[str, Any], tuple[Any, ...] | None]) -> Any:
        values, others = parts
        keywords = {name: values[name] for name in names if name in values}
        return owner(**keywords, **dict(zip(passed, others or (), strict=True)))

    return typing.cast(
        "Schema",
        core_schema.no_info_after_validator_function(make, typing.cast("Any", arguments)),
    )


def _initialized(owner: Any, schema: Schema) -> Schema:
    """A model with an ``__init__`` of its own, which is given values in their types.

    Pydantic would hand it the form they crossed in, and it would read that by the model's rules.
    """
    by_name = owner.model_config.get("validate_by_name") or owner.model_config.get(
        "populate_by_name"
    )
    names = {
        name: name
        if by_name or not isinstance(field.validation_alias, str)
        else field.validation_alias
        for name, field in owner.model_fields.items()
    }

    def initialize(model: Any) -> Any:
        keywords = {names[n]: getattr(model, n) for n in model.model_fields_set if n in names}
        return owner(**keywords, **(model.__pydantic_extra__ or {}))

    return typing.cast(
        "Schema",
        core_schema.no_info_after_validator_function(
            initialize, typing.cast("Any", {**schema, "custom_init": False})
        ),
    )
