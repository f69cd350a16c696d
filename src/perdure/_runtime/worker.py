"""Worker: claims due runs and steps of one world, and carries them on until it is closed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from types import ModuleType, TracebackType
from typing import Self, final

import anyio
import anyio.abc

from .._model.commit import Append
from .._model.queue import MessageClaim, WakeClaim
from .._vm.guest import default_engine
from .._vm.pool import VmPool
from ..abc import World
from ..errors import LeaseLostError, RunEndedError, StaleTurnError
from .registry import AnyStep, collect_steps
from .step_handler import Retrying, StepCall, run_step
from .turn_handler import TurnHandler

__all__ = ("Worker",)

_log = logging.getLogger("perdure")
VISIBILITY_MS = 10_000
RENEW_EVERY = 3.0
WAIT_MS = 1000


@final
class Worker:
    """Runs runs. Use as ``async with Worker(world):``; leaving the block drains what is running.

    Args:
        steps: steps and modules to serve; None serves every one registered in this process.
        max_turns: turns in the VM at a time.
        max_steps: step bodies at a time.
    """

    def __init__(
        self,
        world: World,
        *,
        steps: Iterable[AnyStep | ModuleType] | None = None,
        max_turns: int = 16,
        max_steps: int = 256,
    ) -> None:
        self.world = world
        self.steps = collect_steps(steps)
        self._pool = VmPool()
        self._turns = anyio.Semaphore(max_turns)
        self._bodies = anyio.Semaphore(max_steps)
        self._held: dict[str, WakeClaim | MessageClaim] = {}
        self._handler: TurnHandler | None = None
        self._stack = AsyncExitStack()
        self._loops: anyio.CancelScope | None = None

    def __repr__(self) -> str:
        return f"<Worker {self.world.url} steps={len(self.steps)} held={len(self._held)}>"

    def statistics(self) -> dict[str, int]:
        """Turns done, heaps rebuilt from logs, claims held."""
        handler = self._handler
        return {
            "turns": handler.turns if handler else 0,
            "rebuilt": handler.rebuilt if handler else 0,
            "held": len(self._held),
        }

    async def __aenter__(self) -> Self:
        self._handler = TurnHandler(
            world=self.world,
            engine=await anyio.to_thread.run_sync(default_engine),
            pool=self._pool,
            queue_of=self._queue_of,
        )
        self._group = await self._stack.enter_async_context(anyio.create_task_group())
        self._loops = anyio.CancelScope()
        self._group.start_soon(self._run_loops, self._loops)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._loops is not None
        self._loops.cancel()
        await self._stack.__aexit__(exc_type, exc, traceback)
        self._pool.close()

    def _queue_of(self, step_id: str) -> str:
        known = self.steps.get(step_id)
        return known.options.queue if known else "default"

    async def _run_loops(self, scope: anyio.CancelScope) -> None:
        with scope:
            async with anyio.create_task_group() as loops:
                loops.start_soon(self._claim_wakes)
                loops.start_soon(self._claim_messages)
                loops.start_soon(self._renew)

    async def _claim_wakes(self) -> None:
        while True:
            claims = await self.world.queue.claim_wakes(
                limit=16, visibility_ms=VISIBILITY_MS, wait_ms=WAIT_MS
            )
            for claim in claims:
                await self._turns.acquire()
                self._held[claim.lease.token] = claim
                self._group.start_soon(self._guarded, self._turn, claim, self._turns.release)

    async def _claim_messages(self) -> None:
        topics = sorted(step.topic for step in self.steps.values())
        while topics:
            claims = await self.world.queue.claim_messages(
                topics, limit=16, visibility_ms=VISIBILITY_MS, wait_ms=WAIT_MS
            )
            for claim in claims:
                await self._bodies.acquire()
                self._held[claim.lease.token] = claim
                self._group.start_soon(self._guarded, self._step, claim, self._bodies.release)

    async def _renew(self) -> None:
        while True:
            await anyio.sleep(RENEW_EVERY)
            leases = [claim.lease for claim in self._held.values()]
            if leases:
                await self.world.queue.extend(leases, visibility_ms=VISIBILITY_MS)

    async def _guarded(
        self,
        handle: Callable[[WakeClaim | MessageClaim], object],
        claim: WakeClaim | MessageClaim,
        release: Callable[[], None],
    ) -> None:
        """One claim's failure is logged and given back; it never takes the worker down."""
        try:
            await handle(claim)  # type: ignore[misc] # both handlers are coroutine functions
        except (StaleTurnError, LeaseLostError, RunEndedError) as exc:
            _log.debug("%s: %s", claim.lease.item, exc)
            await self._give_back(claim, 0)
        except Exception:
            _log.exception("%s failed; it is tried again", claim.lease.item)
            await self._give_back(claim, 1000)
        finally:
            self._held.pop(claim.lease.token, None)
            release()

    async def _give_back(self, claim: WakeClaim | MessageClaim, delay_ms: int) -> None:
        try:
            await self.world.queue.release(claim.lease, delay_ms=delay_ms)
        except LeaseLostError:
            pass  # Somebody else has it, or its run has ended.

    async def _turn(self, claim: WakeClaim | MessageClaim) -> None:
        assert self._handler is not None
        assert isinstance(claim, WakeClaim)
        await self._handler.handle(claim)

    async def _step(self, claim: WakeClaim | MessageClaim) -> None:
        assert isinstance(claim, MessageClaim)
        call = StepCall.decoded(claim.message.body)
        result = await run_step(self.steps[call.step], claim, call, now_ms=self.world.now_ms())
        retrying = isinstance(result, Retrying)
        await self.world.storage.append(
            Append(
                run_id=claim.message.run_id,
                event=result.event,
                wake=not retrying,
                lease=self._held[claim.lease.token].lease,
                release_delay_ms=result.delay_ms if isinstance(result, Retrying) else None,
            )
        )
