"""Slow runs: those of which a turn was stopped here, and none has landed since.

Their turns begin aside of all others, and come later the more often there was no room for them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import final

from ..._model.ids import RunId

__all__ = ("SlowRuns",)

MAX_RUNS = 10_000  # that are remembered; one that is forgotten is met anew
_FIRST_MS = 500
_LAST_MS = 30_000


@final
class SlowRuns:
    """Runs, and how often each had no room. Used in one event loop."""

    def __init__(self) -> None:
        self.refusals: OrderedDict[RunId, int] = OrderedDict()  # by run; the one met last is last

    def __repr__(self) -> str:
        return f"<SlowRuns {len(self.refusals)}>"

    def note(self, run_id: RunId) -> None:
        """A turn of the run was stopped."""
        self.refusals.setdefault(run_id, 0)
        self.refusals.move_to_end(run_id)
        if len(self.refusals) > MAX_RUNS:
            self.refusals.popitem(last=False)

    def refuse(self, run_id: RunId) -> int:
        """There was no room for the run. Returns after how many milliseconds it may come again."""
        self.note(run_id)
        refusals = self.refusals[run_id] = self.refusals[run_id] + 1
        return int(min(_FIRST_MS * 2 ** min(refusals - 1, 16), _LAST_MS))

    def forget(self, run_id: RunId) -> None:
        """A turn of the run has landed, or it has ended. Idempotent."""
        self.refusals.pop(run_id, None)
