"""Bindings: which type stands for each type variable of a generic class.

Pure. The arguments that a class is written with, and those of the classes it is derived from:
``class Page(Box[Item])`` binds the variable of ``Box``.
"""

# Typing forms are values of any type here:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

__all__ = ("Bindings", "bindings_of", "filled", "is_open")

Bindings: TypeAlias = "Mapping[TypeVar, Any]"


def bindings_of(annotation: Any) -> dict[TypeVar, Any]:
    """The types of the variables of a class, with or without arguments, and of its bases."""
    origin = typing.get_origin(annotation) or annotation
    variables: tuple[TypeVar, ...] = getattr(origin, "__parameters__", ())
    bindings: dict[TypeVar, Any] = dict(zip(variables, typing.get_args(annotation), strict=False))
    for base in getattr(origin, "__orig_bases__", ()):
        if typing.get_origin(base) not in (None, typing.Generic, typing.Protocol):
            inner = bindings_of(base)
            bindings |= {variable: filled(kind, bindings) for variable, kind in inner.items()}
    return bindings


def filled(annotation: Any, bindings: Bindings) -> Any:
    """*annotation* with the types that its type variables stand for."""
    if isinstance(annotation, TypeVar):
        return bindings.get(annotation, annotation)
    variables = getattr(annotation, "__parameters__", ())
    if not variables or isinstance(annotation, type) or not bindings:
        return annotation
    return annotation[tuple(bindings.get(variable, variable) for variable in variables)]


def is_open(annotation: Any) -> bool:
    """Whether a type variable is left in *annotation*."""
    if isinstance(annotation, TypeVar):
        return True
    return any(map(is_open, typing.get_args(annotation)))
