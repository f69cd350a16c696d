"""Together: several awaitables at once, with the first error as it is rather than in a group."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import TypeVar

import anyio

__all__ = ("each", "together")

T = TypeVar("T")


async def together(*works: Awaitable[object]) -> None:
    """Await all of them; every one is awaited to its end, then the first error is raised."""
    await each(works)


async def each(works: Iterable[Awaitable[T]], *, at_once: int = 32) -> list[T]:
    """The answers of all, in order; every one is awaited to its end, then an error is raised."""
    waiting = list(works)
    if len(waiting) == 1:
        return [await waiting[0]]
    answers: dict[int, T] = {}
    errors: dict[int, Exception] = {}
    limit = anyio.Semaphore(at_once)

    async def run(number: int, one: Awaitable[T]) -> None:
        async with limit:
            try:
                answers[number] = await one
            except Exception as exc:  # raised below
                errors[number] = exc

    async with anyio.create_task_group() as group:
        for number, one in enumerate(waiting):
            group.start_soon(run, number, one)
    if errors:
        raise errors[min(errors)]
    return [answers[number] for number in range(len(waiting))]
