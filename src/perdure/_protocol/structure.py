"""Structure: converters for annotations with parts, by pydantic.

Pure. Pydantic decides what a dataclass, model, TypedDict, NamedTuple or union takes. Its core
schema is adapted first to the form values have after they crossed: durations and instants are
numbers of milliseconds, an enum is its member's value, numbers, booleans and texts are never taken
for each other, and a class that serializes under other names takes its own names too.
Imported only for an annotation that has structure, since pydantic takes a tenth of a second.
"""

# Core schemas are dictionaries of many shapes:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

import sys
import typing
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, TypeAlias

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import SchemaValidator, core_schema

from ..errors import ValueNotCarriableError
from ..values import UNDEFINED, Undefined
from .annotations import Converter, without_undefined
from .enums import member_of

__all__ = ("structured",)

Schema: TypeAlias = "dict[str, Any]"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT = ("int", "float", "bool", "str", "bytes")  # never made of another type
_KEPT = ("cls", "metadata", "serialization", "function", "members", "expected", "default")
_NAMING = ("model", "dataclass", "typed-dict")  # their fields have names, and perhaps aliases
_FUNCTIONS = ("function-before", "function-wrap")
_IMPOSSIBLE = {
    "callable": "a function",
    "is-subclass": "a class",
    "complex": "a complex number",
}


def structured(annotation: Any) -> Converter:
    """The converter to *annotation*, as ``annotations.converter`` promises."""
    if sys.version_info < (3, 12):  # pragma: no branch
        _admit_typed_dicts(annotation, set())
    try:
        schema = TypeAdapter(annotation).core_schema
        keeps_undefined = _mentions_undefined(schema)  # the first look builds the schema
    except (PydanticSchemaGenerationError, PydanticUserError) as exc:
        if getattr(exc, "code", None) == "class-not-fully-defined":
            raise NameError(f"{annotation} names a type that is not defined") from exc
        raise TypeError(_first_sentence(exc.message)) from exc
    adapted: Any = _Adapter(keeps_undefined=keeps_undefined).adapt(schema)
    # The validators that classes bring along are of the schema as it was: not to be used again.
    validator = SchemaValidator(adapted, _use_prebuilt=False)

    def convert(value: Any, where: str) -> Any:
        if not keeps_undefined:
            value = without_undefined(value)
        try:
            return validator.validate_python(value)
        except ValidationError as exc:
            raise _refusal(exc, where) from None  # its text shows the value, which may be secret

    return convert


def _first_sentence(message: str) -> str:
    return message.splitlines()[0].partition(". ")[0].rstrip(".")


def _refusal(error: ValidationError, where: str) -> ValueNotCarriableError:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    first = problems[0]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    return ValueNotCarriableError(where + path, f"{first['msg']}{more}")


def _mentions_undefined(schema: Any) -> bool:
    if isinstance(schema, Mapping):
        if schema.get("cls") is Undefined:
            return True
        return any(_mentions_undefined(v) for k, v in schema.items() if k not in _KEPT)
    return isinstance(schema, list | tuple) and any(map(_mentions_undefined, schema))


class _Adapter:
    """Makes a core schema take values as they crossed."""

    def __init__(self, *, keeps_undefined: bool) -> None:
        self.keeps_undefined = keeps_undefined
        self._behind_function = False
        self._rules: Mapping[str, Callable[[Schema], Any]] = {
            "datetime": _instant,
            "date": lambda schema: _before(_as_date, schema),
            "timedelta": lambda schema: _before(_as_duration, schema),
            "int": lambda schema: _before(_as_whole, schema),
            "enum": _enum,
            "generator": _list_of,
            "model": self._model,
            "dataclass": self._dataclass,
            "typed-dict": _open,
        }

    def adapt(self, schema: Any) -> Any:
        """*schema*, adapted, with all its parts.

        Raises:
            TypeError: nothing that JavaScript has fits a part of it.
        """
        if isinstance(schema, Mapping):
            return self._adapt_one(dict(schema))
        if isinstance(schema, list):
            return [self.adapt(part) for part in schema]
        if isinstance(schema, tuple):
            return tuple(self.adapt(part) for part in schema)
        return schema

    def _adapt_one(self, schema: Schema) -> Any:
        kind = schema.get("type")
        if kind in _IMPOSSIBLE and not self._behind_function:
            raise TypeError(f"{_IMPOSSIBLE[kind]} cannot come from JavaScript")
        strict = schema.pop("strict", None)
        if kind in _EXACT and strict is not False:
            schema["strict"] = True
        for name, part in schema.items():
            if name not in _KEPT:
                schema[name] = self._adapt_part(kind, name, part)
        if kind in _NAMING:
            names = {"validate_by_name": True, "validate_by_alias": True}
            schema["config"] = {**schema.get("config", {}), **names}
        rule = self._rules.get(kind) if isinstance(kind, str) else None
        made = schema if rule is None else rule(schema)
        return self._settle_undefined(made) if self.keeps_undefined else made

    def _adapt_part(self, kind: object, name: str, part: Any) -> Any:
        if kind == "union" and name == "choices":
            return self._adapt_choices(part)
        if kind in _FUNCTIONS and name == "schema":  # the function may make what nothing else can
            before, self._behind_function = self._behind_function, True
            adapted = self.adapt(part)
            self._behind_function = before
            return adapted
        return self.adapt(part)

    def _adapt_choices(self, choices: Iterable[Any]) -> list[Any]:
        """The members of a union that are possible; one is enough."""
        possible: list[Any] = []
        refusal: TypeError | None = None
        for choice in choices:
            try:
                possible.append(self.adapt(choice))
            except TypeError as exc:
                refusal = exc
        if refusal is not None and not possible:
            raise refusal
        return possible

    def _settle_undefined(self, schema: Any) -> Any:
        """``undefined`` where a field or an item does not ask for it: dropped, or None."""
        kind = schema.get("type")
        if kind in ("model-fields", "typed-dict", "dataclass-args"):
            fields = schema["fields"]
            pairs = fields.items() if isinstance(fields, Mapping) else _named(fields)
            asking = {name for name, field in pairs if _mentions_undefined(field)}
            return _before(lambda value: _drop(value, asking), schema)
        if kind in ("list", "set", "frozenset", "tuple") and not _mentions_undefined(schema):
            return _before(without_undefined, schema)
        return schema

    def _model(self, schema: Schema) -> Any:
        computed = getattr(schema["cls"], "model_computed_fields", {})
        if not computed:
            return schema
        names = frozenset(computed)  # they crossed with the others, for JavaScript to read
        return _before(lambda value: _without(value, names), schema)

    def _dataclass(self, schema: Schema) -> Any:
        config = schema.get("config") or {}
        inner = schema["schema"]
        while "schema" in inner and inner["type"] != "dataclass-args":
            inner = inner["schema"]
        if "extra_fields_behavior" not in config:
            inner.setdefault("extra_behavior", "forbid")
        late = [field for field in inner["fields"] if field.get("init") is False]
        if not late:
            return schema
        parts = core_schema.typed_dict_schema(
            {
                field["name"]: core_schema.typed_dict_field(field["schema"], required=False)
                for field in late
            }
        )
        validator = SchemaValidator(parts, _use_prebuilt=False)
        names = frozenset(field["name"] for field in late)
        return core_schema.no_info_wrap_validator_function(
            lambda value, handler: _fill_late(value, handler, validator, names),
            typing.cast("Any", schema),
        )


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


def _before(convert: Callable[[Any], Any], schema: Schema) -> Any:
    return core_schema.no_info_before_validator_function(convert, typing.cast("Any", schema))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _as_instant(value: Any) -> Any:
    return _EPOCH + timedelta(milliseconds=value) if _is_number(value) else value


def _as_duration(value: Any) -> Any:
    return timedelta(milliseconds=value) if _is_number(value) else value


def _as_date(value: Any) -> Any:
    instant = _as_instant(value)
    return instant.date() if isinstance(instant, datetime) else instant


def _instant(schema: Schema) -> Any:
    made = _before(_as_instant, schema)
    if schema.get("tz_constraint") == "naive":
        return made
    return core_schema.no_info_after_validator_function(_aware, made)


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _enum(schema: Schema) -> Any:
    kind: type[Enum] = schema["cls"]
    if kind is Undefined:
        return core_schema.is_instance_schema(kind)
    return core_schema.no_info_plain_validator_function(lambda value: member_of(kind, value))


def _list_of(schema: Schema) -> Any:
    return core_schema.list_schema(schema.get("items_schema"))


def _open(schema: Schema) -> Any:
    """A TypedDict keeps the keys that it does not name: its type promises no more than it says."""
    said = "extra" in getattr(schema.get("cls"), "__pydantic_config__", {})
    if schema.get("extra_behavior", "ignore") == "ignore" and not said:
        schema["extra_behavior"] = "allow"
    return schema


# --- TypedDict of the standard library before Python 3.12 ---------------------------------------


def _admit_typed_dicts(annotation: Any, seen: set[int]) -> None:
    """Have pydantic take ``typing.TypedDict``, whose keys it cannot read before Python 3.12."""
    if id(annotation) in seen:
        return
    seen.add(id(annotation))
    for part in typing.get_args(annotation):
        _admit_typed_dicts(part, seen)
    origin = typing.get_origin(annotation) or annotation
    if not isinstance(origin, type):
        return
    if typing.is_typeddict(origin) and type(origin).__module__ == "typing":
        origin.__get_pydantic_core_schema__ = _typed_dict_schema  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    if origin.__module__ != "builtins" and hasattr(origin, "__annotations__"):
        for part in _field_annotations(origin):
            _admit_typed_dicts(part, seen)


def _field_annotations(owner: type) -> Iterable[Any]:
    try:
        return typing.get_type_hints(owner, include_extras=True).values()
    except Exception:  # pydantic says of it what is wrong
        return ()


def _typed_dict_schema(source: Any, handler: Any) -> Any:
    import typing_extensions

    origin = typing.get_origin(source) or source
    keys: dict[str, Any] = {}
    for name, annotation in typing.get_type_hints(origin, include_extras=True).items():
        required = name in origin.__required_keys__
        # Annotations kept as text are not in that set by what they say.
        while typing.get_origin(annotation) in (typing.Required, typing.NotRequired):
            required = typing.get_origin(annotation) is typing.Required
            annotation = typing.get_args(annotation)[0]
        keys[name] = annotation if required else typing_extensions.NotRequired[annotation]
    make: Any = typing_extensions.TypedDict
    twin = make(origin.__name__, keys)
    twin.__module__ = origin.__module__
    if hasattr(origin, "__pydantic_config__"):
        twin.__pydantic_config__ = origin.__pydantic_config__
    return handler.generate_schema(twin)
