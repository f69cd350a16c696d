"""TypedDicts: those that pydantic misreads, made readable for it.

Pure. Pydantic cannot read the keys of a ``typing.TypedDict`` before Python 3.12, and leaves open
the type variables of a generic one that another is derived from. It is handed a twin that
``typing_extensions`` makes of it. One twin stands for a TypedDict and its arguments, so that one
that names itself comes to an end.
"""

# Classes are looked at by attributes that only some of them have:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import functools
import sys
import typing
from collections.abc import Iterable
from typing import Any

from .bindings import bindings_of, filled

__all__ = ("admit_typed_dicts", "is_typed_dict")


def admit_typed_dicts(annotation: Any) -> None:
    """Have pydantic take each such TypedDict in *annotation*."""
    _admit(annotation, set())


def _admit(annotation: Any, visits: set[int]) -> None:
    if id(annotation) in visits:
        return
    visits.add(id(annotation))
    for part in typing.get_args(annotation):
        _admit(part, visits)
    origin = typing.get_origin(annotation) or annotation
    if not isinstance(origin, type):
        return
    if is_typed_dict(origin) and (_is_of_old(origin) or bindings_of(origin)):
        # Pydantic looks for it, no stub has it.
        origin.__get_pydantic_core_schema__ = _schema  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    if origin.__module__ != "builtins" and hasattr(origin, "__annotations__"):
        for part in _field_annotations(origin):
            _admit(part, visits)


def is_typed_dict(owner: Any) -> bool:
    """Whether the class is a TypedDict, of ``typing`` or of ``typing_extensions``."""
    return issubclass(owner, dict) and hasattr(owner, "__required_keys__")


def _is_of_old(owner: type) -> bool:
    return sys.version_info < (3, 12) and type(owner).__module__ == "typing"


def _field_annotations(owner: type) -> Iterable[Any]:
    try:
        return typing.get_type_hints(owner, include_extras=True).values()
    except Exception:  # pydantic says of it what is wrong
        return ()


def _schema(source: Any, handler: Any) -> Any:
    return handler.generate_schema(_twin(source))


@functools.lru_cache(maxsize=512)
def _twin(source: Any) -> Any:
    import typing_extensions

    origin = typing.get_origin(source) or source
    arguments = bindings_of(source)
    keys: dict[str, Any] = {}
    for name, annotation in typing.get_type_hints(origin, include_extras=True).items():
        required = name in origin.__required_keys__
        # Annotations kept as text are not in that set by what they say.
        while typing.get_origin(annotation) in (typing.Required, typing.NotRequired):
            required = typing.get_origin(annotation) is typing.Required
            annotation = typing.get_args(annotation)[0]
        annotation = filled(annotation, arguments)
        keys[name] = annotation if required else typing_extensions.NotRequired[annotation]
    make: Any = typing_extensions.TypedDict
    twin = make(origin.__name__, keys)
    twin.__module__ = origin.__module__
    if hasattr(origin, "__pydantic_config__"):
        twin.__pydantic_config__ = origin.__pydantic_config__
    return twin
