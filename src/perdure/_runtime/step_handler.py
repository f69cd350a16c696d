"""Running one step: arguments in, result or error out, as the event that ends the execution.

Decides nothing by itself: whether a body may run and what follows its failure are `_core.retries`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from inspect import isawaitable, iscoroutine
from threading import Event as Signal
from typing import Any, TypeAlias, cast

import anyio
import cbor2

from .._core.retries import (
    Fail,
    Proceed,
    Retry,
    after_failure,
    before_execution,
    planned_delay_ms,
)
from .._core.turn import end_key
from .._frozen import frozen
from .._model.commands import ScheduleStep
from .._model.events import Event, EventType
from .._model.ids import EntityId
from .._model.queue import MessageClaim
from ..errors import FatalError, StepLostError, StepTimeoutError
from .bodies import Body, Raised
from .failures import asked_delay_ms, is_fatal, unhandled
from .log_fields import Fields, first_line, of_step, told_by
from .metadata import RunMetadata, StepMetadata, entered, expiry
from .parameters import Keywords
from .payloads import (
    decode_aside,
    decode_here,
    encode_aside,
    encode_failure,
    encode_here,
    text_of,
)
from .registry import AnyStep
from .threads import Awaited, Outcome, Thread

__all__ = ("Ended", "Overrun", "Retrying", "StepCall", "run_step")

_log = logging.getLogger("perdure")
_NO_KEYWORDS = Keywords()


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


@frozen(kw_only=False)
class Overrun:
    """The execution has failed by its timeout, and its thread goes on.

    Until that ends its slot is taken, and no retry starts.
    """

    result: Ended | Retrying
    thread: Thread


Result: TypeAlias = "Ended | Retrying"
Facts: TypeAlias = "dict[str, str | int | bool | None]"


async def run_step(
    step: AnyStep,
    claim: MessageClaim,
    call: StepCall,
    *,
    now_ms: Callable[[], int],
    threads: anyio.CapacityLimiter | None = None,
) -> Result | Overrun:
    """Run a claimed step's body once, if it may; never raises but for cancellation.

    Whatever a body raises fails this execution of the step and nothing else: ``sys.exit()``, a
    ``KeyboardInterrupt``, a cancellation of its own, the panic of an extension.

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
        gone = claim.lost or claim.attempt - claim.returned - 1
        return _failed(claim, call, StepLostError(step.id, lost=gone), claim.attempt, now_ms())
    outcome: Outcome
    thread: Thread | None = None
    if step.is_async:
        body = Body(_in_task(step, claim, call, allowed))
        if not body.begin(f"{step.id} ({claim.lease.item})"):
            limit = step.options.timeout
            await body.wait(limit=None if limit is None else limit.total_seconds())
            if limit is not None and body.is_left:
                return _after(
                    step,
                    claim,
                    call,
                    allowed,
                    StepTimeoutError(step.id, timeout=limit),
                    now_ms(),
                )
        outcome = body.outcome()
    else:
        thread = Thread(partial(_work, step, claim, call, allowed), step.options.timeout)
        outcome = await thread.run(step.id, threads)
    if isinstance(outcome, Awaited):  # of an async function under a plain one
        settled = Body(_settled(step, claim, call, allowed, outcome))
        if not settled.begin(f"{step.id} ({claim.lease.item})"):
            await settled.wait()
        outcome = settled.outcome()
    if isinstance(outcome, Raised):
        result = _after(step, claim, call, allowed, outcome.error, now_ms())
        return Overrun(result, thread) if thread is not None and thread.is_late else result
    facts = _facts(claim, allowed.execution) if allowed.execution > 1 else {}
    return Ended(_event(EventType.STEP_COMPLETED, call, outcome, facts, now_ms()))


def _called(step: AnyStep, args: list[Any]) -> object:
    """What the function returns for arguments that it can be called with."""
    keywords = args.pop() if args and type(args[-1]) is Keywords else _NO_KEYWORDS
    try:
        step.check_call(args, keywords)
    except TypeError as exc:  # the same call would fail each time
        count = len(args) + bool(keywords)
        raise FatalError(f"step {step.id} cannot be called with {count} arguments: {exc}") from exc
    return step.function(*args, **keywords)


async def _in_task(step: AnyStep, claim: MessageClaim, call: StepCall, allowed: Proceed) -> bytes:
    """The result's payload."""
    entered.set(lambda: _metadata(claim, call, allowed))
    args = await decode_aside(call.args, step.convert)
    running = cast("Awaitable[object]", _called(step, args))  # as is_async says
    if step.options.timeout is None:
        return await encode_aside(await running, where=f"the result of {step.id}")
    return await _in_time(step, running, step.options.timeout)


async def _settled(
    step: AnyStep, claim: MessageClaim, call: StepCall, allowed: Proceed, awaited: Awaited
) -> bytes:
    """The payload of what an awaitable gives that a plain function returned."""
    entered.set(lambda: _metadata(claim, call, allowed))
    if step.options.timeout is None:
        return await encode_aside(await awaited.value, where=f"the result of {step.id}")
    return await _in_time(step, awaited.value, step.options.timeout)


async def _in_time(step: AnyStep, running: Awaitable[object], limit: timedelta) -> bytes:
    """The payload of its result, if that comes in time."""
    event, seconds = Signal(), limit.total_seconds()
    expiry.set(event)
    told = asyncio.get_running_loop().call_later(seconds, event.set)  # its threads, if any
    try:
        with anyio.move_on_after(seconds):
            value = await running
            if not event.is_set():  # else it swallowed that it is cancelled
                with anyio.CancelScope(shield=True):
                    return await encode_aside(value, where=f"the result of {step.id}")
    finally:
        told.cancel()
    event.set()
    raise StepTimeoutError(step.id, timeout=limit)


def _work(
    step: AnyStep, claim: MessageClaim, call: StepCall, allowed: Proceed, thread: Thread
) -> bytes | Raised | Awaited:
    """The result's payload, or what was raised. In a thread."""
    entered.set(lambda: _metadata(claim, call, allowed))
    expiry.set(thread.timed_out)
    try:
        value = _called(step, decode_here(call.args, step.convert))
        in_time = thread.settle()
        if not in_time and iscoroutine(value):
            value.close()
        elif in_time and isawaitable(value):
            return Awaited(value)
        return encode_here(value if in_time else None, where=f"the result of {step.id}")
    except BaseException as exc:  # of whatever kind: data
        thread.settle()
        return Raised(exc)


def _after(
    step: AnyStep,
    claim: MessageClaim,
    call: StepCall,
    allowed: Proceed,
    error: BaseException,
    now_ms: int,
) -> Result:
    """What follows an execution that raised; if that cannot be found out, the step fails."""
    try:
        return _follow(step, claim, call, allowed, error, now_ms)
    except BaseException as second:  # the error's own code: nothing is awaited here
        failure = unhandled(step.id, error, second)
        return _failed(claim, call, failure, allowed.execution, now_ms)


def _follow(
    step: AnyStep,
    claim: MessageClaim,
    call: StepCall,
    allowed: Proceed,
    error: BaseException,
    now_ms: int,
) -> Result:
    verdict = after_failure(
        execution=allowed.execution,
        lost=claim.lost,
        max_retries=step.options.max_retries,
        fatal=is_fatal(error, step.options),
        delay_ms=_delay_ms(step, claim, allowed, error, now_ms),
    )
    if isinstance(verdict, Retry):
        _log.warning(
            "step %s failed at attempt %d and runs again in %.1f s, at %s: %s",
            step.id,
            allowed.execution,
            verdict.delay_ms / 1000,
            _clock(now_ms + verdict.delay_ms),
            first_line(error),
            extra=_fields(claim, call, allowed.execution, EventType.STEP_RETRYING),
        )
        event = Event(
            type=EventType.STEP_RETRYING,
            key=f"{call.entity}/retry/{claim.attempt}",
            at_ms=now_ms,
            entity=call.entity,
            payload=encode_failure(error),
            facts=_facts(claim, allowed.execution),
        )
        return Retrying(event, verdict.delay_ms)
    if verdict.exhausted:
        wrapped = FatalError(
            f"step {step.id} failed after {verdict.retries} retries: "
            f"{text_of(error) or type(error).__name__}"
        )
        wrapped.__cause__ = error
        return _failed(claim, call, wrapped, allowed.execution, now_ms, is_exhausted=True)
    return _failed(claim, call, error, allowed.execution, now_ms)


def _delay_ms(
    step: AnyStep, claim: MessageClaim, allowed: Proceed, error: BaseException, now_ms: int
) -> int:
    """The wait that the error asks for, or else that of the step's policy."""
    asked = asked_delay_ms(error, now_ms=now_ms)
    if asked is not None:
        return asked
    failures = max(1, allowed.execution - claim.lost)
    return planned_delay_ms(step.options.policy, failures=failures, key=claim.message.message_id)


def _failed(
    claim: MessageClaim,
    call: StepCall,
    error: BaseException,
    execution: int,
    now_ms: int,
    *,
    is_exhausted: bool = False,
) -> Ended:
    payload, facts = encode_failure(error), _facts(claim, execution)
    _log.error(
        "step %s failed for good at attempt %d: %s",
        call.step,
        execution,
        first_line(error.__cause__ if is_exhausted and error.__cause__ else error),
        exc_info=told_by(payload),
        extra=_fields(claim, call, execution, EventType.STEP_FAILED),
    )
    return Ended(_event(EventType.STEP_FAILED, call, payload, facts, now_ms))


def _fields(claim: MessageClaim, call: StepCall, attempt: int, event: EventType) -> Fields:
    step_id = claim.message.message_id
    return of_step(step_id, step=call.step, attempt=attempt, event=event.value)


def _clock(at_ms: int) -> str:
    """A time of day, in UTC, or the date where it is not near."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError):
        return "a time past the calendar's end"


def _facts(claim: MessageClaim, execution: int) -> Facts:
    """Which execution it was, and how many of those before it were lost with their worker."""
    return {"attempt": execution, "lost": claim.lost} if claim.lost else {"attempt": execution}


def _event(
    kind: EventType,
    call: StepCall,
    payload: bytes,
    facts: Facts,
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
