"""Linkage: what a source imports and exports, as far as it has been read. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ("Import", "Linkage", "Specifier")


@dataclass(frozen=True, slots=True)
class Specifier:
    """A name that is imported or exported, with its tokens."""

    name: str  # within this module
    first: int
    last: int  # the token after it and its comma
    is_type: bool = False


@dataclass(slots=True)
class Import:
    """An import of values, as far as its form tells."""

    start: int
    end: int = 0
    heads: list[Specifier] = field(default_factory=list[Specifier])  # a default, a namespace
    listed: list[Specifier] = field(default_factory=list[Specifier])


@dataclass(slots=True)
class Linkage:
    """The imports and exports of one source."""

    imports: list[Import] = field(default_factory=list[Import])
    exports: list[Specifier] = field(default_factory=list[Specifier])
    defaults: list[Specifier] = field(default_factory=list[Specifier])
    types: set[str] = field(default_factory=set[str])  # names at the top that are types
