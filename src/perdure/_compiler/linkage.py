"""Linkage: the imports and exports of a source, as far as it has been read. Pure data."""

from __future__ import annotations

from collections.abc import Iterator

from .._value_class import value_class

__all__ = ("Import", "Linkage", "Specifier")


@value_class(kw_only=False)
class Specifier:
    """A name that is imported or exported, with its tokens."""

    name: str  # within this module
    first: int
    last: int  # the token after it and its comma
    is_type: bool = False


class Import:
    """An import of values, as far as its form tells."""

    __slots__ = ("end", "heads", "listed", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.end = start
        self.heads: list[Specifier] = []  # a default, a namespace
        self.listed: list[Specifier] = []


class Linkage:
    """The imports and exports of one source."""

    __slots__ = ("defaults", "exports", "imports", "types")

    def __init__(self) -> None:
        self.imports: list[Import] = []
        self.exports: list[Specifier] = []
        self.defaults: list[Specifier] = []
        self.types: set[str] = set()  # names at the top that are types

    def imported(self) -> Iterator[Specifier]:
        """The names that are imported and may stand for values."""
        for clause in self.imports:
            yield from clause.heads
            yield from (specifier for specifier in clause.listed if not specifier.is_type)
