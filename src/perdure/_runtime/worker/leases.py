"""Renewal: the leases a worker holds, kept alive while their work goes on.

A lease that was lost is no error here: the turn number fences commits, and a step's key lets only
one result count.
"""

from __future__ import annotations

import logging
from collections.abc import Container
from typing import final

import anyio

from ..._model.ids import RunId
from ..._model.queue import Lease
from ..._vm.watch import StopReason, Watch
from ...abc import World
from ..carrier.writes import GONE, HAND_BACK, hand_back
from ..containment import ends_worker, foreign_errors
from ..log_fields import of_item
from ..timing import DEFAULT, Timing

__all__ = ("Leases",)

_log = logging.getLogger("perdure")


@final
class Leases:
    """The leases that a worker holds."""

    def __init__(self, world: World, timing: Timing = DEFAULT) -> None:
        self._world = world
        self._timing = timing
        self._leases: dict[str, Lease] = {}
        self.watches: dict[RunId, Watch] = {}  # of the turns that are taken, by their runs
        self.losses = 0

    def __repr__(self) -> str:
        return f"<Leases {len(self)} held>"

    def __len__(self) -> int:
        return len(self._leases)

    def hold(self, lease: Lease) -> None:
        """Keep it alive from now on."""
        self._leases[lease.token] = lease

    def let_go(self, lease: Lease) -> None:
        """It was ended, or may run out. Idempotent."""
        self._leases.pop(lease.token, None)

    def holds(self, item: str) -> bool:
        """Whether a lease on this item is held. Looks through all of them."""
        return any(lease.item == item for lease in self._leases.values())

    @property
    def every(self) -> float:
        """Seconds between renewals."""
        return self._timing.renew_every

    async def keep(self) -> None:
        """Renew them, and stop the guests of runs that have ended, until cancelled."""
        while True:
            before = dict(self.watches)
            await anyio.sleep(self._timing.renew_every)
            await self._stop_ended(before)
            leases = list(self._leases.values())
            alive = await self._renewed(self._world, leases)
            if alive is None:
                continue
            for lease in leases:
                if lease.token not in alive and lease.token in self._leases:
                    del self._leases[lease.token]
                    self.losses += 1
                    self._warn(lease)

    def _warn(self, lease: Lease) -> None:
        _log.warning(
            "the lease on %s ran out; another worker may have it. It was not renewed for %d s, or"
            " its run has ended: look for a blocked event loop, a machine that was paused, or a"
            " store that did not answer. A step that must not run twice has max_retries=0",
            lease.item,
            self._timing.lease_ms // 1000,
            extra=of_item(lease.item, is_wake=lease.is_wake),
        )

    async def _stop_ended(self, before: dict[RunId, Watch]) -> None:
        """Stop the turns of runs that have ended, of those that were taken one round before."""
        for run_id, watch in list(self.watches.items()):
            if before.get(run_id) is watch and await self._has_ended(run_id):
                watch.stop(StopReason.ABANDONED)

    async def _has_ended(self, run_id: RunId) -> bool:
        try:
            with foreign_errors(self._world):
                return (await self._world.storage.get_run(run_id)).status.is_ended
        except GONE:
            return True
        except BaseException as exc:  # another time: its deadline stops it
            if ends_worker(exc):
                raise
            return False

    async def hand_back(self) -> None:
        """Let others have the rest at once, as the worker ends. Raises nothing."""
        leases, self._leases = list(self._leases.values()), {}
        with anyio.move_on_after(HAND_BACK, shield=True):
            async with anyio.create_task_group() as group:
                for lease in leases:
                    group.start_soon(hand_back, self._world, lease)

    async def renew(self, world: World) -> None:
        """Renew them through *world*, from any event loop. Raises no error of the world's.

        Those that were lost stay held here: ``keep`` finds that out.
        """
        await self._renewed(world, list(self._leases.values()))

    async def _renewed(self, world: World, leases: list[Lease]) -> Container[str] | None:
        """The tokens of those that are alive; None if that is not known."""
        if not leases:
            return None
        try:
            with foreign_errors(world):
                lease_ms = self._timing.lease_ms
                renewed = await world.queue.extend(leases, visibility_ms=lease_ms)
        except BaseException as exc:  # two more tries before they run out
            if ends_worker(exc):
                raise
            _log.warning("leases could not be renewed: %s", exc)
            return None
        return {lease.token for lease in renewed}
