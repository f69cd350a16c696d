"""Value class: values that are cheap to define and to make.

To readers, type checkers and the functions of ``dataclasses`` a class with ``@value_class`` is
``@dataclass(frozen=True, slots=True, kw_only=True)``. It costs a quarter of that to define, because
all such classes share their methods but ``__init__``, and two thirds to make. A process defines
eighty of them before its first turn, and a worker makes thirty for each step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform, overload

__all__ = ("AsItIs", "value_class")

T = TypeVar("T")


class AsItIs:
    """A class whose instances pydantic takes as they are."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> Any:
        from pydantic_core import core_schema  # pydantic asks, so it is there

        return core_schema.is_instance_schema(cls)


class _Anew:
    """The default of a field that is made anew for each value."""

    def __repr__(self) -> str:
        return "<factory>"


_ANEW = _Anew()


@overload
def value_class(cls: type[T], /) -> type[T]: ...
@overload
def value_class(*, kw_only: bool = True) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def value_class(
    cls: type[T] | None = None, /, *, kw_only: bool = True
) -> type[T] | Callable[[type[T]], type[T]]:
    """Make a value class: frozen, slotted, compared and hashed by its fields.

    Args:
        kw_only: its fields are given by name.
    """
    if cls is None:
        return lambda cls: _slotted(cls, kw_only=kw_only)
    return _slotted(cls, kw_only=kw_only)


def _slotted(cls: type[T], *, kw_only: bool) -> type[T]:
    kind: Any = dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)(cls)
    kind.__dataclass_params__.frozen = True
    kind.__init__ = _initializer(kind, kw_only=kw_only)
    own = vars(cls)
    for name, method in _SHARED.items():
        if name not in own:
            setattr(kind, name, method)
    return kind  # type: ignore[no-any-return]  # dataclass() returns a class of the same type


def _initializer(cls: type[Any], *, kw_only: bool) -> Callable[..., None]:
    parameters: list[str] = []
    lines: list[str] = []
    names: dict[str, Any] = {"_anew": _ANEW}
    for member in fields(cls):
        name = value = member.name
        names[f"_set_{name}"] = getattr(cls, name).__set__  # of the slot: no detour, no guard
        if member.default is not MISSING:
            names[f"_of_{name}"] = member.default
            parameters.append(f"{name}=_of_{name}")
        elif member.default_factory is not MISSING:
            names[f"_of_{name}"] = member.default_factory
            parameters.append(f"{name}=_anew")
            value = f"_of_{name}() if {name} is _anew else {name}"
        else:
            parameters.append(name)
        lines.append(f"  _set_{name}(self, {value})\n")
    star = "*, " if kw_only and parameters else ""
    head = f"def __init__(self, {star}{', '.join(parameters)}):\n"
    exec(head + ("".join(lines) or "  pass\n"), names)
    initialize: Callable[..., None] = names["__init__"]
    initialize.__qualname__ = f"{cls.__qualname__}.__init__"
    initialize.__module__ = cls.__module__
    initialize.__annotations__ = {member.name: member.type for member in fields(cls)}
    initialize.__annotations__["return"] = None
    return initialize


def _values(self: Any) -> tuple[object, ...]:
    return tuple([getattr(self, name) for name in self.__dataclass_fields__])


def _repr(self: Any) -> str:
    members = self.__dataclass_fields__.values()
    inside = ", ".join(f"{m.name}={getattr(self, m.name)!r}" for m in members if m.repr)
    return f"{type(self).__qualname__}({inside})"


def _equal(self: Any, other: object) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    return _values(self) == _values(other)


def _hash(self: object) -> int:
    return hash(_values(self))


def _refuse(self: object, name: str, *_: object) -> None:
    raise FrozenInstanceError(f"{type(self).__qualname__} is frozen: {name} stays as it is")


def _setstate(self: Any, state: Sequence[object]) -> None:
    for name, value in zip(self.__dataclass_fields__, state, strict=True):
        object.__setattr__(self, name, value)


_SHARED: dict[str, Callable[..., object]] = {
    "__repr__": _repr,
    "__eq__": _equal,
    "__hash__": _hash,
    "__setattr__": _refuse,
    "__delattr__": _refuse,
    "__getstate__": _values,  # pickled as a dataclass is: no function but the class is named
    "__setstate__": _setstate,
}
