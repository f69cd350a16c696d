"""Contexts: awaiting something in a copy of the context, without a task of its own."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from contextvars import copy_context
from typing import Any, Generic, TypeVar, final

__all__ = ("InContext",)

T = TypeVar("T")


@final
class InContext(Generic[T]):
    """Awaits a coroutine; what it sets in context variables is gone afterwards, as with a task."""

    __slots__ = ("_coroutine",)

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, T]:
        coroutine, run = self._coroutine, copy_context().run
        thrown: BaseException | None = None
        while True:
            try:
                if thrown is None:
                    awaited = run(coroutine.send, None)
                else:
                    awaited = run(coroutine.throw, thrown)
            except StopIteration as stop:
                value: T = stop.value
                return value
            try:
                yield awaited
            except BaseException as exc:  # the coroutine's to handle
                thrown = exc
            else:
                thrown = None
