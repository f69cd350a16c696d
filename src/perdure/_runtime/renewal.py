"""Renewal: the leases a worker holds, kept alive while their work goes on.

A lease that was lost is no error here: the turn number fences commits, and a step's key lets only
one result count.
"""

from __future__ import annotations

import logging
from typing import final

import anyio

from .._model.queue import Lease
from ..abc import World
from .containment import ends_worker
from .writes import foreign_errors

__all__ = ("VISIBILITY_MS", "Leases")

_log = logging.getLogger("perdure")
VISIBILITY_MS = 10_000
RENEW_EVERY = 3.0


@final
class Leases:
    """What a worker holds."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._held: dict[str, Lease] = {}
        self.lost = 0

    def __repr__(self) -> str:
        return f"<Leases {len(self)} held>"

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, lease: Lease) -> None:
        """Keep it alive from now on."""
        self._held[lease.token] = lease

    def let_go(self, lease: Lease) -> None:
        """It was ended, or may run out. Idempotent."""
        self._held.pop(lease.token, None)

    async def keep(self) -> None:
        """Renew what is held, until cancelled."""
        while True:
            await anyio.sleep(RENEW_EVERY)
            held = list(self._held.values())
            if not held:
                continue
            try:
                with foreign_errors(self._world):
                    renewed = await self._world.queue.extend(held, visibility_ms=VISIBILITY_MS)
            except BaseException as exc:  # two more tries before they run out
                if ends_worker(exc):
                    raise
                _log.warning("leases could not be renewed: %s", exc)
                continue
            alive = {lease.token for lease in renewed}
            for lease in held:
                if lease.token not in alive and lease.token in self._held:
                    del self._held[lease.token]
                    self.lost += 1
