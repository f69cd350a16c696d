"""Performer: performs the steps that its worker has claimed, and sees to what comes of them.

Whatever happens to one of them, its slot is given back and its carrier told. An execution that has
begun is counted, also where its outcome could not be written: no body runs without end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, final

import anyio

from .._model.commit import Append
from .._model.ids import EntityId
from .._model.queue import MessageClaim
from ..abc import World
from ..errors import LeaseLostError, StepNotRegisteredError
from .containment import ends_worker
from .log_fields import of_step
from .registry import AnyStep
from .renewal import Leases
from .runners import Job
from .slots import Slots
from .step_handler import Ended, Overrun, Retrying, StepCall, run_step
from .turn_handler import StepResult
from .writes import GONE, Writes

if TYPE_CHECKING:
    from .carrier import Carrier

__all__ = ("Performer",)

_log = logging.getLogger("perdure")
AGAIN_MS = 1000  # a step whose outcome could not be written is claimed again after this long


@final
class Performer:
    """Performs claimed steps. Used in one event loop."""

    def __init__(
        self,
        world: World,
        steps: Mapping[str, AnyStep],
        *,
        leases: Leases,
        slots: Slots,
        run: Callable[[Job], None],
    ) -> None:
        """Perform nothing yet.

        Args:
            leases: those of claims, which are held by the caller.
            slots: of bodies, of which each claim has one; as many plain functions run at once.
            run: runs a job in a task of its own.
        """
        self._world = world
        self._steps = steps
        self._leases = leases
        self._slots = slots
        self._threads: anyio.CapacityLimiter | None = None
        self._spawn = run

    def __repr__(self) -> str:
        return f"<Performer of {len(self._steps)} steps>"

    async def perform(self, carrier: Carrier | None, claim: MessageClaim) -> None:
        """Run a claimed step. What goes wrong is told, and the step goes on later.

        Args:
            carrier: of the step's run, if it is carried here; it has the result of a step that
                ended, which else is appended to the log.
        """
        result: StepResult | None = None
        overrun: Overrun | None = None
        try:
            outcome = await self._run(claim)
            if isinstance(outcome, Overrun):
                overrun, outcome = outcome, outcome.result
            if outcome is None:
                pass
            elif carrier is not None and isinstance(outcome, Ended):
                result = StepResult(event=outcome.event, lease=claim.lease)
            else:
                await self._append(claim, outcome, keep=overrun is not None)
        finally:
            if overrun is None:
                self.drop(claim)
            else:
                self._spawn(self._outlast(claim, overrun))
            if carrier is not None:
                carrier.finished(_entity_of(claim), result)

    def drop(self, claim: MessageClaim) -> None:
        """A claim is done with. Once for each."""
        self._leases.let_go(claim.lease)
        self._slots.give_back()

    async def _outlast(self, claim: MessageClaim, overrun: Overrun) -> None:
        """Keep the slot of a thread that overran until it ends; the lease, too, if it is retried.

        A step that has failed for good has no message any more that anybody could claim.
        """
        result = overrun.result
        try:
            if isinstance(result, Ended):
                self._leases.let_go(claim.lease)
            step = claim.message.topic.partition("/")[2]
            fields = of_step(claim.message.message_id, step=step)
            await overrun.thread.wait_end(step, fields)
            if isinstance(result, Retrying):
                writes = Writes(claim.message.run_id, self._world)
                await writes.give_back(claim.lease, result.delay_ms, ran=True)
        finally:
            self.drop(claim)

    async def _run(self, claim: MessageClaim) -> Ended | Retrying | Overrun | None:
        """Run the step; None: it was given back, and did not run."""
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(self._slots.total)
        world = self._world
        try:
            call = StepCall.decoded(claim.message.body)
            step = self._steps.get(call.step)
            if step is None:
                raise StepNotRegisteredError(call.step, known=tuple(self._steps))
        except Exception as exc:
            await self._give_back(claim, exc, ran=False)
            return None
        try:
            return await run_step(step, claim, call, now_ms=world.now_ms, threads=self._threads)
        except BaseException as exc:
            if ends_worker(exc):
                raise
            await self._give_back(claim, exc, ran=True)
            return None

    async def _append(self, claim: MessageClaim, outcome: Ended | Retrying, *, keep: bool) -> None:
        """Append what came of it; with *keep* a claim that is tried again is not given back."""
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

    async def _give_back(self, claim: MessageClaim, exc: BaseException, *, ran: bool) -> None:
        _log.error(
            "%s failed; it is tried again in %d s: it could not be run, or its outcome not written",
            claim.lease.item,
            AGAIN_MS // 1000,
            exc_info=exc,
            extra=of_step(claim.lease.item),
        )
        writes = Writes(claim.message.run_id, self._world)
        await writes.give_back(claim.lease, AGAIN_MS, ran=ran)


def _entity_of(claim: MessageClaim) -> EntityId:
    return EntityId(claim.message.message_id.removeprefix(f"{claim.message.run_id}/"))
