"""Snapshots as a world keeps them: opaque, ordered, chained.

The log is the truth; a snapshot is a checked cache and may vanish at any time.
"""

from __future__ import annotations

from .._value_class import value_class

__all__ = ("Snapshot",)


@value_class
class Snapshot:
    """A run's heap at the end of one turn, as bytes only the VM host understands."""

    turn: int  # the turn this snapshot was taken at the end of; rises
    parent_turn: int | None  # None: relative to the baseline, a root; else the chain's next link
    consumed: int  # position of the last delivery in it
    data: bytes
