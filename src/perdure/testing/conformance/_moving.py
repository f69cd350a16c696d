"""Moving: random programs in which runs leave for another world, and come back as they left."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import rule

from ..._model.ids import RunId
from ..._model.runs import RunRecord, RunStatus
from ..._model.transfer import Departure, RunCopy
from ._programs import DATA, RUNS, PairMachine, choice

__all__ = ("MovingMachine",)

AWAY = (RunStatus.MOVING, RunStatus.MOVED)
ELSEWHERE = st.sampled_from(["x://", "x://", "x://", "y://"])


class MovingMachine(PairMachine):
    """Departures and arrivals."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: list[RunCopy] = []

    @rule(run_id=RUNS, to=ELSEWHERE, lose=st.booleans())
    def depart(self, run_id: RunId, to: str, lose: bool) -> None:
        self.pair.do("transfer.depart", Departure(run_id=run_id, to=to, lose_claims=lose))
        self.keep_copy(run_id)

    @rule(run_id=RUNS)
    def confirm(self, run_id: RunId) -> None:
        self.pair.do("transfer.confirm", run_id)

    @rule(run_id=RUNS)
    def read_streams(self, run_id: RunId) -> None:
        self.pair.do("transfer.read_streams", run_id)

    @rule(data=DATA, how=st.sampled_from(["whole", "whole", "whole", "another", "torn"]))
    def arrive(self, data: st.DataObject, how: str) -> None:
        copy = choice(data, self.copies)
        if copy is None:
            return
        if how == "another":
            copy = replace(copy, record=replace(copy.record, created_at_ms=7))
        elif how == "torn":
            copy = replace(copy, events=copy.events[:-1])
        self.pair.do("transfer.arrive", copy)

    @rule(run_id=RUNS, late=st.booleans())
    def go_and_come_back(self, run_id: RunId, late: bool) -> None:
        """A run leaves, is gone, and comes back with all it had."""
        self.depart(run_id, "x://", lose=True)
        self.confirm(run_id)
        self.pair.do("catalogue.delete_run", run_id)
        if late:
            self.pair.advance(50)
        for copy in self.copies[-1:]:
            self.pair.do("transfer.arrive", copy)

    def keep_copy(self, run_id: RunId) -> None:
        """Remember a run that has departed, whole, as the reference has it."""
        record, ask = self.record(run_id), self.pair.ask
        if isinstance(record, RunRecord) and record.status in AWAY:
            copy = RunCopy(
                record=record,
                events=ask("storage.read_events", run_id),
                chain=ask("snapshots.load", run_id),
                streams=ask("transfer.read_streams", run_id),
            )
            self.copies.append(copy)
