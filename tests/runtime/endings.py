"""What the tests of odd endings share."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ("Panic", "me")


class Panic(BaseException):
    """As a Rust extension's panic: no ``Exception``."""


def me() -> asyncio.Task[Any]:
    """The task that this runs in."""
    task = asyncio.current_task()
    assert task is not None
    return task
