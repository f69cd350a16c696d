"""Models: pydantic models on their way to JavaScript, without importing pydantic.

Pure. A model crosses as its fields under their own names, each in the form its value has by itself,
so it can come back. A field or model with a serializer of its own crosses in the form that one
returns; a duration in it is ISO 8601 text then, since pydantic takes a number for seconds. Fields
that are excluded from dumps cross as well: a step that takes the model needs them. Computed fields
cross for JavaScript to read.
"""

# Models are recognised by their attributes, whose types stay unknown:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from .._frozen import frozen

__all__ = ("content_of", "is_model", "serialized_fields")

_SERIALIZERS = ("PlainSerializer", "WrapSerializer")
_ENCODED = ("EncodedBytes", "EncodedStr")  # such as Base64Bytes


@frozen
class _Shape:
    """What of a model class decides how its instances cross."""

    is_root: bool
    is_serialized: bool  # by a serializer of the model
    fields: tuple[str, ...]
    serialized: frozenset[str]  # fields with a serializer of their own


def is_model(value: Any) -> bool:
    """Whether *value* is an instance of a pydantic model, or of a class that dumps itself so."""
    return callable(getattr(value, "model_dump", None))


def content_of(model: Any) -> Any:
    """The model's parts: a mapping, or the root of a root model.

    Raises:
        ValueError: its own serializer returns no mapping.
    """
    if not hasattr(type(model), "__pydantic_decorators__"):
        return _dumped(model)
    kind: Any = type(model)
    shape = _shape_of(kind)
    if shape.is_serialized:
        return _dumped(model)
    if shape.is_root:
        return model.root
    made = {name: getattr(model, name) for name in shape.fields if hasattr(model, name)}
    if shape.serialized:
        written = model.model_dump(include=set(shape.serialized), by_alias=False)
        for name in shape.serialized & made.keys():  # one that is excluded crosses as it is
            made[name] = _with_texts(written.get(name, made[name]))
    made.update(getattr(model, "__pydantic_extra__", None) or {})
    return made


def _dumped(model: Any) -> Mapping[Any, Any]:
    dumped = model.model_dump()
    if not isinstance(dumped, Mapping):
        raise ValueError(f"model_dump() of {type(model).__qualname__} returns no mapping")
    written: Mapping[Any, Any] = _with_texts(dumped)
    return written


def serialized_fields(kind: Any) -> frozenset[str]:
    """The fields of a model class that cross in the form a serializer returns."""
    if not hasattr(kind, "__pydantic_decorators__") or not hasattr(kind, "model_fields"):
        return frozenset()
    shape = _shape_of(kind)
    return frozenset(shape.fields) if shape.is_serialized else shape.serialized


def _with_texts(value: Any) -> Any:
    """*value* with ISO 8601 text for durations."""
    if isinstance(value, timedelta):
        return _text_of(value)
    if type(value) is dict:
        return {_with_texts(key): _with_texts(item) for key, item in value.items()}
    if type(value) is list or type(value) is tuple:
        return type(value)([_with_texts(item) for item in value])
    return value


def _text_of(value: timedelta) -> str:
    sign, size = ("-", -value) if value < timedelta(0) else ("", value)
    return f"{sign}P{size.days}DT{size.seconds}.{size.microseconds:06}S"


@functools.lru_cache(maxsize=512)
def _shape_of(kind: Any) -> _Shape:
    decorators = kind.__pydantic_decorators__
    fields: Mapping[str, Any] = kind.model_fields
    rules = [rule.info for rule in decorators.field_serializers.values()]
    named = {name for rule in rules if _is_for_python(rule) for name in rule.fields}
    if "*" in named:
        named = set(fields)
    named |= {name for name, field in fields.items() if _has_serializer(field)}
    return _Shape(
        is_root=bool(getattr(kind, "__pydantic_root_model__", False)),
        is_serialized=bool(decorators.model_serializers),
        fields=(*fields, *kind.model_computed_fields),
        serialized=frozenset(named),
    )


def _has_serializer(field: Any) -> bool:
    return any(
        type(item).__name__ in _ENCODED
        or (type(item).__name__ in _SERIALIZERS and _is_for_python(item))
        for item in field.metadata
    )


def _is_for_python(rule: Any) -> bool:
    """Whether a serializer works on dumps that are not JSON, too."""
    return str(rule.when_used) not in ("json", "json-unless-none")
