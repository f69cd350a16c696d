"""Waits: the times that a world on a file waits. Users have the defaults; tests have less time."""

from __future__ import annotations

from perdure.worldkit.values import value_class

__all__ = ("DEFAULT", "Waits")


@value_class
class Waits:
    """The waits of one world, in seconds where a name does not say otherwise."""

    look_every: float = 0.02  # between looks for what other processes wrote
    open_within: float = 20.0  # after which opening asks for no lock again
    open_again: float = 0.05
    busy_ms: int = 10_000  # that SQLite itself waits for a lock


DEFAULT = Waits()
