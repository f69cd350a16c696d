"""Family: the runs that a run starts, watches and is watched by, as its head keeps them.

Most runs have none of it, and their heads no place for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

from perdure.model import ChildStart, EntityId, HookClaim, NewRun, RunId, Watch, Watcher
from perdure.worldkit.pure import Book

from ._schema import pack_flat, unpack_flat

__all__ = ("ALONE", "Family")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Runs to create and to watch, runs to be told this one's end, and runs that it waits for."""

    starts: tuple[ChildStart, ...] = ()
    watches: tuple[Watch, ...] = ()
    watchers: tuple[Watcher, ...] = ()
    watching: Mapping[EntityId, RunId] = field(default_factory=dict[EntityId, RunId])

    @classmethod
    def of(cls, book: Book) -> Family:
        """The family of a run."""
        if not (book.starts or book.watches or book.watchers or book.watching):
            return ALONE
        return cls(
            starts=tuple(book.starts),
            watches=tuple(book.watches),
            watchers=tuple(book.watchers),
            watching=dict(book.watching),
        )

    def pack(self) -> list[Any]:
        """It as plain values; nothing if there is none, so that a head stays as it was before."""
        if self == ALONE:
            return []
        return [
            [
                [_pack_start(start) for start in self.starts],
                [pack_flat(watch) for watch in self.watches],
                [pack_flat(watcher) for watcher in self.watchers],
                dict(self.watching),
            ]
        ]

    @classmethod
    def unpack(cls, parts: list[Any]) -> Family:
        """The family that ``pack`` wrote."""
        if not parts:
            return ALONE
        ((starts, watches, watchers, watching),) = parts
        return cls(
            starts=tuple(_unpack_start(start) for start in starts),
            watches=tuple(unpack_flat(Watch, watch) for watch in watches),
            watchers=tuple(unpack_flat(Watcher, watcher) for watcher in watchers),
            watching=dict(watching),
        )


ALONE = Family()


def _pack_start(start: ChildStart) -> list[Any]:
    hook = start.new.hook
    new = pack_flat(replace(start.new, hook=None))
    return [start.entity, start.asks, new, None if hook is None else pack_flat(hook)]


def _unpack_start(parts: list[Any]) -> ChildStart:
    entity, asks, new, hook = parts
    claim = None if hook is None else unpack_flat(HookClaim, hook)
    return ChildStart(entity=entity, new=unpack_flat(NewRun, new, hook=claim), asks=asks)
