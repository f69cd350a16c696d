"""Execution: runs the steps that its worker has claimed, and sees to their outcomes.

The slot of each is given back in every case. An execution that has begun is counted,
also where its outcome could not be written: no body runs without end. One that its worker cut short
is not, unless the step must not run twice.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, final

import anyio

from ..._model.commit import Append
from ..._model.queue import MessageClaim
from ..._value_class import value_class
from ...abc import World
from ...errors import LeaseLostError, PerdureError, StepNotRegisteredError
from ..carrier.turn import StepResult, make_result
from ..carrier.writes import GONE, HAND_BACK, Writes, hand_back
from ..containment import ends_worker
from ..log_fields import of_step
from ..slots import Slots
from ..steps import SCRIPT_MARK, AnyStep
from .attempt import Attempt, Ended, Result, Retrying
from .bodies import Hosts
from .leases import Leases
from .lending import Lending
from .runners import Work
from .scripting import Scripting
from .step_call import StepCall
from .threads import Thread

__all__ = ("Begun", "Execution")

_log = logging.getLogger("perdure")
AGAIN_MS = 1000  # a step whose outcome could not be written is claimed again after this long


@final
@value_class(kw_only=False)
class Begun:
    """A claimed step that is not done with; ``Execution.finish`` it."""

    claim: MessageClaim
    attempt: Attempt | None  # None: it could not be run at all
    outcome: Result | BaseException | None  # None: its body waits, or is a thread's


@final
class Execution:
    """Runs claimed steps. Used in one event loop; ``close`` it when no step runs."""

    def __init__(
        self,
        world: World,
        steps: Mapping[str, AnyStep],
        *,
        leases: Leases,
        slots: Slots,
        run: Callable[[Work], None],
        scripting: Scripting,
    ) -> None:
        """Run nothing yet.

        Args:
            leases: those of claims, which are held by the caller.
            slots: of bodies, of which each claim has one.
            run: runs a piece of work in a task of its own.
            scripting: how steps in JavaScript are run.
        """
        self._world = world
        self._steps = steps
        self._leases = leases
        self._slots = slots
        self._scripting = scripting
        self._scripts: Any = None  # ``Scripts``, once there was one to run
        self._threads: anyio.CapacityLimiter | None = None
        self._hosts: Hosts | None = None
        self._waiting: set[Attempt] = set()  # whose bodies are under way
        self._spawn = run
        self.left_behind = 0  # bodies that went on when their worker was cancelled
        self.lending: Lending | None = None  # once the worker has begun

    def __repr__(self) -> str:
        return f"<Execution of {len(self._steps)} steps>"

    def begin(self, claim: MessageClaim, call: StepCall | None = None) -> StepResult | Begun:
        """Run a claimed step up to where it waits; its result, if it came to one.

        That is to be the next turn's, with which the lease ends.

        Args:
            call: the call in the message's body, where that is known.
        """
        attempt, outcome = self._begin(claim, call)
        if not isinstance(outcome, Ended):
            return Begun(claim, attempt, outcome)
        self.drop(claim)
        return make_result(event=outcome.event, lease=claim.lease)

    async def finish(self, work: Begun) -> StepResult | None:
        """Go on after ``begin``; None if the step goes on elsewhere, or later."""
        return await self._finish(work, alone=False)

    async def run_alone(self, claim: MessageClaim) -> None:
        """Run a claimed step of a run that is not carried here, and append its result."""
        is_unwanted = claim.claims > 1 and await self._is_unwanted(claim)
        work = Begun(claim, *self._begin(claim, None, is_unwanted=is_unwanted))
        await self._finish(work, alone=True)

    async def _is_unwanted(self, claim: MessageClaim) -> bool:
        """Whether the run of a step that is to run again was asked to end since it was made.

        Where that cannot be known just now, it is not.
        """
        try:
            if StepCall.decoded(claim.message.body).is_cleanup:
                return False
            record = await self._world.storage.get_run(claim.message.run_id)
        except PerdureError as exc:
            _log.debug("%s: %s", claim.lease.item, exc, extra=of_step(claim.lease.item))
            return False
        return record.cancel_at_ms is not None

    def plain_steps(self) -> Counter[str]:
        """How many threads each plain step has just now. From any thread."""
        return Counter(step for one in list(self._waiting) if (step := one.plain_step) is not None)

    def drop(self, claim: MessageClaim) -> None:
        """A claim is done with. Once for each."""
        if self.lending is not None and self.lending.waits:
            self.lending.over(claim.message.run_id, claim.message.message_id)
        self._leases.let_go(claim.lease)
        self._slots.give_back()

    def close(self) -> None:
        """No step is run any more; bodies that nobody waits for are cancelled. Idempotent.

        Their outcome is not known: their claims are left to their leases.
        """
        for attempt in self._waiting:
            attempt.cancel()
            self._leases.let_go(attempt.lease)
        self._waiting.clear()
        if self._hosts is not None:
            self._hosts.close()

    async def end_scripts(self) -> None:
        """Close what steps in JavaScript had in common. After ``close``. Idempotent."""
        if self._scripts is not None:
            await self._scripts.aclose()

    def _begin(
        self, claim: MessageClaim, call: StepCall | None, *, is_unwanted: bool = False
    ) -> tuple[Attempt | None, Result | BaseException | None]:
        if self._hosts is None:
            self._hosts = Hosts(asyncio.get_running_loop())
        attempt: Attempt | None = None
        try:
            is_queued = call is None
            call = call or StepCall.decoded(claim.message.body)
            step = self._steps.get(call.step)
            if step is None:
                step = self._script(call)
            attempt = Attempt(
                step,
                claim,
                call,
                world=self._world,
                is_queued=is_queued,
                is_unwanted=is_unwanted,
            )
            outcome = attempt.begin(self._hosts)
            if outcome is None:
                self._waiting.add(attempt)
            return attempt, outcome
        except BaseException as exc:
            if ends_worker(exc):
                self.drop(claim)
                raise
            return attempt, exc

    def _script(self, call: StepCall) -> AnyStep:
        """The step in JavaScript that is called.

        Raises:
            StepNotRegisteredError: it is one in Python, which is not here.
        """
        if not (call.bundle and call.step.startswith(SCRIPT_MARK)):
            raise StepNotRegisteredError(call.step, known=tuple(self._steps))
        if self._scripts is None:  # nothing of it is loaded before, as most workers have none
            scripts = import_module("perdure._runtime.worker.scripts")
            self._scripts = scripts.Scripts(self._world, self._scripting.pool, self._scripting)
        script: AnyStep = self._scripts.script(call.step, call.bundle)
        return script

    async def _finish(self, work: Begun, *, alone: bool) -> StepResult | None:
        claim, attempt, outcome = work.claim, work.attempt, work.outcome
        overrun: Thread | None = None
        try:
            if attempt is not None and outcome is None:
                outcome = await self._outcome(attempt)
                overrun = attempt.overrun
            if isinstance(outcome, Ended) and not alone:
                return make_result(event=outcome.event, lease=claim.lease)
            if isinstance(outcome, Ended | Retrying):
                await self._append(claim, outcome, keep=overrun is not None)
            elif outcome is not None:
                await self._give_back(claim, outcome, ran=attempt is not None)
            return None
        except asyncio.CancelledError:
            with anyio.move_on_after(HAND_BACK, shield=True):
                await self._hand_back(work, outcome, keep=overrun is not None)
            raise
        finally:
            if overrun is None:
                self.drop(claim)
            else:
                delay_ms = outcome.delay_ms if isinstance(outcome, Retrying) else None
                self._spawn(self._outlast(claim, overrun, delay_ms))

    async def _outcome(self, attempt: Attempt) -> Result | BaseException:
        """The outcome of a body that waits, or of a plain function."""
        assert self._hosts is not None
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(math.inf)  # those that run have slots
        try:
            return await attempt.finish(self._hosts, self._threads)
        except BaseException as exc:
            if ends_worker(exc):
                raise
            return exc
        finally:
            self._waiting.discard(attempt)

    async def _outlast(self, claim: MessageClaim, thread: Thread, delay_ms: int | None) -> None:
        """Keep the slot of a thread that overran until it ends; the lease, too, if it is retried.

        A step that has failed for good has no message any more that anybody could claim.

        Args:
            delay_ms: before the retry; None if it has failed for good.
        """
        try:
            if delay_ms is None:
                self._leases.let_go(claim.lease)
            step = claim.message.topic.partition("/")[2]
            fields = of_step(claim.message.message_id, step=step)
            await thread.wait_end(step, fields)
            if delay_ms is not None:
                writes = Writes(claim.message.run_id, self._world)
                await writes.give_back(claim.lease, delay_ms, ran=True)
        finally:
            self.drop(claim)

    async def _append(self, claim: MessageClaim, outcome: Result, *, keep: bool) -> None:
        """Append the outcome; with *keep* a claim that is tried again is not given back."""
        is_over = isinstance(outcome, Ended)
        append = Append(
            run_id=claim.message.run_id,
            event=outcome.event,
            wake=is_over,
            lease=claim.lease if is_over or not keep else None,
            release_delay_ms=None if isinstance(outcome, Ended) or keep else outcome.delay_ms,
        )
        try:
            await Writes(append.run_id, self._world).append(append)
        except LeaseLostError as exc:
            _log.warning(
                "step %s: %s, so this attempt may not count: the step runs again where it was"
                " claimed meanwhile; one that must not do so has max_retries=0",
                claim.lease.item,
                exc,
                extra=of_step(claim.lease.item),
            )
        except GONE as exc:
            _log.debug("%s: %s", claim.lease.item, exc, extra=of_step(claim.lease.item))
        except BaseException as exc:
            if ends_worker(exc):
                raise
            await self._give_back(claim, exc, ran=True)

    async def _hand_back(
        self, work: Begun, outcome: Result | BaseException | None, *, keep: bool
    ) -> None:
        """Let others have a claim at once whose body was cut short: it runs again, as if for once.

        An outcome that there is counts. A step that must not run twice has run: it fails where it
        is claimed next.
        """
        attempt = work.attempt
        if isinstance(outcome, Ended | Retrying):
            await self._append(work.claim, outcome, keep=keep)
        elif attempt is not None and attempt.is_left:
            self.left_behind += 1  # until its lease has run out nobody runs it beside this one
        else:
            ran = attempt is not None and not attempt.may_run_again
            await hand_back(self._world, work.claim.lease, ran=ran)

    async def _give_back(self, claim: MessageClaim, error: BaseException, *, ran: bool) -> None:
        _log.error(
            "%s failed; it is tried again in %d s: it could not be run, or its outcome not written",
            claim.lease.item,
            AGAIN_MS // 1000,
            exc_info=error,
            extra=of_step(claim.lease.item),
        )
        writes = Writes(claim.message.run_id, self._world)
        await writes.give_back(claim.lease, AGAIN_MS, ran=ran)
