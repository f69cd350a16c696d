"""Claimer: asks one world again and again for due items, as long as there is a free slot."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager
from typing import TypeVar, final

import anyio

from ..._ending import Ending
from ..._model.queue import MessageClaim, WakeClaim
from ...abc import World
from ...errors import LeaseLostError, WorldClosedError, WorldError, WorldReplacedError
from ..carrier.writes import HAND_BACK
from ..containment import ends_worker
from ..own_tasks import start_own
from ..slots import Slots
from ..timing import DEFAULT, Timing
from .backlog import Backlog

__all__ = ("Claimer",)

C = TypeVar("C", WakeClaim, MessageClaim)
_log = logging.getLogger("perdure")
WAIT_MS = 1000


@final
class Claimer:
    """Claims wakes and messages until it is drained. Used in one event loop."""

    def __init__(
        self,
        world: World,
        *,
        topics: Iterable[str],
        turns: Slots,
        backlog: Backlog,
        steps: Slots,
        queued: Backlog,
        carry: Callable[[WakeClaim], None],
        perform: Callable[[MessageClaim], None],
        timing: Timing = DEFAULT,
    ) -> None:
        """Claim nothing yet.

        Args:
            topics: of the messages to claim.
            turns: how many wakes there is room for.
            backlog: of wakes before; *carry* adds to it.
            steps: how many messages there is room for.
            queued: of messages before; *perform* adds to it.
            carry: called with each wake that is claimed; takes a slot.
            perform: called with each message that is claimed; takes a slot.
        """
        self._world = world
        self._topics = sorted(topics)
        self._turns = turns
        self._backlog = backlog
        self._steps = steps
        self._queued = queued
        self._carry = carry
        self._perform = perform
        self._timing = timing
        self._draining = False
        self._ending = Ending()  # of waits for something to claim
        self._pauses: set[anyio.CancelScope] = set()  # of loops that ask for nothing just now
        self._claiming: anyio.CancelScope | None = None

    def __repr__(self) -> str:
        return f"<Claimer of {self._world.url}{', draining' if self._draining else ''}>"

    @property
    def draining(self) -> bool:
        """Whether nothing more is claimed."""
        return self._draining

    def drain(self) -> None:
        """Claim nothing more. Idempotent."""
        if self._draining:
            return
        self._draining = True
        # A claim that is under way may have been made: it is not cut short while it could count.
        if self._claiming is not None:
            self._claiming.deadline = anyio.current_time() + self._timing.lease_ms / 1000
        self._ending.end()
        for pause in self._pauses:
            pause.cancel()

    async def claim_all(self) -> None:
        """Claim until drained."""
        with anyio.CancelScope() as self._claiming:
            async with anyio.create_task_group() as loops:
                start_own(loops, self._claim_wakes)
                start_own(loops, self._claim_messages)

    async def _claim_wakes(self) -> None:
        while await self._may_claim(self._turns, self._backlog):
            limit = min(self._backlog.room, self._turns.free)
            for claim in await self._claimed(
                # Mypy infers no lambda with a default.
                lambda limit=limit: self._world.queue.claim_wakes(  # type: ignore[misc]
                    limit=limit, visibility_ms=self._timing.lease_ms, wait_ms=WAIT_MS
                )
            ):
                self._carry(claim)

    async def _claim_messages(self) -> None:
        while self._topics and await self._may_claim(self._steps, self._queued):
            limit = min(self._queued.room, self._steps.free)
            claims = await self._claimed(
                # Likewise.
                lambda limit=limit: self._world.queue.claim_messages(  # type: ignore[misc]
                    self._topics, limit=limit, visibility_ms=self._timing.lease_ms, wait_ms=WAIT_MS
                )
            )
            self._queued.note_claim(len(claims), limit=limit)
            for claim in claims:
                self._perform(claim)

    async def _may_claim(self, slots: Slots, backlog: Backlog) -> bool:
        """Wait for room and a slot; whether there is one before the drain."""
        with self._pause():
            await backlog.wait_room()
            await slots.wait_free()
        return not self._draining

    async def _claimed(self, call: Callable[[], Awaitable[tuple[C, ...]]]) -> tuple[C, ...]:
        """The claims, unless the drain has begun: then they are given back."""
        try:
            with self._ending.heeded():
                claims = await call()
            if not self._draining:
                return claims
            with anyio.move_on_after(HAND_BACK, shield=True):
                for claim in claims:
                    await self._give_back(claim)
        except (WorldClosedError, WorldReplacedError):
            raise  # there is nothing to claim from any more
        except BaseException as exc:
            if ends_worker(exc):
                raise
            trace = None if isinstance(exc, WorldError) else exc
            _log.warning("%r; claiming goes on in a second", exc, exc_info=trace)
            with self._pause():
                await anyio.sleep(self._timing.claim_again)
        return ()

    async def _give_back(self, claim: C) -> None:
        """It runs out by itself where that fails."""
        try:
            await self._world.queue.release(claim.lease)
        except Exception as exc:
            level = logging.DEBUG if isinstance(exc, LeaseLostError) else logging.WARNING
            _log.log(level, "%s was not given back: %r", claim.lease.item, exc)

    @contextmanager
    def _pause(self) -> Generator[None, None, None]:
        """A block that a drain cuts short, as nothing can be lost by it."""
        with anyio.CancelScope() as scope:
            self._pauses.add(scope)
            try:
                if self._draining:
                    scope.cancel()
                yield
            finally:
                self._pauses.discard(scope)
