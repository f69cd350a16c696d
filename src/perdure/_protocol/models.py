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

import dataclasses
import functools
import typing
from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from typing import Any

from .._value_class import value_class
from .annotations import LossyTypeError
from .enums import crosses_by_value
from .typed_dicts import is_typed_dict

__all__ = ("check_enum_values", "content_of", "is_encoder", "is_model", "serialized_fields")

_SERIALIZERS = ("PlainSerializer", "WrapSerializer")
_ENCODED = ("EncodedBytes", "EncodedStr")  # such as Base64Bytes


@value_class
class _Shape:
    """The parts of a model class that decide how its instances cross."""

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
    content = {name: getattr(model, name) for name in shape.fields if hasattr(model, name)}
    if shape.serialized:
        dump = model.model_dump(include=set(shape.serialized), by_alias=False)
        for name in shape.serialized & content.keys():  # one that is excluded crosses as it is
            content[name] = _with_texts(dump.get(name, content[name]))
    content.update(getattr(model, "__pydantic_extra__", None) or {})
    return content


def _dumped(model: Any) -> Mapping[Any, Any]:
    dumped = model.model_dump()
    if not isinstance(dumped, Mapping):
        raise ValueError(f"model_dump() of {type(model).__qualname__} returns no mapping")
    texts: Mapping[Any, Any] = _with_texts(dumped)
    return texts


def serialized_fields(kind: Any) -> frozenset[str]:
    """The fields of a model class that cross in the form a serializer returns."""
    if not hasattr(kind, "__pydantic_decorators__") or not hasattr(kind, "model_fields"):
        return frozenset()
    shape = _shape_of(kind)
    return frozenset(shape.fields) if shape.is_serialized else shape.serialized


def check_enum_values(kind: Any) -> None:
    """Pass a model class whose ``use_enum_values``, if it has that, leaves its values one form.

    Raises:
        LossyTypeError: a default would be a member where an instance has the member's value, or an
            enum's values do not cross as they are; says which field.
    """
    if not kind.model_config.get("use_enum_values"):
        return
    is_checked = kind.model_config.get("validate_default")
    for name, field in kind.model_fields.items():
        for enum in _enums_in(field.annotation):
            if not crosses_by_value(enum):
                raise LossyTypeError(
                    f"{kind.__name__}.{name} has use_enum_values, and values of {enum.__name__}"
                    " are more than texts and numbers"
                )
        if (owner := _dataclass_of_enums(field.annotation)) is not None:
            raise LossyTypeError(
                f"{kind.__name__}.{name} has use_enum_values, and {owner.__name__} in it may hold"
                " an enum's members or their values, which are two"
            )
        checked = is_checked if field.validate_default is None else field.validate_default
        if not checked and _has_member(_default_of(field)):
            raise LossyTypeError(
                f"{kind.__name__}.{name} has use_enum_values, and its default is a member, which"
                " is another value; add validate_default=True"
            )


def _default_of(field: Any) -> object:
    if getattr(field, "default_factory_takes_validated_data", None):
        return None
    try:
        return field.get_default(call_default_factory=True)
    except Exception:  # it is the model's to raise, when it is made
        return None


def _has_member(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_member, [*value.keys(), *value.values()]))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_has_member, value))
    return isinstance(value, Enum)


def _dataclass_of_enums(annotation: Any, classes: tuple[Any, ...] = ()) -> Any:
    """A dataclass in an annotation that has an enum; the model's rule does not reach into it."""
    origin = typing.get_origin(annotation) or annotation
    parts = typing.get_args(annotation)
    if isinstance(origin, type) and dataclasses.is_dataclass(origin) and origin not in classes:
        parts = (*parts, *typing.get_type_hints(origin, include_extras=True).values())
        if any(map(_enums_in, parts)):
            return origin
        classes = (*classes, origin)
    return next((o for part in parts if (o := _dataclass_of_enums(part, classes))), None)


def _enums_in(annotation: Any, classes: tuple[Any, ...] = ()) -> list[type[Enum]]:
    """The enums in an annotation, and in the tuples and dicts with named parts that it names."""
    origin = typing.get_origin(annotation) or annotation
    parts = typing.get_args(annotation)
    if isinstance(origin, type) and origin not in classes:
        if issubclass(origin, Enum):
            return [origin]
        if hasattr(origin, "_fields") or is_typed_dict(origin):
            parts = (*parts, *typing.get_type_hints(origin, include_extras=True).values())
            classes = (*classes, origin)
    return [enum for part in parts for enum in _enums_in(part, classes)]


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
    return _is_encoded(field.annotation) or any(
        type(item).__name__ in _ENCODED
        or (type(item).__name__ in _SERIALIZERS and _is_for_python(item))
        for item in field.metadata
    )


def is_encoder(function: Any) -> bool:
    """Whether a part of a core schema decodes an encoded text."""
    owner = getattr(function.get("function"), "__self__", None)
    return type(owner).__name__ in _ENCODED


def _is_encoded(annotation: Any) -> bool:
    """Whether an annotation has an encoded text in it."""
    if any(type(item).__name__ in _ENCODED for item in getattr(annotation, "__metadata__", ())):
        return True
    return any(map(_is_encoded, typing.get_args(annotation)))


def _is_for_python(rule: Any) -> bool:
    """Whether a serializer works on dumps that are not JSON, too."""
    return str(rule.when_used) not in ("json", "json-unless-none")
