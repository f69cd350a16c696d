"""Carrier: one run in this worker, from a wake until nothing of it is running here.

It takes turns one after another: the steps that come of one run here, and their results go into
the next without a write of their own. A task that has run a step goes on to take the turn with its
result, and then runs a step which that turn started, so a sequence needs one task. An error
discards the heap, appends results that exist under their keys, and lets the run be woken: nothing
is lost, at worst repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from time import perf_counter
from typing import final

import anyio

from ..._model.ids import EntityId, RunId
from ..._model.queue import WakeClaim
from ..._model.runs import NewRun, RunOutcome, RunStatus
from ..._vm.watch import StoppedError, StopReason
from ...errors import (
    AttributeLimitError,
    LeaseLostError,
    PerdureError,
    StaleTurnError,
    WorldError,
)
from ..containment import ends_worker
from ..listener import Listener
from ..log_fields import of_run
from ..worker.execution import Begun
from .custody import Custody
from .equipment import Carrying
from .giving_up import (
    MAX_FRUITLESS,
    MAX_INTERRUPTED,
    MAX_LOST,
    fruitless,
    turn_deadline_error,
)
from .run_failures import log_failure
from .turn import StepResult, Turn
from .turns import Turns
from .writes import GONE, HAND_BACK, Writes, hand_back

__all__ = ("Carrier",)

_log = logging.getLogger("perdure")
_AT_ONCE = 0.002  # seconds for which steps are begun one after another, before others have a turn
_PARKED_MS = 30_000  # a run whose bundle is missing is looked at again after this long


@final
class Carrier:
    """Carries one run."""

    def __init__(self, run_id: RunId, shared: Carrying) -> None:
        self.run_id = run_id
        self._shared = shared
        self._writes = Writes(run_id, shared.world)
        self._custody = Custody(run_id, shared, self._writes)
        self._turns = Turns(run_id, shared, self._writes, self._custody)
        self._claims: list[WakeClaim] = []
        self._listeners: list[Listener] = []
        self._tasks = 0  # that carry this run
        self._turning = False  # one of them takes turns
        self._waiting: set[EntityId] = set()  # steps in flight that wait for other runs

    def __repr__(self) -> str:
        return f"<Carrier of {self.run_id}, {len(self._turns.in_flight)} steps in flight>"

    def wake(self, claim: WakeClaim) -> None:
        """Have the run looked at."""
        self._claims.append(claim)
        if not self._turning:
            self._add_task(None)

    def waits(self, entity: EntityId) -> bool:
        """A step of the run waits for another run. Returns whether it is one that runs here."""
        if entity not in self._turns.in_flight:
            return False
        self._waiting.add(entity)
        return True

    def goes_on(self, entity: EntityId) -> None:
        """The step waits no more."""
        self._waiting.discard(entity)

    async def park(self) -> None:
        """Put the heap away if nothing of the run does more than wait."""
        turns = self._turns
        idle = 0 < len(turns.in_flight) <= len(self._waiting)
        if idle and self._custody.has_heap and not self._turning:
            self._add_task(None)

    def expect_events(self) -> None:
        """Have the log read before the next turn."""
        self._custody.expect_events()

    def watch(self, listener: Listener) -> None:
        """Tell *listener* the run's outcome once it has landed, or that it is no more carried."""
        self._listeners.append(listener)

    def unwatch(self, listener: Listener) -> None:
        """Tell *listener* nothing more. Idempotent."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    async def carry(
        self,
        step: Begun | None = None,
        new: NewRun | None = None,
        tell: Callable[[bool], None] | None = None,
    ) -> None:
        """Finish *step*, take the turns there are to take, and so on; returns when others do that.

        The last task to leave finds the run put away.

        Args:
            new: the run is created first, as ``begin`` has it.
        """
        try:
            if new is not None and tell is not None:
                await self._create(new, tell)
            while True:
                if step is not None:
                    await self._finish(step)
                if self._turning:
                    return
                await self._take_turns()
                step = await self._begin_steps()
                if self._turns.results:
                    self._hand_on(step)
                    step = None
                elif step is None:
                    return
        except asyncio.CancelledError:
            await self._hand_back()
            raise
        finally:
            self._release_task()

    async def _finish(self, step: Begun) -> None:
        result: StepResult | None = None
        try:
            result = await self._shared.execution.finish(step)
        finally:
            self._turns.finished(step.claim, result)

    async def _begin_steps(self) -> Begun | None:
        """Begin the steps that are ready; returns one that waits, and other tasks finish others."""
        turns, waiting = self._turns, None
        until = perf_counter() + _AT_ONCE
        while turns.ready:
            claim, call = turns.next_step()
            work = self._shared.execution.begin(claim, call)
            if isinstance(work, StepResult):
                turns.finished(claim, work)
            else:
                self._hand_on(waiting)
                waiting = work
            if turns.ready and perf_counter() > until:
                self._hand_on(waiting)
                waiting = None
                await asyncio.sleep(0)
                until = perf_counter() + _AT_ONCE
        return waiting

    def _hand_on(self, step: Begun | None) -> None:
        """Have another task finish the step, if there is one."""
        if step is not None:
            self._add_task(step)

    async def _take_turns(self) -> None:
        """Take turns until nothing more is known of the run; put it away if nothing runs here."""
        turns, self._turning = self._turns, True
        try:
            if turns.results and turns.in_flight and not self._claims:
                await asyncio.sleep(0)  # steps that end at once share a turn
            while True:
                try:
                    if self._claims or turns.results:
                        await self._advance()
                    elif len(turns.in_flight) > len(self._waiting) or not self._custody.has_heap:
                        return
                    else:
                        await self._custody.put_away()
                except BaseException as exc:
                    self._contain(exc)
        finally:
            self._turning = False

    def _contain(self, error: BaseException) -> None:
        """Log the error of this run, which is looked at again later.

        Its claims run out by themselves where they were not given back.
        """
        if ends_worker(error):
            raise error
        _log.error(
            "run %s: it is looked at again once its lease has run out",
            self.run_id,
            exc_info=error,
            extra=of_run(self.run_id),
        )
        self._custody.discard()

    def _add_task(self, step: Begun | None) -> None:
        self._tasks += 1
        self._shared.run(self.carry(step))

    def _release_task(self) -> None:
        """One task less; after the last, nothing is kept: the run is put away, or was cancelled."""
        self._tasks -= 1
        if self._tasks:
            return
        self._custody.discard()
        while self._turns.ready:
            self._shared.execution.drop(self._turns.next_step()[0])
        self._tell(None)
        self._shared.forget(self.run_id)

    def _tell(self, outcome: RunOutcome | None) -> None:
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.tell(outcome)

    def begin(self, new: NewRun, tell: Callable[[bool], None]) -> Coroutine[object, object, None]:
        """Create the run and commit its first turn in one write, then carry it on.

        *tell* hears whether it is durable; if not, nothing is lost by creating it without a turn.
        It may hear more than once; the first counts.
        """
        self._turning = True  # from now on: a claim that comes meanwhile waits
        self._tasks += 1
        return self.carry(None, new, tell)

    async def _create(self, new: NewRun, tell: Callable[[bool], None]) -> None:
        try:
            turn = await self._turns.take_first(new)
            tell(turn is not None)
            if turn is not None:
                await self._follow(turn)
        except BaseException as exc:
            self._contain(exc)
        finally:
            tell(False)  # unless it was told otherwise
            self._turning = False

    async def _follow(self, turn: Turn) -> None:
        """Do the rest once a turn has landed."""
        if turn.commit.outcome is not None:
            await self._ended(turn.commit.outcome)
        if turn.prints:
            self._hand_on(await self._begin_steps())  # none waits for what was printed before it
            await self._writes.write_console(turn)

    async def _ended(self, outcome: RunOutcome) -> None:
        """A write of ours has ended the run."""
        self._tell(outcome)
        self._shared.callbacks.tell(self.run_id, outcome)
        if outcome.status is RunStatus.FAILED:
            await log_failure(self.run_id, outcome)

    async def _advance(self) -> None:
        turns = self._turns
        claims, self._claims = self._claims, []
        results, turns.results = turns.results, []
        claim = claims[-1] if claims else None  # a later claim of ours replaces what ran out
        turn: Turn | None = None
        try:
            heap = self._custody.heap_here or await self._custody.reclaim()
            if results and heap is not None and turns.has_steps_elsewhere(heap, results):
                await self._append_all(results)
                results = []
            if (
                claim is not None and claim.fruitless_claims > MAX_LOST
            ):  # those who tried did not live
                await self._fail_turn(claim, results, fruitless(self.run_id, claim, None))
            elif claim is not None or results:
                turn = await turns.take(claim, results)
        except StoppedError as exc:
            await self._stopped(claim, results, exc.reason)
        except (StaleTurnError, LeaseLostError) as exc:
            _log.debug("run %s: %s", self.run_id, exc, extra=of_run(self.run_id))
            self._shared.tally.stale += 1
            await self._abandon(claim, results, delay_ms=0)
        except GONE:
            await self._abandon(claim, (), delay_ms=0)
        except AttributeLimitError as exc:  # no other try would end otherwise
            await self._fail_turn(claim, results, exc, budget=1)
        except WorldError as exc:
            delay_ms = _PARKED_MS if not exc.retryable else 1000
            _log.warning(
                "run %s: %s; its turn is taken again in %d s",
                self.run_id,
                exc,
                delay_ms // 1000,
                extra=of_run(self.run_id),
            )
            await self._abandon(claim, results, delay_ms=delay_ms)
        except BaseException as exc:
            if ends_worker(exc):
                self._claims[:0] = claims
                turns.results[:0] = results
                raise
            _log.error(
                "run %s: a turn failed; it is tried again, and fails the run at the %dth time in a"
                " row. Nothing of it is lost or done twice",
                self.run_id,
                MAX_FRUITLESS,
                exc_info=exc,
                extra=of_run(self.run_id),
            )
            await self._fail_turn(claim, results, fruitless(self.run_id, claim, exc))
        finally:
            for ended in claims:
                self._shared.leases.let_go(ended.lease)
                self._shared.backlog.remove()
        if turn is not None and (turn.prints or turn.commit.outcome is not None):
            await self._follow(turn)

    # --- when it does not go well ----------------------------------------------------------------

    async def _hand_back(self) -> None:
        """The worker ends: keep the results there are, and let others have its claims."""
        turns = self._turns
        results, turns.results = turns.results, []
        claims, self._claims = self._claims, []
        with anyio.move_on_after(HAND_BACK, shield=True):
            await self._append_all(results)
            leases = [claim.lease for claim in claims]
            leases += [lease for lease, *_ in turns.ready]
            for lease in leases:
                await hand_back(self._shared.world, lease)

    async def _append_all(self, results: Iterable[StepResult]) -> None:
        await self._writes.append_all(results)
        self._custody.expect_events()

    async def _abandon(
        self, claim: WakeClaim | None, results: Iterable[StepResult], *, delay_ms: int
    ) -> None:
        """Give the turn up: results are kept under their keys, the claim is given back."""
        self._custody.discard()
        await self._append_all(results)
        delay_ms = self._custody.soon_enough(delay_ms)
        await self._writes.give_back(None if claim is None else claim.lease, delay_ms)

    async def _stopped(
        self, claim: WakeClaim | None, results: list[StepResult], reason: StopReason
    ) -> None:
        """A guest was stopped; which speaks against the run only if that was for its deadline."""
        shared = self._shared
        if reason is StopReason.DEADLINE:
            _log.warning(
                "run %s: a turn passed the deadline of %s s; it is tried again, %d times in a row"
                " at most. Move long computing into a step, or raise Worker(turn_deadline=…)",
                self.run_id,
                self._shared.turn_deadline,
                MAX_INTERRUPTED,
                extra=of_run(self.run_id),
            )
            shared.slow.note(self.run_id)
            error = turn_deadline_error(shared.turn_deadline)
            await self._fail_turn(claim, results, error, budget=MAX_INTERRUPTED)
        elif reason is StopReason.CROWDED:
            _log.debug("run %s: %s", self.run_id, reason.value, extra=of_run(self.run_id))
            delay_ms = shared.slow.refuse(self.run_id)
            await self._abandon(claim, results, delay_ms=delay_ms)
        else:
            await self._abandon(claim, results, delay_ms=0)

    async def _fail_turn(
        self,
        claim: WakeClaim | None,
        results: Iterable[StepResult],
        error: PerdureError,
        *,
        budget: int = MAX_FRUITLESS,
    ) -> None:
        """Give the turn up; the run is tried again later, or, past its budget, fails for good."""
        self._custody.discard()
        await self._append_all(results)  # which wakes the run
        failed = self._shared.failed
        failed[self.run_id] += 1  # by this worker: those that were lost are no sign against a run
        if claim is None:
            return
        if failed[self.run_id] < budget and claim.fruitless_claims <= MAX_LOST:
            # One that took too long comes aside of the others, and need not wait.
            slow = self.run_id in self._shared.slow.refusals
            delay_ms = 0 if slow else min(1000 * 2 ** (failed[self.run_id] - 1), 60_000)
            delay_ms = self._custody.soon_enough(delay_ms)
            await self._writes.give_back(claim.lease, delay_ms, ran=True)
            return
        del failed[self.run_id]
        self._shared.slow.forget(self.run_id)
        outcome = await self._writes.fail_run(claim, error)
        if outcome is not None:
            await self._ended(outcome)
