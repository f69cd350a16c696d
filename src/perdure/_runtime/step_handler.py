"""Running one step: arguments in, result or error out, as the event that ends the execution.

Decides nothing by itself: whether a body may run and what follows its failure are `_core.retries`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import anyio
import anyio.to_thread
import cbor2

from .._core.retries import (
    MIN_DELAY_MS,
    Fail,
    Proceed,
    Retry,
    after_failure,
    before_execution,
    delay_ms,
)
from .._core.turn import end_key
from .._frozen import frozen
from .._model.commands import ScheduleStep
from .._model.events import Event, EventType
from .._model.ids import EntityId
from .._model.queue import MessageClaim
from ..errors import FatalError, RetryableError, StepLostError, StepTimeoutError
from .metadata import RunMetadata, StepMetadata, entered
from .payloads import decode_aside, encode_aside, encode_failure
from .registry import AnyStep

__all__ = ("Ended", "Retrying", "StepCall", "run_step")

_log = logging.getLogger("perdure")
_FATAL = ("FatalError", "AbortError")  # by name: the class may be another package's


@frozen
class StepCall:
    """A step message's body."""

    entity: EntityId
    step: str
    args: bytes
    workflow: str
    run_started_ms: int
    created_ms: int

    @staticmethod
    def encode(
        command: ScheduleStep, *, workflow: str, run_started_ms: int, created_ms: int
    ) -> bytes:
        """The body of the message that asks for it."""
        data: bytes = cbor2.dumps(
            [command.id, command.step, command.args, workflow, run_started_ms, created_ms]
        )
        return data

    @classmethod
    def decoded(cls, body: bytes) -> StepCall:
        """The call in a message body."""
        entity, step, args, workflow, run_started_ms, created_ms = cbor2.loads(body)
        return cls(
            entity=entity,
            step=step,
            args=args,
            workflow=workflow,
            run_started_ms=run_started_ms,
            created_ms=created_ms,
        )


@frozen(kw_only=False)
class Ended:
    """The step's terminal event."""

    event: Event


@frozen(kw_only=False)
class Retrying:
    """The step runs again after a delay."""

    event: Event
    delay_ms: int


Result: TypeAlias = "Ended | Retrying"


async def run_step(
    step: AnyStep,
    claim: MessageClaim,
    call: StepCall,
    *,
    now_ms: Callable[[], int],
    threads: anyio.CapacityLimiter | None = None,
) -> Result:
    """Run a claimed step's body once, if it may; never raises but for cancellation.

    Args:
        threads: how many plain functions run at once; default: anyio's limit for all threads.
    """
    allowed = before_execution(
        attempt=claim.attempt,
        lost=claim.lost,
        returned=claim.returned,
        max_retries=step.options.max_retries,
    )
    if isinstance(allowed, Fail):
        return _failed(call, StepLostError(step.id, lost=claim.lost), claim.attempt, now_ms())
    entered.set(lambda: _metadata(claim, call, allowed))
    try:
        value = await _body(step, call, threads)
        payload = await encode_aside(value, where=f"the result of {step.id}")
    except (Exception, SystemExit) as exc:  # sys.exit() in a step ends the step, not its worker
        return _after(step, claim, call, allowed, exc, now_ms())
    except asyncio.CancelledError as exc:
        if _is_cancelled():
            raise
        return _after(step, claim, call, allowed, exc, now_ms())  # the body's own doing
    facts = {"attempt": allowed.execution} if allowed.execution > 1 else {}
    return Ended(_event(EventType.STEP_COMPLETED, call, payload, dict(facts), now_ms()))


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def _body(step: AnyStep, call: StepCall, threads: anyio.CapacityLimiter | None) -> object:
    args = await decode_aside(call.args, step.convert)
    try:
        step.check_count(args)
    except TypeError as exc:  # the same call would fail each time
        raise FatalError(
            f"step {step.id} cannot be called with {len(args)} arguments: {exc}"
        ) from exc
    running: Awaitable[object]
    if step.is_async:
        running = step.function(*args)  # type: ignore[assignment] # as is_async says
    else:
        running = anyio.to_thread.run_sync(lambda: step.function(*args), limiter=threads)
    limit = step.options.timeout
    if limit is None:
        return await running
    with anyio.move_on_after(limit.total_seconds()):
        return await running
    raise StepTimeoutError(step.id, timeout=limit)


def _after(
    step: AnyStep,
    claim: MessageClaim,
    call: StepCall,
    allowed: Proceed,
    exc: BaseException,
    now_ms: int,
) -> Result:
    retries = step.options.max_retries
    verdict = after_failure(
        execution=allowed.execution,
        lost=claim.lost,
        max_retries=retries,
        fatal=type(exc).__name__ in _FATAL or getattr(exc, "fatal", False) is True,
        delay_ms=_delay(exc, now_ms),
    )
    if isinstance(verdict, Retry):
        _log.info("step %s failed (execution %d): %r", step.id, allowed.execution, exc)
        payload = encode_failure(exc)
        facts: dict[str, str | int | bool | None] = {"attempt": allowed.execution}
        event = Event(
            type=EventType.STEP_RETRYING,
            key=f"{call.entity}/retry/{claim.attempt}",
            at_ms=now_ms,
            entity=call.entity,
            payload=payload,
            facts=facts,
        )
        return Retrying(event, verdict.delay_ms)
    if verdict.exhausted:
        said = str(exc) or type(exc).__name__
        wrapped = FatalError(f"step {step.id} failed after {verdict.retries} retries: {said}")
        wrapped.__cause__ = exc
        return _failed(call, wrapped, allowed.execution, now_ms)
    return _failed(call, exc, allowed.execution, now_ms)


def _delay(exc: BaseException, now_ms: int) -> int:
    after = exc.retry_after if isinstance(exc, RetryableError) else None
    if after is None:
        return MIN_DELAY_MS
    if isinstance(after, datetime):
        after = after - datetime.fromtimestamp(now_ms / 1000, UTC)  # by the world's clock
    return delay_ms(after.total_seconds() if isinstance(after, timedelta) else after)


def _failed(call: StepCall, exc: BaseException, attempt: int, now_ms: int) -> Ended:
    payload = encode_failure(exc)
    return Ended(_event(EventType.STEP_FAILED, call, payload, {"attempt": attempt}, now_ms))


def _event(
    kind: EventType,
    call: StepCall,
    payload: bytes,
    facts: dict[str, str | int | bool | None],
    now_ms: int,
) -> Event:
    return Event(
        type=kind,
        key=end_key(call.entity),
        at_ms=now_ms,
        entity=call.entity,
        payload=payload,
        facts=facts,
    )


def _metadata(
    claim: MessageClaim, call: StepCall, allowed: Proceed
) -> tuple[RunMetadata, StepMetadata]:
    run = RunMetadata(
        run_id=claim.message.run_id,
        workflow=call.workflow,
        started_at=datetime.fromtimestamp(call.run_started_ms / 1000, UTC),
    )
    step = StepMetadata(
        id=f"{claim.message.run_id}/{call.entity}",
        step=call.step,
        attempt=allowed.execution,
        started_at=datetime.fromtimestamp(call.created_ms / 1000, UTC),
    )
    return run, step
