"""Lineage: the image that a run's next snapshot is relative to.

The baseline, as long as that keeps snapshots small. A large heap is relative to the snapshot
before it instead, which needs a copy of its image; the chain starts anew when its links outgrow
its root. One for each warm run; belongs to the thread that has the guest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from .image import CHAIN_BYTES, Baseline, Image, make_delta, take_image
from .instance import Instance

__all__ = ("MAX_LINKS", "Lineage")

MAX_LINKS = 200  # a thaw applies each, in about 70 µs


@final
class Lineage:
    """The chain of one run's snapshots, as far as the next one must know it."""

    __slots__ = ("_baseline", "_image", "_link_bytes", "_links", "_root_bytes", "_turn")

    def __init__(self, baseline: Baseline) -> None:
        self._baseline = baseline
        self._image: Image | None = None  # of the latest snapshot, where the next one needs it
        self._turn: int | None = None
        self._root_bytes = self._link_bytes = self._links = 0

    def __repr__(self) -> str:
        return f"<Lineage of {self._links} links, {self.held_bytes >> 10} KiB held>"

    @classmethod
    def resume(
        cls, baseline: Baseline, instance: Instance, *, turn: int, deltas: Sequence[bytes]
    ) -> Lineage:
        """The lineage of a guest that was just thawed.

        Args:
            turn: of the newest snapshot in the chain.
            deltas: the chain, root first.
        """
        lineage = cls(baseline)
        lineage._begin(instance, turn, len(deltas[0]) if deltas else 0)
        lineage._links = max(0, len(deltas) - 1)
        lineage._link_bytes = sum(len(delta) for delta in deltas[1:])
        return lineage

    @property
    def chains(self) -> bool:
        """Whether the next snapshot may build on the one before, which must have been kept."""
        return self._image is not None

    @property
    def held_bytes(self) -> int:
        """The memory that the kept image costs."""
        return 0 if self._image is None else self._image.held_bytes

    def freeze(self, instance: Instance, *, turn: int) -> tuple[bytes, int | None]:
        """The delta of the snapshot at the end of *turn*, and the turn of its parent.

        The snapshot must then be kept, or the guest and its lineage be discarded.
        """
        if self._image is not None and self._links < MAX_LINKS:
            delta = make_delta(instance, self._image, advance=True)
            if self._link_bytes + len(delta) <= self._root_bytes:
                parent, self._turn = self._turn, turn
                self._links += 1
                self._link_bytes += len(delta)
                return delta, parent
        delta = make_delta(instance, self._baseline.image)
        self._begin(instance, turn, len(delta))
        return delta, None

    def _begin(self, instance: Instance, turn: int, root_bytes: int) -> None:
        self._turn, self._root_bytes = turn, root_bytes
        self._links = self._link_bytes = 0
        if root_bytes <= CHAIN_BYTES:
            self._image = None
        else:
            self._image = take_image(instance)
