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
from .registry import AnyStep
from .step_handler import Ended, Retrying, StepCall, run_step
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
        threads: int,
        drop: Callable[[MessageClaim], None],
    ) -> None:
        """Perform nothing yet.

        Args:
            threads: how many plain functions run at once.
            drop: called once with each claim when it is done with.
        """
        self._world = world
        self._steps = steps
        self._max_threads = threads
        self._threads: anyio.CapacityLimiter | None = None
        self._drop = drop

    def __repr__(self) -> str:
        return f"<Performer of {len(self._steps)} steps>"

    async def perform(self, carrier: Carrier | None, claim: MessageClaim) -> None:
        """Run a claimed step. What goes wrong is told, and the step goes on later.

        Args:
            carrier: of the step's run, if it is carried here; it has the result of a step that
                ended, which else is appended to the log.
        """
        result: StepResult | None = None
        try:
            outcome = await self._run(claim)
            if outcome is None:
                pass
            elif carrier is not None and isinstance(outcome, Ended):
                result = StepResult(event=outcome.event, lease=claim.lease)
            else:
                await self._append(claim, outcome)
        finally:
            self._drop(claim)
            if carrier is not None:
                carrier.finished(_entity_of(claim), result)

    async def _run(self, claim: MessageClaim) -> Ended | Retrying | None:
        """Run the step; None: it was given back, and did not run."""
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(self._max_threads)
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

    async def _append(self, claim: MessageClaim, outcome: Ended | Retrying) -> None:
        is_over = isinstance(outcome, Ended)
        append = Append(
            run_id=claim.message.run_id,
            event=outcome.event,
            wake=is_over,
            lease=claim.lease,
            release_delay_ms=None if isinstance(outcome, Ended) else outcome.delay_ms,
        )
        try:
            await Writes(append.run_id, self._world).append(append)
        except LeaseLostError as exc:
            _log.warning("%s; this execution of the step may not count", exc)
        except GONE as exc:
            _log.debug("%s: %s", claim.lease.item, exc)
        except BaseException as exc:
            if ends_worker(exc):
                raise
            await self._give_back(claim, exc, ran=True)

    async def _give_back(self, claim: MessageClaim, exc: BaseException, *, ran: bool) -> None:
        _log.error("%s failed; it is tried again", claim.lease.item, exc_info=exc)
        writes = Writes(claim.message.run_id, self._world)
        await writes.give_back(claim.lease, AGAIN_MS, ran=ran)


def _entity_of(claim: MessageClaim) -> EntityId:
    return EntityId(claim.message.message_id.removeprefix(f"{claim.message.run_id}/"))
