"""Attempt: one execution of a claimed step's body, from its message to the event that ends it.

Decides nothing by itself: whether a body may run, and again after a failure, is `_core.retries`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from inspect import isawaitable, iscoroutine
from threading import Event as Signal, Lock
from typing import Any, TypeAlias, cast, final

import anyio

from ..._core.retries import (
    Fail,
    Proceed,
    Retry,
    after_failure,
    before_execution,
    planned_delay_ms,
)
from ..._core.turn import end_key
from ..._model.constructors import make_event
from ..._model.events import Event, EventType, Fact
from ..._model.ids import RunId
from ..._model.queue import Lease, MessageClaim
from ..._protocol.codec import encode_scalar
from ..._value_class import value_class
from ...abc import World
from ...errors import FatalError, RunCancelledError, StepLostError, StepTimeoutError
from ..aborts import AbortWatch
from ..crossings import tell_crossings
from ..log_fields import Fields, first_line, of_step, told_by
from ..metadata import FEATURES, Expiry, RunMetadata, StepMetadata, entered, expiry
from ..parameters import Keywords
from ..payloads import (
    decode_aside,
    decode_here,
    encode_aside,
    encode_failure,
    encode_here,
)
from ..signals import ABORT_MARK
from ..steps import AnyStep
from ..streams.outputs import Outputs
from .bodies import Body, Hosts, Raised
from .failures import asked_delay_ms, exhausted, is_fatal, unhandled
from .step_call import StepCall
from .threads import Awaited, Thread

__all__ = ("Attempt", "Ended", "Result", "Retrying")

_log = logging.getLogger("perdure")
_NO_KEYWORDS = Keywords()
_asking = Lock()  # for a step's stop event


@value_class(kw_only=False)
class Ended:
    """The step's terminal event."""

    event: Event


@value_class(kw_only=False)
class Retrying:
    """The step runs again after a delay."""

    event: Event
    delay_ms: int


Result: TypeAlias = "Ended | Retrying"


@final
class Attempt:
    """One execution of a step: ``begin`` it, and ``finish`` it if that was not all.

    An error of any kind from a body fails this execution and nothing else: ``sys.exit()``, a
    ``KeyboardInterrupt``, a cancellation of its own, the panic of an extension. So nothing is
    raised here but the caller's own cancellation.
    """

    __slots__ = (
        *(
            "_body",
            "_call",
            "_is_queued",
            "_is_unwanted",
            "_claim",
            "_hosts",
            "_now_ms",
            "_outputs",
            "_step",
            "_stop",
            "_watch",
            "_world",
        ),
        *("is_left", "number", "overrun"),
    )

    def __init__(
        self,
        step: AnyStep,
        claim: MessageClaim,
        call: StepCall,
        *,
        world: World,
        is_queued: bool,
        is_unwanted: bool = False,
    ) -> None:
        """Run nothing yet.

        Args:
            is_queued: its message waited, so that the arguments are from some time ago.
            is_unwanted: its run was asked to end since then, so that it is not to run again.
        """
        self.number = claim.claims  # among the executions
        self.overrun: Thread | None = None  # which goes on, though the execution has failed
        self.is_left = False  # its body goes on, though whoever was to finish it was cancelled
        self._body: Body[bytes] | None = None
        self._call = call
        self._claim = claim
        self._hosts: Hosts | None = None
        self._is_queued = is_queued
        self._is_unwanted = is_unwanted
        self._now_ms = world.now_ms
        self._outputs: Outputs | None = None  # most steps write to no stream
        self._step = step
        self._stop: Signal | None = None  # most steps ask for none
        self._watch: AbortWatch | None = None
        self._world = world

    def __repr__(self) -> str:
        return f"<Attempt {self.number} of {self._claim.message.message_id}>"

    def begin(self, hosts: Hosts) -> Result | None:
        """Run the body, if it may, up to where it waits. Returns the result if it came to one."""
        step, claim = self._step, self._claim
        if claim.claims > 1:  # the first claim of a step may always run it
            allowed = self._allowed()
            if isinstance(allowed, Fail):
                return self._failed(self._lost())
            self.number = allowed.execution
            if self._is_unwanted:
                return self._failed(RunCancelledError(self.run_id, reason=None))
        self._hosts = hosts
        if not step.is_async:
            return None
        body = Body(self._value() if step.perform is None else self._scripted(step.perform))
        if body.begin(self._name, hosts):
            return self._result(body.outcome())
        self._body = body  # which refers to this by its context: not for longer than it waits
        return None

    async def finish(self, hosts: Hosts, threads: anyio.CapacityLimiter) -> Result:
        """The result, once the body has come to it, or its time is over.

        Args:
            threads: how many plain functions run at once.
        """
        if self._body is not None:
            outcome = await self._settled(self._body)
            self._body = None
            return self._result(outcome)
        thread = Thread(self._work, self._step.options.timeout)
        try:
            value = await thread.run(self._step.id, threads)
        except asyncio.CancelledError:
            self.is_left = thread.is_left
            raise
        if thread.is_late:
            self.overrun = thread
        if not isinstance(value, Awaited):
            return self._result(value)
        body = Body(self._awaited(value.value))  # of an async function under a plain one
        if body.begin(self._name, hosts):
            return self._result(body.outcome())
        return self._result(await self._settled(body))

    def cancel(self) -> None:
        """Nobody finishes it: a body that waits is cancelled."""
        if self._body is not None:
            self._body.cancel()

    @property
    def lease(self) -> Lease:
        """Its claim's."""
        return self._claim.lease

    @property
    def plain_step(self) -> str | None:
        """The step's id, if its body runs in a thread."""
        return None if self._step.is_async else self._step.id

    @property
    def may_run_again(self) -> bool:
        """Whether it may, though its body has begun and its outcome is not known."""
        return self._step.options.max_retries > 0

    @property
    def _name(self) -> str:
        """The name of the body's task."""
        return f"{self._step.id} ({self._claim.lease.item})"

    # --- the body ---------------------------------------------------------------------------------

    async def _settled(self, body: Body[bytes]) -> bytes | Raised:
        """The outcome of a body that waits, in time."""
        limit = self._step.options.timeout
        try:
            await body.wait(limit=None if limit is None else limit.total_seconds())
        except asyncio.CancelledError:
            self.is_left = body.is_left
            raise
        if limit is not None and body.is_left:
            return Raised(StepTimeoutError(self._step.id, timeout=limit))
        return body.outcome()

    async def _value(self) -> bytes:
        """The result's payload. In the body's task."""
        entered.set(self)
        step = self._step
        if step.options.cancellable or ABORT_MARK in self._call.args:
            return await self._watched()
        running: Any = _called(step, await decode_aside(self._call.args, step.parameters.convert))
        return await self._payload(running)

    async def _scripted(self, perform: Callable[[Attempt], Awaitable[bytes]]) -> bytes:
        """The same of a step in JavaScript, whose guest encodes it."""
        entered.set(self)
        return await self._payload(perform(self))

    async def _watched(self) -> bytes:
        """The same where it is to hear that it is not wanted any more."""
        step, watch = self._step, self._new_watch()
        try:
            if self._is_queued and watch.states:
                await watch.look()
            watch.open()
            args = await decode_aside(self._call.args, step.parameters.convert)

            async def call() -> object:
                running: Any = _called(step, args)
                return await running

            return await self._payload(
                watch.cancelling(call) if step.options.cancellable else call()
            )
        finally:
            watch.close()

    def _new_watch(self) -> AbortWatch:
        call = self._call
        self._watch = watch = AbortWatch(
            self._world, self.run_id, call.args, is_cleanup=call.is_cleanup
        )
        return watch

    async def _awaited(self, value: Awaitable[object]) -> bytes:
        """The same for an awaitable that a plain function returned."""
        entered.set(self)
        return await self._payload(value)

    async def _payload(self, running: Awaitable[object]) -> bytes:
        try:
            if self._step.options.timeout is not None:
                return await self._in_time(running, self._step.options.timeout)
            result = await running
            if self._outputs is not None:
                await self._outputs.finish()
        except Exception:
            if self._outputs is not None:
                await self._outputs.settle()
            raise
        except BaseException:
            if self._outputs is not None:
                self._outputs.abandon()
            raise
        finally:
            if self._watch is not None:
                self._watch.close()
        if self._step.perform is not None:
            return cast("bytes", result)
        payload = encode_scalar(result)  # most results are scalars, and all of these are small
        if payload is not None:
            return payload
        payload = await self._encoded(result)
        if ABORT_MARK in payload:
            await tell_crossings(payload, self._world, self.run_id)
        return payload

    async def _in_time(self, running: Awaitable[object], limit: timedelta) -> bytes:
        """The payload of its result, if that comes in time."""
        event, seconds = Expiry(), limit.total_seconds()
        expiry.set(event)
        if self._stop is not None:  # a plain function asked for it, and returned an awaitable
            event.set_also(self._stop)
        timer = asyncio.get_running_loop().call_later(seconds, event.set)  # its threads, if any
        try:
            with anyio.move_on_after(seconds):
                value = await running
                if self._outputs is not None:
                    await self._outputs.finish()
                if not event.is_set():  # else it swallowed that it is cancelled
                    with anyio.CancelScope(shield=True):
                        payload = await self._encoded(value)
                        await tell_crossings(payload, self._world, self.run_id)
                        return payload
        finally:
            timer.cancel()
        event.set()
        raise StepTimeoutError(self._step.id, timeout=limit)

    def _work(self, thread: Thread) -> bytes | Raised | Awaited:
        """The result's payload, or the error. In a thread."""
        entered.set(self)
        expiry.set(thread.timed_out)
        goes_on = False
        try:
            if ABORT_MARK in self._call.args:
                self._new_watch().open_from_thread(self.loop, look=self._is_queued)
            value = _called(self._step, decode_here(self._call.args, self._step.parameters.convert))
            if self._outputs is not None:
                self._outputs.finish_from_thread()
            in_time = thread.settle()
            if not in_time and iscoroutine(value):
                value.close()
            elif in_time and isawaitable(value):
                goes_on = True
                return Awaited(value)
            payload = encode_here(
                value if in_time else None,
                where=self._where,
                returns=self._step.returns,
            )
            if ABORT_MARK in payload:
                telling = tell_crossings(payload, self._world, self.run_id)
                asyncio.run_coroutine_threadsafe(telling, self.loop).result()
            return payload
        except BaseException as exc:  # of whatever kind: data
            if self._outputs is not None:
                self._outputs.settle_from_thread()
            thread.settle()
            return Raised(exc)
        finally:
            if self._watch is not None and not goes_on:
                self._watch.close_from_thread(self.loop)

    def _encoded(self, result: object) -> Awaitable[bytes]:
        return encode_aside(result, where=self._where, returns=self._step.returns)

    @property
    def _where(self) -> str:
        return f"the result of {self._step.id}"

    # --- what a running body may ask: ``metadata.Entered`` ----------------------------------------

    @property
    def run_id(self) -> RunId:
        """The run's id."""
        return self._claim.message.run_id

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """That of its worker."""
        assert self._hosts is not None  # its body runs
        return self._hosts.loop

    @property
    def outputs(self) -> Outputs:
        """The streams that it writes to."""
        if self._outputs is None:
            claim = self._claim
            self._outputs = Outputs(
                self._world, writer=claim.message.message_id, attempt=claim.claims, loop=self.loop
            )
        return self._outputs

    def stop_event(self, expiry: Expiry | None) -> Signal:
        """The event of ``stop_event``."""
        with _asking:
            if self._stop is None:
                self._stop = stop = Signal()
                watch = self._watch or self._new_watch()
                watch.set_at_stop(stop)
                watch.open_from_thread(self.loop, look=False)
                if expiry is not None:
                    expiry.set_also(stop)
        return self._stop

    def __call__(self) -> tuple[RunMetadata, StepMetadata]:
        """The facts of the run and of this execution."""
        call, run_id = self._call, self._claim.message.run_id
        run = RunMetadata(
            run_id=run_id,
            workflow=call.workflow,
            started_at=datetime.fromtimestamp(call.run_started_ms / 1000, UTC),
            url=call.base_url,
            features=FEATURES,
        )
        step = StepMetadata(
            id=f"{run_id}/{call.entity}",
            step=call.step,
            attempt=self.number,
            started_at=datetime.fromtimestamp(call.created_ms / 1000, UTC),
        )
        return run, step

    # --- what a script may ask: ``scripts.Execution`` ---------------------------------------------

    @property
    def claim(self) -> MessageClaim:
        """The claim of its message."""
        return self._claim

    @property
    def input(self) -> bytes:
        """The payload of its arguments."""
        return self._call.args

    def check(self) -> None:
        """Go on only if it may run once more.

        Raises:
            StepLostError: it may not.
        """
        allowed = self._allowed()
        if isinstance(allowed, Fail):
            raise self._lost()
        self.number = allowed.execution

    def _allowed(self) -> Proceed | Fail:
        claim = self._claim
        return before_execution(
            claims=claim.claims,
            losses=claim.losses,
            returned=claim.returned,
            max_retries=self._step.options.max_retries,
        )

    def _lost(self) -> StepLostError:
        claim = self._claim
        losses = claim.losses or claim.claims - claim.returned - 1
        return StepLostError(self._step.id, lost=losses)

    # --- what comes of it -------------------------------------------------------------------------

    def _result(self, outcome: bytes | Raised) -> Result:
        if not isinstance(outcome, Raised):
            return Ended(self._end(EventType.STEP_COMPLETED, outcome))
        try:
            return self._after(outcome.error)
        except BaseException as second:  # the error's own code: nothing is awaited here
            return self._failed(unhandled(self._step.id, outcome.error, second))

    def _after(self, error: BaseException) -> Result:
        """The result of an execution that raised."""
        step, now_ms = self._step, self._now_ms()
        verdict = after_failure(
            execution=self.number,
            losses=self._claim.losses,
            max_retries=step.options.max_retries,
            fatal=is_fatal(error, step.options),
            delay_ms=self._delay_ms(error, now_ms),
        )
        if isinstance(verdict, Retry):
            return self._retrying(error, verdict.delay_ms, now_ms)
        if verdict.exhausted:
            wrapped = exhausted(step.id, error, retries=verdict.retries)
            return self._failed(wrapped, is_exhausted=True)
        return self._failed(error)

    def _delay_ms(self, error: BaseException, now_ms: int) -> int:
        """The wait that the error asks for, or else that of the step's policy."""
        wait_ms = asked_delay_ms(error, now_ms=now_ms)
        if wait_ms is not None:
            return wait_ms
        failures = max(1, self.number - self._claim.losses)
        key = self._claim.message.message_id
        return planned_delay_ms(self._step.options.policy, failures=failures, key=key)

    def _retrying(self, error: BaseException, delay_ms: int, now_ms: int) -> Retrying:
        _log.warning(
            "step %s (%s) failed at attempt %d and runs again in %.1f s, at %s: %s",
            self._step.id,
            self._claim.message.message_id,
            self.number,
            delay_ms / 1000,
            _clock(now_ms + delay_ms),
            first_line(error),
            extra=self._fields(EventType.STEP_RETRYING),
        )
        event = Event(
            type=EventType.STEP_RETRYING,
            key=f"{self._call.entity}/retry/{self._claim.claims}",
            at_ms=now_ms,
            entity=self._call.entity,
            payload=encode_failure(error, now_ms=now_ms),
            facts=self._facts,
        )
        return Retrying(event, delay_ms)

    def _failed(self, error: BaseException, *, is_exhausted: bool = False) -> Ended:
        payload = encode_failure(error, now_ms=self._now_ms())
        _log.error(
            "step %s (%s) failed for good at attempt %d: %s",
            self._call.step,
            self._claim.message.message_id,
            self.number,
            first_line(error.__cause__ if is_exhausted and error.__cause__ else error),
            exc_info=told_by(payload),
            extra=self._fields(EventType.STEP_FAILED),
        )
        return Ended(self._end(EventType.STEP_FAILED, payload))

    def _end(self, kind: EventType, payload: bytes) -> Event:
        counts = self.number > 1 or kind is EventType.STEP_FAILED
        return make_event(
            type=kind,
            key=end_key(self._call.entity),
            at_ms=self._now_ms(),
            entity=self._call.entity,
            payload=payload,
            facts=self._facts if counts else {},
        )

    @property
    def _facts(self) -> dict[str, Fact]:
        """Which execution it was, and how many of those before were lost with their worker."""
        losses = self._claim.losses
        return {"attempt": self.number, "lost": losses} if losses else {"attempt": self.number}

    def _fields(self, event: EventType) -> Fields:
        step_id = self._claim.message.message_id
        return of_step(step_id, step=self._call.step, attempt=self.number, event=event.value)


def _called(step: AnyStep, args: list[Any]) -> object:
    """The function's result for arguments that it can be called with."""
    keywords = args.pop() if args and type(args[-1]) is Keywords else _NO_KEYWORDS
    try:
        step.check_call(args, keywords)
    except TypeError as exc:  # the same call would fail each time
        count = len(args) + bool(keywords)
        raise FatalError(f"step {step.id} cannot be called with {count} arguments: {exc}") from exc
    return step.function(*args, **keywords)


def _clock(at_ms: int) -> str:
    """A time of day, in UTC, or the date where it is not near."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OSError, OverflowError, ValueError):  # the first is what Windows says
        return "a time past the calendar's end"
