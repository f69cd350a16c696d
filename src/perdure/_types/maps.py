"""Maps: empty dicts that are Maps in JavaScript, by the types that they are declared with.

Pure. A dict with keys that are no texts is a Map, and so it is declared; one without entries does
not show the type of its keys, so its annotation has to.
"""

# Types are values here, and values of any type are walked:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import typing
from collections import abc
from collections.abc import Iterator
from types import UnionType
from typing import final

from .._protocol.bindings import bindings_of, filled
from .forms import Forms
from .structures import Structure, key_word, structure_of

__all__ = ("empty_maps",)

_WRAPPERS = (typing.Annotated, typing.Required, typing.NotRequired, typing.Final)
_NAMES = ("__supertype__", "__value__")  # where NewType and type X = … have what they name


def empty_maps(annotation: object, value: object) -> dict[int, object]:
    """The empty dicts in *value* that *annotation* declares as Maps, by their identities."""
    walker = _Walker()
    walker.walk(annotation, value)
    return walker.maps


@final
class _Walker:
    """A value and its type, side by side; where they do not fit, nothing is found."""

    def __init__(self) -> None:
        self.maps: dict[int, object] = {}
        self._visits: set[tuple[int, str]] = set()

    def walk(self, annotation: object, value: object) -> None:
        annotation = _bare(annotation)
        place = id(value), repr(annotation)
        if place in self._visits or isinstance(value, str | bytes | int | float | None):
            return
        self._visits.add(place)
        if typing.get_origin(annotation) in (typing.Union, UnionType):
            self._union([_bare(member) for member in typing.get_args(annotation)], value)
        elif isinstance(value, abc.Mapping) and not value:
            if Forms().of(annotation).startswith("Map<"):
                self.maps[id(value)] = value
        else:
            for kind, part in _parts(annotation, value):
                self.walk(kind, part)

    def _union(self, members: list[object], value: object) -> None:
        """An empty dict that may be of a member that is an object is one."""
        is_empty = isinstance(value, abc.Mapping) and not value
        if not is_empty or not any(map(_is_object, members)):
            for member in members:
                self.walk(member, value)


def _is_object(annotation: object) -> bool:
    owner = typing.get_origin(annotation) or annotation
    structure = structure_of(owner) if isinstance(owner, type) else None
    if structure is not None:
        return structure.kind == "object"
    return Forms().of(annotation).startswith(("Record<", "{", "any", "unknown"))


def _bare(annotation: object) -> object:
    """The type behind its other names and behind words about it."""
    while True:
        origin = typing.get_origin(annotation)
        if origin in _WRAPPERS or key_word(annotation) is not None:
            annotation = typing.get_args(annotation)[0]
        else:
            name = next((name for name in _NAMES if hasattr(annotation, name)), None)
            if name is None:
                return annotation
            annotation = getattr(annotation, name)


def _parts(annotation: object, value: object) -> Iterator[tuple[object, object]]:
    """The parts of a value with their types."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    owner = annotation if origin is None else origin
    structure = structure_of(owner) if isinstance(owner, type) else None
    if structure is not None:
        yield from _fields(annotation, structure, value)
    elif isinstance(value, abc.Mapping) and len(arguments) == 2:
        yield from ((arguments[1], item) for item in value.values())
    elif origin is tuple and isinstance(value, tuple) and arguments[1:] != (...,):
        yield from zip(arguments, value, strict=False)
    elif arguments and isinstance(value, abc.Collection) and not isinstance(value, abc.Mapping):
        yield from ((arguments[0], item) for item in value)


def _fields(
    annotation: object, structure: Structure, value: object
) -> Iterator[tuple[object, object]]:
    bindings = bindings_of(annotation)
    for field in structure.fields:
        kind = filled(field.annotation, bindings)
        if isinstance(value, abc.Mapping):
            yield kind, value.get(field.name)
        elif hasattr(value, "__dict__") or hasattr(type(value), field.name):
            yield kind, getattr(value, field.name, None)
