"""Local runs: those that a worker carries, for the calls beside it in its event loop.

``start`` has it create a run with its first turn in one write, ``Run.result`` is told by it how a
run ends. It is a worker's, noted in ``ambient.workers`` from its start until it drains.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import final

from ..._model.ids import RunId
from ..._model.runs import NewRun
from ..carrier.carrier import Carrier
from ..carrier.equipment import Carrying
from ..listener import Listener, Patience
from ..slots import Slots
from .claimer import Claimer
from .lifetime import Lifetime

__all__ = ("LocalRuns",)


@final
class LocalRuns:
    """The runs that one worker carries."""

    __slots__ = (
        "_beginning",
        "_carriers",
        "_claimer",
        "_lifetime",
        "_shared",
        "_turns",
        "patience",
    )

    def __init__(
        self,
        carriers: dict[RunId, Carrier],
        shared: Carrying,
        *,
        claimer: Claimer,
        lifetime: Lifetime,
        turns: Slots,
    ) -> None:
        self._carriers = carriers
        self._shared = shared
        self._claimer = claimer
        self._lifetime = lifetime
        self._turns = turns
        self.patience = Patience()
        self._beginning: set[asyncio.Future[bool]] = set()

    def __repr__(self) -> str:
        return f"<LocalRuns {len(self._carriers)}, {len(self._beginning)} beginning>"

    async def begin(self, new: NewRun) -> bool:
        """Create the run and take its first turn in one write.

        Returns:
            Whether it is durable. If not, nothing was lost: create it without a turn.
        """
        loop = asyncio.get_running_loop()
        if (
            self._claimer.draining
            or loop is not self._lifetime.loop
            or new.run_id in self._carriers
        ):
            return False
        if not self._turns.take():
            return False
        carrier = self._carriers[new.run_id] = Carrier(new.run_id, self._shared)
        durable: asyncio.Future[bool] = loop.create_future()
        self._beginning.add(durable)
        self._shared.run(carrier.begin(new, partial(_tell, durable)))
        try:
            return await durable
        finally:
            self._beginning.discard(durable)

    def watch(self, run_id: RunId, listener: Listener) -> bool:
        """Tell *listener*, as ``Carrier.watch``, until ``unwatch``, if the run is carried here."""
        carrier = self._carriers.get(run_id)
        if carrier is None or asyncio.get_running_loop() is not self._lifetime.loop:
            return False
        carrier.watch(listener)
        return True

    def unwatch(self, run_id: RunId, listener: Listener) -> None:
        """Tell *listener* nothing more. Idempotent."""
        carrier = self._carriers.get(run_id)
        if carrier is not None:
            carrier.unwatch(listener)

    def expect_events(self, run_id: RunId) -> None:
        """A call here has written to the run's log: a turn that did not read that would be stale.

        In any other event loop it does nothing, as for a run that is not carried here.
        """
        carrier = self._carriers.get(run_id)
        if carrier is not None and asyncio.get_running_loop() is self._lifetime.loop:
            carrier.expect_events()

    def abandon(self) -> None:
        """Tell those that still begin that they have not: their tasks were cancelled."""
        for durable in self._beginning:
            _tell(durable, False)


def _tell(durable: asyncio.Future[bool], has_begun: bool) -> None:
    if not durable.done():
        durable.set_result(has_begun)
