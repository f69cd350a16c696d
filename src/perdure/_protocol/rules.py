"""Rules: how a value of one kind is read from the form in which it crossed.

Pure. Each rule puts a function before, after or in place of a core schema of pydantic's.
"""

# Core schemas are dictionaries of many shapes:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import json
import math
import typing
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import PurePath
from typing import Any, TypeAlias

from pydantic_core import core_schema

from ..values import Undefined
from .annotations import LossyTypeError, exact_float
from .enums import form_of, member_of
from .texts import crosses_as_text

__all__ = ("before", "class_of_text", "read_as_crossed", "rule_of")

Schema: TypeAlias = "dict[str, Any]"
Rule: TypeAlias = "Callable[[Schema], Any]"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BOUNDS = ("ge", "gt", "le", "lt", "multiple_of", "max_digits", "decimal_places", "allow_inf_nan")


def rule_of(kind: Any) -> Rule:
    """The rule for schemas of this type; most are as they were."""
    return (
        _RULES.get(kind, lambda schema: schema) if isinstance(kind, str) else lambda schema: schema
    )


def before(convert: Callable[[Any], Any], schema: Schema) -> Any:
    """*schema* for the value that *convert* returns."""
    return core_schema.no_info_before_validator_function(convert, typing.cast("Any", schema))


def class_of_text(schema: Schema) -> type | None:
    """The class whose values cross as their texts that *schema* is of; None if it is of none."""
    strict = schema.get("strict_schema", {})
    owner = strict.get("python_schema", strict).get("cls")
    is_text = isinstance(owner, type) and (crosses_as_text(owner) or issubclass(owner, PurePath))
    return owner if is_text else None


def read_as_crossed(value: Any) -> Any:
    """The form that a member of an enum crosses in; another value as it is."""
    form = form_of(value) if isinstance(value, Enum) else value
    return int(form) if isinstance(form, float) and form.is_integer() else form


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _as_float(value: Any) -> Any:
    """No integer that no float is equal to: pydantic takes the nearest."""
    return exact_float(value) if type(value) is int else value


def _as_duration(value: Any) -> Any:
    if not _is_number(value):
        return value
    try:
        return timedelta(milliseconds=value)
    except (ValueError, OverflowError):
        raise ValueError(f"{value} milliseconds are more than a timedelta holds") from None


def _as_instant(value: Any) -> Any:
    if not _is_number(value):
        return value
    if math.isnan(value):
        raise ValueError("it is no time, or one outside the years 1 to 9999 in UTC")
    try:
        return _EPOCH + timedelta(milliseconds=value)
    except (ValueError, OverflowError):
        raise ValueError("it lies outside the years 1 to 9999 in UTC") from None


def _as_date(value: Any) -> Any:
    instant = _as_instant(value)
    return instant.date() if isinstance(instant, datetime) else instant


def _instant(schema: Schema) -> Any:
    ruled = before(_as_instant, schema)
    if schema.get("tz_constraint") == "naive":
        return ruled
    return core_schema.no_info_after_validator_function(_aware, ruled)


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _decimal(schema: Schema) -> Any:
    if not any(name in schema for name in _BOUNDS):
        schema["allow_inf_nan"] = True  # as Decimal itself does
    return schema


def _enum(schema: Schema) -> Any:
    kind: type[Enum] = schema["cls"]
    if kind is Undefined:
        return core_schema.is_instance_schema(kind)
    return core_schema.no_info_plain_validator_function(lambda value: member_of(kind, value))


def _literal(schema: Schema) -> Any:
    """Members of enums by their forms; ``true`` is not 1."""
    expected: list[Any] = schema["expected"]
    for value in expected:
        if not isinstance(value, Enum | str | int | bytes | None):
            raise TypeError(f"Literal[{value!r}] cannot come from JavaScript")
    if not any(isinstance(value, Enum | int) for value in expected):
        return schema
    members: dict[object, Any] = {}
    for value in expected:
        form = read_as_crossed(value)
        other = members.setdefault((type(form), form), value)
        if other is not value and (type(other), other) != (type(value), value):
            raise LossyTypeError(f"{other!r} and {value!r} are the same in JavaScript")
    choices = ", ".join(repr(read_as_crossed(value)) for value in expected)

    def member(value: Any) -> Any:
        if isinstance(value, Enum) and value in expected:
            return value
        form = read_as_crossed(value)
        key = type(form), form
        if not isinstance(form, str | int | float | bytes | None) or key not in members:
            raise ValueError(f"it is none of {choices}")
        return members[key]

    return core_schema.no_info_plain_validator_function(member)


def _of_text(schema: Schema) -> Any:
    """Of a text alone: a number is no IP address."""
    owner = class_of_text(schema)
    if owner is None:
        return schema

    def check(value: Any) -> Any:
        if not isinstance(value, str | owner):
            raise ValueError(f"only a text is read as {owner.__name__}")
        return value

    return before(check, schema)


def _of_any_address(schema: Schema) -> Any:
    owner = getattr(schema["function"].get("function"), "__self__", None)
    name = getattr(owner, "__name__", "") if isinstance(owner, type) else ""
    return before(_as_text, schema) if name.startswith("IPvAny") else schema


def _as_text(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("only a text is read as an address")
    return value


def _list_of(schema: Schema) -> Any:
    return core_schema.list_schema(schema.get("items_schema"))


def _json(schema: Schema) -> Any:
    """The content that was read from JSON already, or the text itself."""
    inner = schema.get("schema")
    if inner is None:
        return core_schema.no_info_plain_validator_function(_read_json)
    return core_schema.union_schema([inner, typing.cast("Any", schema)], mode="left_to_right")


def _read_json(value: Any) -> Any:
    """A text that holds an object or an array is JSON; another one is a value itself."""
    if not isinstance(value, str | bytes):
        return value
    try:
        content = json.loads(value)
    except ValueError:
        return value
    return content if isinstance(content, dict | list) else value


def _open(schema: Schema) -> Any:
    """A TypedDict keeps the keys that it does not name: its type promises no more than it says."""
    has_extra = "extra" in getattr(schema.get("cls"), "__pydantic_config__", {})
    if schema.get("extra_behavior", "ignore") == "ignore" and not has_extra:
        schema["extra_behavior"] = "allow"
    return schema


_RULES: Mapping[str, Rule] = {
    "datetime": _instant,
    "date": lambda schema: before(_as_date, schema),
    "decimal": _decimal,
    "timedelta": lambda schema: before(_as_duration, schema),
    "int": lambda schema: before(_as_whole, schema),
    "enum": _enum,
    "float": lambda schema: before(_as_float, schema),
    "function-plain": _of_any_address,
    "generator": _list_of,
    "json": _json,
    "lax-or-strict": _of_text,
    "literal": _literal,
    "typed-dict": _open,
}
