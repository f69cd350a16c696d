"""Texts: classes whose instances cross as the text they have. Pure, and without importing them."""

from __future__ import annotations

import functools
from typing import Any

__all__ = ("crosses_as_text",)

_MODULES = frozenset({"ipaddress"})  # each of its classes
_CLASSES = frozenset(
    {
        ("fractions", "Fraction"),
        ("pydantic.networks", "NameEmail"),
        ("pydantic.networks", "_BaseMultiHostUrl"),
        ("pydantic.networks", "_BaseUrl"),
        ("zoneinfo", "ZoneInfo"),
    }
)


def crosses_as_text(kind: Any) -> bool:
    """Whether instances of *kind* cross as the text that ``str`` makes of them."""
    return _is_text(kind)


@functools.lru_cache(maxsize=512)
def _is_text(kind: Any) -> bool:
    return any(
        base.__module__ in _MODULES or (base.__module__, base.__name__) in _CLASSES
        for base in kind.__mro__
    )
