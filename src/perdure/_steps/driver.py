"""Driver: one execution of a step in JavaScript, from its call to its outcome.

The guest asks for operations and waits; they are done on the event loop, and what comes of them is
delivered, as much at a time as there is, until the step's promise settles.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import final

from .._protocol.codec import decode
from ..errors import GuestError, StepLimitError, StepStalledError, ThrownValueError
from .frames import Answer, Delivery, Outcome, StepFrame
from .guest import StepGuest
from .operations import Operations
from .printer import Printer
from .room import Seat

__all__ = ("Driver",)

_OWN_BYTES = 320 << 10  # of a guest, besides its heap
# Of the guest's own errors: the next execution would meet them again.
_LIMITS = frozenset({"HeapLimitError", "InstructionLimitError", "OutputLimitError"})


@final
class Driver:
    """Performs one step. Used in one event loop, in one task."""

    def __init__(
        self,
        guest: StepGuest,
        frame: StepFrame,
        printer: Printer,
        operations: Operations,
        *,
        seat: Seat,
    ) -> None:
        """Begin nothing yet.

        Args:
            seat: the guest's, which is told how much memory it has.
        """
        self._guest = guest
        self._frame = frame
        self._printer = printer
        self._operations = operations
        self._inbox: list[Delivery] = []
        self._waiter: asyncio.Future[None] | None = None
        self._printed = 0  # bytes
        self.hears = False  # of signals, so that something may come though it asks for nothing
        self._seat = seat
        self.max_retries: int | None = None  # as the step says, once it has

    def __repr__(self) -> str:
        return f"<Driver of {self._frame.step}>"

    async def run(self, check: Callable[[int | None], None] | None = None) -> bytes:
        """The payload of the step's result.

        Args:
            check: called before a step that was held runs, with the retries that it says it has;
                raises what keeps it from running.

        Raises:
            GuestError: the step threw it.
            ThrownError: the step threw something else.
            StepLimitError: it went past a limit.
            StepStalledError: it waits for nothing that could come.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._frame.limits.seconds
        self._operations.begin(self.deliver)
        try:
            answer = await self._guest.call(self._frame)
            while answer.outcome is None:
                await self._heed(answer)
                if check is not None:
                    check(answer.max_retries)
                    check = None
                    self._inbox.append(("go", 0, None))
                await self._wait(answer, deadline)
                deliveries, self._inbox = self._inbox, []
                answer = await self._guest.deliver(deliveries)
            await self._heed(answer)
            return _result(answer.outcome)
        except BaseException:
            self._guest.close()
            raise
        finally:
            await self._operations.aclose()

    def deliver(self, delivery: Delivery) -> None:
        """Something has come for the guest. In its event loop."""
        self._inbox.append(delivery)
        self._rouse()

    def _rouse(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _heed(self, answer: Answer) -> None:
        self._seat.hold(_OWN_BYTES + answer.heap_bytes)
        if answer.max_retries is not None:
            self.max_retries = answer.max_retries
        if answer.console:
            await self._print(answer)
        if answer.outcome is None:
            for operation in answer.operations:
                self._operations.perform(operation)

    async def _print(self, answer: Answer) -> None:
        self._printed += sum(len(text) for _, text in answer.console)
        if self._printed > self._frame.limits.output_bytes:
            limit = self._frame.limits.output_bytes
            raise StepLimitError(f"it wrote more than {limit:,} bytes to the console")
        await self._printer.print(answer.console)

    async def _wait(self, answer: Answer, deadline: float) -> None:
        """Return once there is something to deliver, or a timer of the guest's is due."""
        if self._inbox:
            return
        if answer.wake_ms is None and not (self._operations.are_under_way or self.hears):
            raise StepStalledError(self._frame.step)
        loop = asyncio.get_running_loop()
        now = loop.time()
        due = deadline if answer.wake_ms is None else now + answer.wake_ms / 1000
        self._waiter = loop.create_future()
        timer = loop.call_at(min(due, deadline), self._rouse)
        try:
            await self._waiter
        finally:
            self._waiter = None
            timer.cancel()
        if not self._inbox and loop.time() >= deadline:
            raise StepLimitError(f"it took longer than {self._frame.limits.seconds:g} s")


def _result(outcome: Outcome) -> bytes:
    if outcome.is_result:
        return outcome.payload
    error = decode(outcome.payload)
    if not isinstance(error, GuestError):
        raise ThrownValueError(error)
    if error.name in _LIMITS:
        error.fatal = True
    raise error
