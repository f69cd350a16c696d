"""Cancel: a call whose task is cancelled at its k-th suspension.

Early: as it begins to wait. Late: when the awaited answer is there, but has not been handed over;
then the effect is done and only the answer is lost. A service's shutdown does both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from enum import Enum
from functools import partial
from typing import Any, Generic, TypeVar, final

from ._calls import loose

__all__ = ("CancelAt", "Moment", "Swallowed", "run_cancelled")

T = TypeVar("T")


class Moment(Enum):
    """When, at a suspension."""

    EARLY = "early"
    LATE = "late"


class Swallowed(AssertionError):
    """A call that was cancelled went on as if nothing had been asked of it."""


@final
class CancelAt(Generic[T]):
    """Awaits *call* and cancels the present task at its suspension number *at*, from 1."""

    def __init__(
        self, call: Awaitable[T], at: int | None = None, moment: Moment = Moment.EARLY
    ) -> None:
        self.suspensions = 0
        self.has_struck = False
        self._call = call
        self._at = at
        self._moment = moment

    def __await__(self) -> Generator[Any, Any, T]:
        inner = self._call.__await__()
        failure: BaseException | None = None
        while True:
            try:
                waited = inner.send(None) if failure is None else inner.throw(failure)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # the awaitable's result
            self.suspensions += 1
            if self.suspensions == self._at:
                self._strike(waited)
            failure = None
            try:
                yield waited
            except BaseException as error:  # handed on to the call, as its own await would
                failure = error

    def _strike(self, waited: object) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.has_struck = True
        if self._moment is Moment.LATE and isinstance(waited, asyncio.Future):
            # Before the task's own callback: the future is done, the task not resumed yet.
            loose(waited).add_done_callback(partial(_cancel, task))
        else:
            task.cancel()


def _cancel(task: asyncio.Task[Any], waited: object) -> None:
    task.cancel()


async def run_cancelled(
    call: Callable[[], Awaitable[T]], at: int, moment: Moment
) -> tuple[bool, T | None]:
    """Whether the call was cancelled there; if it ended before that, its answer.

    Raises:
        Swallowed: it was cancelled and answered all the same.
    """
    driver = CancelAt(call(), at, moment)

    async def drive() -> T:
        return await driver

    task = asyncio.ensure_future(drive())
    try:
        answer = await task
    except asyncio.CancelledError:
        if not driver.has_struck:
            raise  # somebody else's
        return True, None
    if task.cancelling():
        raise Swallowed("a cancelled call went on and answered: cancellation is never caught")
    return False, answer
