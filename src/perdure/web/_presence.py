"""Presence: work for a client only as long as it is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar, final

import anyio
from starlette.types import Receive

__all__ = ("ClientGone", "while_present")

T = TypeVar("T")


class ClientGone(Exception):
    """The client went before its answer was there."""


@final
class _Work(Generic[T]):
    """Work whose end is kept, so that no task group wraps its error."""

    def __init__(self, work: Callable[[], Awaitable[T]], scope: anyio.CancelScope) -> None:
        self._work = work
        self._scope = scope
        self._results: list[T] = []
        self._error: Exception | None = None

    async def run(self) -> None:
        try:
            self._results.append(await self._work())
        except Exception as exc:
            self._error = exc
        self._scope.cancel()

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        if not self._results:
            raise ClientGone
        return self._results[0]


async def while_present(receive: Receive, work: Callable[[], Awaitable[T]]) -> T:
    """The result of *work*, which is cancelled as soon as the client goes.

    The request's body has been read: *receive* has nothing more to tell than that.

    Raises:
        ClientGone: it went first.
    """
    group = anyio.create_task_group()
    task = _Work(work, group.cancel_scope)
    async with group:
        group.start_soon(task.run)
        while (await receive())["type"] != "http.disconnect":
            pass
        group.cancel_scope.cancel()
    return task.result()
