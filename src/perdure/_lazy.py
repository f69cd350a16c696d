"""Lazy: modules whose names are imported from their homes when they are first asked for.

A name's home is written twice, for type checkers as an import and for Python in a table; a test
holds them together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

__all__ = ("lazy_names",)


def lazy_names(
    module: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """The functions ``__getattr__`` and ``__dir__`` of *module*.

    Args:
        homes: modules by the names in them, relative to the package of *module*.
    """
    space = vars(import_module(module))

    def find(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        value = space[name] = getattr(import_module(homes[name], space["__package__"]), name)
        return value

    return find, lambda: sorted({*space, *homes})
