"""Spares: memory at its baseline, for the next guest of a bundle.

Memory that was used before is ready at once, where new memory takes page faults. It holds nothing
of the run before. Its whole cost is bounded; memory of the longest unused bundle goes first.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import final

from .cell import Cell

__all__ = ("Spares",)

DEFAULT_BYTES = 64 << 20
MAX_OF_ONE = 64  # kept for each baseline


@final
class Spares:
    """Cells by baseline. From any thread."""

    def __init__(self, max_bytes: int = DEFAULT_BYTES, *, max_of_one: int | None = None) -> None:
        """Have none yet.

        Args:
            max_bytes: that all may cost.
            max_of_one: how many of one baseline; None is ``MAX_OF_ONE``.
        """
        self.max_bytes = max_bytes
        self._max_of_one = max_of_one
        self.held_bytes = 0
        self._cells: OrderedDict[bytes, list[tuple[Cell, int]]] = OrderedDict()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        used, most = self.held_bytes >> 20, self.max_bytes >> 20
        return f"<Spares of {len(self._cells)} baselines, {used} of {most} MiB>"

    def take(self, baseline: bytes) -> Cell | None:
        """A cell at this baseline, which belongs to the caller now."""
        with self._lock:
            cells = self._cells.get(baseline)
            if not cells:
                return None
            cell, size = cells.pop()
            self.held_bytes -= size
            if not cells:
                del self._cells[baseline]
            return cell

    def has_room(self, baseline: bytes) -> bool:
        """Whether another cell of this baseline would be kept."""
        return len(self._cells.get(baseline, ())) < (self._max_of_one or MAX_OF_ONE)

    def put(self, baseline: bytes, cell: Cell, size: int) -> None:
        """Keep a cell that costs *size* bytes; it belongs to this now."""
        with self._lock:
            self._cells.setdefault(baseline, []).append((cell, size))
            self._cells.move_to_end(baseline)
            self.held_bytes += size
            dropped = self._shrink()
        for each in dropped:
            each.close()

    def clear(self) -> None:
        """Free them all."""
        with self._lock:
            cells, self._cells = self._cells, OrderedDict()
            self.held_bytes = 0
        for entries in cells.values():
            for cell, _ in entries:
                cell.close()

    def _shrink(self) -> list[Cell]:
        dropped: list[Cell] = []
        while self.held_bytes > self.max_bytes:
            baseline, cells = next(iter(self._cells.items()))
            cell, size = cells.pop(0)
            self.held_bytes -= size
            dropped.append(cell)
            if not cells:
                del self._cells[baseline]
        return dropped
