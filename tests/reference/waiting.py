"""Waiting for what other tasks bring about, without a guess at how long that takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

__all__ = ("until",)

T = TypeVar("T")
_LOOK = 0.005  # seconds between looks; stores of other processes ring no bell


async def until(look: Callable[[], Awaitable[T | None]], *, seconds: float = 20) -> T:
    """The first answer that is something."""
    with anyio.fail_after(seconds):
        while True:
            answer = await look()
            if answer:
                return answer
            await anyio.sleep(_LOOK)
