"""Guest: one execution's VM, made for that execution at the baseline of its bundle.

Its memory is new, or was put back to the baseline byte for byte after another execution; nothing of
one is there in the next. Runs in the threads of a pool; while it waits it holds none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import final

import wasmtime

from .._protocol.codec import encode
from .._vm.image import Baseline
from .._vm.instance import Instance
from .._vm.pool import VmPool
from .._vm.reply import Reply
from .._vm.watch import StoppedError, StopReason, Watch
from ..errors import GuestError, ProtocolError, StepLimitError
from .frames import (
    Answer,
    Delivery,
    Outcome,
    StepFrame,
    decode_answer,
    encode_call,
    encode_deliveries,
)

__all__ = ("StepGuest",)


@final
class StepGuest:
    """A guest that performs one step. ``close`` it."""

    def __init__(self, baseline: Baseline, pool: VmPool, *, turn_seconds: float) -> None:
        """Make nothing yet.

        Args:
            baseline: of its bundle.
            turn_seconds: that one call may take.
        """
        self._baseline = baseline
        self._pool = pool
        self._seconds = turn_seconds
        self._instance: Instance | None = None

    def __repr__(self) -> str:
        return f"<StepGuest {self._instance!r}>"

    async def call(self, frame: StepFrame) -> Answer:
        """Begin; the answer once it waits or has ended.

        Raises:
            ProtocolError: host and guest disagree.
        """
        return await self._run(partial(self._begin, frame))

    async def deliver(self, deliveries: Sequence[Delivery]) -> Answer:
        """Go on with what came of its operations.

        Raises:
            ProtocolError: host and guest disagree.
        """
        return await self._run(partial(self._go_on, deliveries))

    def close(self) -> None:
        """Free its memory. Idempotent."""
        instance, self._instance = self._instance, None
        if instance is not None:
            instance.close()

    async def _run(self, call: Callable[[], bytes]) -> Answer:
        watch = Watch(self._seconds, patience=None)
        reply: Reply[Answer] = Reply()

        def work() -> Callable[[], None] | None:
            if not reply.begin():
                return None
            try:
                with watch.here():
                    answer = self._answer(call)
            except BaseException as exc:
                reply.fail(exc)
            else:
                reply.give(answer)
                if answer.outcome is not None:
                    return self.close  # after the answer was told: it takes as long as the call
            return None

        self._pool.hand_over(work)
        return await reply.wait(lambda: watch.stop(StopReason.ABANDONED))

    # --- in a thread of the pool ------------------------------------------------------------------

    def _answer(self, call: Callable[[], bytes]) -> Answer:
        try:
            answer = decode_answer(call())
        except wasmtime.Trap as trap:
            answer = _failed("GuestTrapError", f"the guest trapped: {trap.message.splitlines()[0]}")
        except StoppedError as exc:
            answer = _stopped(exc, self._seconds)
        return answer

    def _begin(self, frame: StepFrame) -> bytes:
        self._instance = self._baseline.instantiate()
        return self._instance.exchange(b"call", encode_call(frame))

    def _go_on(self, deliveries: Sequence[Delivery]) -> bytes:
        if self._instance is None:
            raise ProtocolError("this guest has ended")
        return self._instance.exchange(b"deliver", encode_deliveries(deliveries))


def _stopped(error: StoppedError, seconds: float) -> Answer:
    """The answer of a call that was stopped.

    Raises:
        StoppedError: not because of the step.
    """
    if error.reason.name != "DEADLINE":
        raise error
    limit = StepLimitError(f"it computed for {seconds:g} s without awaiting anything")
    return _failed(type(limit).__name__, str(limit))


def _failed(name: str, message: str) -> Answer:
    payload = encode(GuestError(name=name, message=message, fatal=True), where="error")
    return Answer(
        operations=(),
        console=(),
        outcome=Outcome(False, payload),
        unhandled=(),
        wake_ms=None,
        max_retries=None,
        instructions=0,
        heap_bytes=0,
    )
