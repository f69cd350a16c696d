"""Worker: claims due runs and steps of one world, and carries them on until it is closed."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable, Mapping
from contextvars import copy_context
from dataclasses import asdict
from datetime import timedelta
from types import ModuleType, TracebackType
from typing import ClassVar, Self, final

import anyio
from anyio.abc import TaskGroup

from ..._model.ids import RunId
from ..._model.queue import MessageClaim, WakeClaim
from ..._opened import Block, note_closed, note_open
from ..._protocol.frames import Limits
from ..._steps.limits import StepLimits
from ..._steps.policy import Fetch
from ..._vm.guest import default_engine
from ..._vm.pool import VmPool
from ...abc import World
from ..ambient import workers
from ..arguments import (
    checked_count,
    checked_limits,
    checked_number,
    checked_world,
    direct_storage,
)
from ..carrier.baselines import Baselines
from ..carrier.carrier import Carrier
from ..carrier.equipment import Carrying
from ..carrier.routing import Routing
from ..carrier.warm_heaps import WarmHeaps
from ..keys import snapshot_key as configured_key
from ..own_tasks import start_own
from ..room import Room
from ..slots import Slots
from ..step_options import DEFAULT_QUEUE, checked_drain_timeout, checked_queues
from ..steps import AnyStep, collect_steps, topics_of
from ..timing import DEFAULT, Timing
from .backlog import MOST_STEPS, Backlog
from .callbacks import Callback, Callbacks
from .claimer import Claimer
from .execution import Execution
from .leases import Leases
from .lending import Lending, worker_lending
from .lifetime import Lifetime
from .local_runs import LocalRuns
from .loop_watch import LoopWatch
from .runners import Runners, Work
from .scripting import Scripting, checked_scripting

__all__ = ("Worker",)

_log = logging.getLogger("perdure")
_GIVING_UP = (
    "the worker of %s has drained for %g s: what still runs of %d runs and %d steps is cancelled "
    "and given back, for other workers to go on with"
)


@final
class Worker:
    """Carries on the runs of one world: their turns and their steps.

    Use it as ``async with Worker(world):``; leaving the block drains it: steps that are running
    finish. Workflow code that is still running five seconds later is stopped, and its turn given
    back. Calls within the block that take a world, such as ``start``, use this one by default.

    Where a block does not fit, as in a test's fixture or a web framework's hooks, use ``await
    worker.start()`` and ``await worker.aclose()``. Either way it may begin in one task and end in
    another of the same event loop.

    An error may end the worker sooner, for example if its world is closed. The error is logged, the
    task in the block is cancelled, and leaving the block or ``aclose`` raises the error in a group.

    Args:
        world: the store whose runs it carries on; open, and open until the worker has ended.
        steps: steps and modules to serve; None serves every one registered in this process.
        queues: of these steps, those of which queues are run here; see ``@step(queue=…)``. Turns
            of runs belong to no queue: every worker takes them.
        max_turns: runs that are carried at a time.
        max_steps: step bodies at a time.
        drain_timeout: seconds or a ``timedelta`` that draining may take; None is as long as it
            takes. Past it the steps that still run are cancelled and given back: another worker
            runs them again at once, and no attempt is used up (but a step with ``max_retries=0``
            fails with ``StepLostError``). A plain ``def`` step cannot be cancelled: it is told by
            ``timeout_event()`` and left behind, and runs again once its lease has run out.
        snapshot_lag: turns a run that is busy here may go without a snapshot; 0 is none. A small
            heap is frozen while the steps of its turn run, and kept with the next turn. After a
            crash one turn more than this is taken again at most, a tenth of a millisecond each.
        turn_deadline: seconds one turn of workflow code may take on a healthy machine.
        warm_bytes: memory for the heaps of runs that are put away and for bundles that are loaded;
            a quarter as much may be ready for new runs.
        snapshot_key: secret of at least 16 bytes that snapshots are tagged with; default:
            ``PERDURE_SNAPSHOT_KEY``, else no tag. A snapshot tagged otherwise is refused, and its
            run rebuilt from the log: every worker of a world needs the same key.
        limits: instructions, memory and size of values that each run may use here; None is
            ``Limits()``. A run keeps those of the worker that began it; one that is rebuilt from
            its log has those of the worker that rebuilds it, so all should have the same.
        js_steps: limits of each execution of a step in JavaScript; None is ``StepLimits()``.
        env: the ``process.env`` of steps in JavaScript: texts by name, or names that are looked up
            in this process's environment. Nothing else of it is told to them.
        fetch: the requests that steps in JavaScript may make here; None is none at all.
        on_run_completed: called, and awaited if it is async, with the ``RunEnd`` of each run that
            this worker has completed. Best effort, at most once; its errors are logged.
        on_run_failed: likewise, for a run that has failed.
    """

    _timing: ClassVar[Timing] = DEFAULT
    _block: Block | None = None  # that it was entered in

    def __init__(
        self,
        world: World,
        *,
        steps: Iterable[AnyStep | ModuleType] | None = None,
        queues: Iterable[str] = (DEFAULT_QUEUE,),
        max_turns: int = 256,
        max_steps: int = 1000,
        drain_timeout: float | timedelta | None = None,
        snapshot_lag: int = 128,
        turn_deadline: float = 30.0,
        warm_bytes: int = 256 << 20,
        snapshot_key: bytes | str | None = None,
        limits: Limits | None = None,
        js_steps: StepLimits | None = None,
        env: Mapping[str, str] | Iterable[str] = (),
        fetch: Fetch | None = None,
        on_run_completed: Callback | None = None,
        on_run_failed: Callback | None = None,
    ) -> None:
        self.world: World = checked_world("world", world)
        self.steps: Mapping[str, AnyStep] = collect_steps(steps)
        self.queues: frozenset[str] = checked_queues(queues)
        self._pool = VmPool()
        self._turns = Slots(checked_count("max_turns", max_turns, least=1))
        self._slots = Slots(checked_count("max_steps", max_steps, least=1))
        self._leases = Leases(world, self._timing)
        self._backlog = Backlog(held_up=self._timing.wakes_held_up)
        self._queued = Backlog(held_up=self._timing.steps_held_up, at_most=MOST_STEPS)
        self._room = Room(checked_count("warm_bytes", warm_bytes, least=0))
        self._carriers: dict[RunId, Carrier] = {}
        self._lifetime = Lifetime(world)
        self._runners: Runners | None = None  # until it has begun, and when it is over
        self._drain_timeout = checked_drain_timeout(drain_timeout)
        self._giving_up: asyncio.TimerHandle | None = None
        self._routing = Routing(self.steps, self.queues, lease_ms=self._timing.lease_ms)
        self._claimer = Claimer(
            world,
            topics=topics_of(self.steps.values(), self.queues),
            turns=self._turns,
            backlog=self._backlog,
            steps=self._slots,
            queued=self._queued,
            carry=self._carry,
            perform=self._perform,
            timing=self._timing,
        )
        self._execution = self._executing(
            checked_scripting(self._pool, limits=js_steps, env=env, fetch=fetch)
        )
        self._watch = LoopWatch(world, self._leases, self._execution)
        self._shared = self._carrying(
            snapshot_lag=checked_count("snapshot_lag", snapshot_lag, least=0),
            turn_deadline=checked_number("turn_deadline", turn_deadline),
            key=configured_key(snapshot_key),
            limits=checked_limits(limits),
            callbacks=Callbacks(world, on_run_completed, on_run_failed, self._run),
        )
        self._local = self._local_runs()

    def _executing(self, scripting: Scripting) -> Execution:
        return Execution(
            self.world,
            self.steps,
            leases=self._leases,
            slots=self._slots,
            run=self._run,
            scripting=scripting,
        )

    def _local_runs(self) -> LocalRuns:
        return LocalRuns(
            self._carriers,
            self._shared,
            claimer=self._claimer,
            lifetime=self._lifetime,
            turns=self._turns,
        )

    def _carrying(
        self,
        *,
        snapshot_lag: int,
        turn_deadline: float,
        key: bytes | None,
        limits: Limits,
        callbacks: Callbacks,
    ) -> Carrying:
        return Carrying(
            world=self.world,
            direct=direct_storage(self.world),
            name=secrets.token_hex(8),
            pool=self._pool,
            baselines=Baselines(self.world, self._pool, self._room, seconds=turn_deadline),
            warm=WarmHeaps(self._room),
            slots=self._slots,
            routing=self._routing,
            execution=self._execution,
            leases=self._leases,
            run=self._run,
            backlog=self._backlog,
            forget=self._forget,
            callbacks=callbacks,
            snapshot_lag=snapshot_lag,
            turn_deadline=turn_deadline,
            timing=self._timing,
            key=key,
            limits=limits,
        )

    def __repr__(self) -> str:
        return f"<Worker {self.world.url} steps={len(self.steps)} runs={len(self._carriers)}>"

    def statistics(self) -> dict[str, int]:
        """Turns taken, heaps thawed and rebuilt, blockings of the loop, leases held now.

        ``left_behind`` are steps that went on, as threads do, when the worker was cancelled.
        """
        return {
            **asdict(self._shared.tally),
            "runs": len(self._carriers),
            "warm": len(self._shared.warm),
            "leases": len(self._leases),
            "lost_leases": self._leases.losses,
            "blocked": self._watch.blocked,
            "free_slots": self._slots.free,
            "left_behind": self._execution.left_behind,
        }

    async def start(self) -> None:
        """Claim and run from now on, in tasks of the worker's own, until ``aclose``. Once.

        Cancelled, nothing has begun.

        Raises:
            UsageError: it was started or closed before, its world is open in another event loop,
                or no asyncio event loop runs here.
        """
        await self._begin(in_block=False)

    async def aclose(self) -> None:
        """Drain, and return once nothing runs here any more. Idempotent; in any task of its loop.

        Cancelled, it ends running steps at once, which other workers run again, and then raises.

        Raises:
            BaseExceptionGroup: the error that ended the worker before; raised once.
            UsageError: it was started in another event loop, or this is one of its own steps.
        """
        self._lifetime.close()
        self.drain()
        await self._lifetime.wait()

    async def __aenter__(self) -> Self:
        await self._begin(in_block=True)
        self._block = Block(self.world)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._block is not None:
            self._block.leave()
        self._lifetime.close()
        self.drain()
        await self._lifetime.leave(exc)

    def drain(self) -> None:
        """Claim nothing more; runs and steps here go on to their next suspension. Idempotent.

        A turn that takes longer than five seconds after this is given back.
        """
        if not self._claimer.draining:
            self._lifetime.run(self._drain)

    def _drain(self) -> None:
        if workers.get(self.world) is self._local:
            del workers[self.world]
        self._pool.empty_within(self._timing.guests_end)
        loop = self._lifetime.loop
        if loop is not None and loop.is_closed():
            return  # nothing runs any more
        self._claimer.drain()
        self._routing.close()
        if self._runners is None or loop is None:
            return
        self._runners.close()
        if self._drain_timeout is not None:
            self._giving_up = loop.call_later(self._drain_timeout, self._give_up)

    def _give_up(self) -> None:
        """The drain took too long: others go on with the steps that run here."""
        busy = self._slots.total - self._slots.free
        _log.warning(_GIVING_UP, self.world.url, self._drain_timeout, len(self._carriers), busy)
        self._lifetime.cancel()

    async def _begin(self, *, in_block: bool) -> None:
        await self._lifetime.begin(
            self._work, self._tidy, prepare=default_engine, in_block=in_block
        )

    async def _work(self, group: TaskGroup) -> None:
        lending = Lending(
            steps=self._slots,
            turns=self._turns,
            leases=self._leases,
            carriers=self._carriers,
            park_after=self._timing.park_after,
        )
        worker_lending.set(lending)
        self._execution.lending = lending
        self._runners = Runners(group, copy_context())
        note_open(self.world)
        workers[self.world] = self._local
        try:
            await self._claim_and_drain()
            if not self._claimer.draining:  # a task that claims was cancelled from outside
                group.cancel_scope.cancel()
        finally:
            self.drain()

    async def _tidy(self) -> None:
        """Nothing runs any more."""
        runners, self._runners = self._runners, None
        if runners is None:
            return
        if self._giving_up is not None:
            self._giving_up.cancel()
        runners.abandon()
        self._execution.close()
        await self._leases.hand_back()
        await self._execution.end_scripts()
        self._local.abandon()
        note_closed(self.world)
        self._shared.warm.clear()
        self._shared.baselines.clear()
        self._pool.close()

    async def _claim_and_drain(self) -> None:
        with self._watch.watching():
            async with anyio.create_task_group() as renewing:
                start_own(renewing, self._leases.keep)
                await self._claimer.claim_all()
                # Leases are renewed until the last of them is done.
                await self._slots.wait_all_free()
                await self._turns.wait_all_free()  # no turn of a draining worker starts a step here
                renewing.cancel_scope.cancel()

    # --- runs ----------------------------------------------------------------------------------

    def _carry(self, claim: WakeClaim) -> None:
        self._leases.hold(claim.lease)
        carrier = self._carriers.get(claim.run_id)
        if carrier is None:
            carrier = self._carriers[claim.run_id] = Carrier(claim.run_id, self._shared)
            self._turns.take_anyway()
        self._backlog.add()
        carrier.wake(claim)

    def _perform(self, claim: MessageClaim) -> None:
        self._slots.take_anyway()
        self._leases.hold(claim.lease)
        self._queued.add()
        self._run(self._run_alone(claim))

    async def _run_alone(self, claim: MessageClaim) -> None:
        try:
            await self._execution.run_alone(claim)
        finally:
            self._queued.remove()

    def _run(self, work: Work) -> None:
        assert self._runners is not None
        self._runners.run(work)

    def _forget(self, run_id: RunId) -> None:
        del self._carriers[run_id]
        self._turns.give_back()
