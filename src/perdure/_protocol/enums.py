"""Enums: a member's form in JavaScript, and the way back.

Pure. A member crosses as its value where every value of the enum is a plain scalar that is equal to
itself, and as its name otherwise; so an enum is of one kind in a type. Members of a ``Flag``
are combined, and cross as their number.
"""

from __future__ import annotations

from enum import Enum, Flag
from typing import Any

__all__ = ("crosses_by_value", "form_of", "member_of")

_SCALARS = (str, int, float)


def crosses_by_value(kind: type[Enum]) -> bool:
    """Whether members of *kind* cross as their values; else they cross as their names."""
    return issubclass(kind, Flag) or all(
        isinstance(m.value, _SCALARS) and m.value == m.value for m in kind
    )


def form_of(member: Enum) -> str | int | float:
    """The member as JavaScript has it."""
    kind = type(member)
    if not crosses_by_value(kind):
        return member.name
    value: str | int | float = member.value
    return value


def member_of(kind: type[Enum], form: Any) -> Enum:
    """The member of *kind* that *form* stands for.

    Raises:
        ValueError: there is none; says which there are.
    """
    if isinstance(form, kind):
        return form
    if crosses_by_value(kind):
        # A value of another type may be equal, as True and 1 are: no member of this enum.
        member = _by_value(kind, form)
        if member is not None and isinstance(member.value, bool) == isinstance(form, bool):
            return member
    elif isinstance(form, str) and form in kind.__members__:
        return kind[form]
    forms = ", ".join(repr(form_of(member)) for member in kind)
    raise ValueError(f"it is no {kind.__name__}; its members are {forms}")


def _by_value(kind: type[Enum], form: Any) -> Enum | None:
    if issubclass(kind, Flag):  # which makes a member of whatever is like a number
        form = int(form) if isinstance(form, float) and form.is_integer() else form
        if type(form) is not int:
            return None
    try:
        return kind(form)
    except (ValueError, TypeError, KeyError):
        return None
