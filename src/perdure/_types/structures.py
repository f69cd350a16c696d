"""Structures: the fields of dataclasses, models, TypedDicts and NamedTuples, in one shape.

Pure, and without importing pydantic: a model is known by its attributes.
"""

# Classes are looked at by attributes that only some of them have:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, cast

from .._protocol.bindings import bindings_of, filled
from .._protocol.models import serialized_fields
from .._protocol.typed_dicts import is_typed_dict
from .._value_class import value_class

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ("Field", "Structure", "key_word", "structure_of")


@value_class
class Field:
    """One field."""

    name: str
    annotation: object
    may_miss: bool = False  # in a value that Python returns
    has_default: bool = False  # so a workflow may leave it out
    is_computed: bool = False
    is_passed: bool = False  # to ``__init__`` only: no value that Python returns has it


@value_class
class Structure:
    """A class with fields."""

    name: str
    kind: str  # "object", "tuple" or "root"
    fields: tuple[Field, ...]
    variables: tuple[TypeVar, ...]
    doc: str


class _ModelField(Protocol):
    """A field of a pydantic model."""

    annotation: object

    def is_required(self) -> bool: ...


class _ComputedField(Protocol):
    """A property that a pydantic model passes on."""

    return_type: object


class _Model(Protocol):
    """A pydantic model, without its import."""

    model_fields: ClassVar[Mapping[str, _ModelField]]
    model_computed_fields: ClassVar[Mapping[str, _ComputedField]]


def structure_of(owner: type[object]) -> Structure | None:
    """The class's fields; None if it has none that cross by themselves."""
    if isinstance(getattr(owner, "model_fields", None), dict):
        return _model(cast("type[_Model]", owner))
    if dataclasses.is_dataclass(owner):
        return _structure(owner, "object", _dataclass_fields(owner))
    if is_typed_dict(owner):
        return _structure(owner, "object", _typed_dict_fields(owner))
    if issubclass(owner, tuple) and hasattr(owner, "_fields"):
        return _structure(owner, "tuple", _named_tuple_fields(owner))
    return None


def _structure(owner: type[object], kind: str, fields: list[Field]) -> Structure:
    doc = owner.__doc__ or ""
    is_own = doc and not doc.startswith(f"{owner.__name__}(")  # dataclass writes one of its own
    return Structure(
        name=owner.__name__,
        kind=kind,
        fields=tuple(fields),
        variables=getattr(owner, "__parameters__", ()),
        doc=doc if is_own else "",
    )


def _hints(owner: type[object]) -> dict[str, object]:
    try:
        hints = typing.get_type_hints(owner, include_extras=True)
    except NameError:  # names that exist for type checkers only
        return dict.fromkeys(getattr(owner, "__annotations__", {}), object)
    bindings = bindings_of(owner)
    return {name: filled(hint, bindings) for name, hint in hints.items()}


def _dataclass_fields(owner: type[DataclassInstance]) -> list[Field]:
    hints = _hints(owner)
    members = owner.__dataclass_fields__
    passed = [
        Field(
            name=name,
            annotation=getattr(hints[name], "type", Any),
            has_default=member.default is not dataclasses.MISSING,
            is_passed=True,
        )
        for name, member in members.items()
        if type(hints.get(name)) is dataclasses.InitVar
    ]
    return passed + [
        Field(
            name=field.name,
            annotation=hints[field.name],
            has_default=not field.init
            or field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING,
        )
        for field in dataclasses.fields(owner)
    ]


def _typed_dict_fields(owner: type[object]) -> list[Field]:
    optional: frozenset[str] = getattr(owner, "__optional_keys__", frozenset())
    fields: list[Field] = []
    for name, annotation in _hints(owner).items():
        may_miss = name in optional
        while (word := key_word(annotation)) is not None:
            may_miss = may_miss if word == "ReadOnly" else word == "NotRequired"
            annotation = typing.get_args(annotation)[0]
        fields.append(Field(name=name, annotation=annotation, may_miss=may_miss))
    return fields


def key_word(annotation: object) -> str | None:
    """The word about a TypedDict's key in an annotation, of ``typing`` or ``typing_extensions``."""
    word = getattr(typing.get_origin(annotation), "_name", None)
    return word if word in ("Required", "NotRequired", "ReadOnly") else None


def _named_tuple_fields(owner: type[object]) -> list[Field]:
    hints = _hints(owner)
    defaults: Mapping[str, object] = getattr(owner, "_field_defaults", {})
    names: tuple[str, ...] = getattr(owner, "_fields", ())
    return [
        Field(name=name, annotation=hints.get(name, Any), has_default=name in defaults)
        for name in names
    ]


def _model(owner: type[_Model]) -> Structure:
    generic = getattr(owner, "__pydantic_generic_metadata__", None) or {}
    names = serialized_fields(owner)
    fields = [
        Field(
            name=name,
            annotation=Any if name in names else field.annotation,
            has_default=not field.is_required(),
        )
        for name, field in owner.model_fields.items()
    ]
    for name, computed in owner.model_computed_fields.items():
        fields.append(Field(name=name, annotation=computed.return_type, is_computed=True))
    return Structure(
        name=owner.__name__,
        kind="root" if getattr(owner, "__pydantic_root_model__", False) else "object",
        fields=tuple(fields),
        variables=tuple(generic.get("parameters") or ()),
        doc=(owner.__dict__.get("__doc__") or "")
        if owner.__module__ != "pydantic.root_model"
        else "",
    )
