"""Watchdog: a turn that takes too long is interrupted, whatever else is watched."""

from __future__ import annotations

from typing import Any, cast

import anyio
import pytest

from perdure._runtime.heap import Heap
from perdure._runtime.watchdog import Watchdog

pytestmark = pytest.mark.anyio


class Turn:
    """What the watchdog knows of a heap."""

    def __init__(self) -> None:
        self.interrupted = anyio.Event()

    def interrupt(self) -> None:
        self.interrupted.set()


def heap(turn: Turn) -> Heap:
    return cast(Heap, cast(Any, turn))


async def test_each_turn_has_its_own_deadline() -> None:
    watchdog = Watchdog()
    later, sooner, never = Turn(), Turn(), Turn()
    with (
        watchdog.watching(heap(never), seconds=3600),
        watchdog.watching(heap(later), seconds=0.02),
        watchdog.watching(heap(sooner), seconds=0.001),
        anyio.fail_after(10),
    ):
        await sooner.interrupted.wait()
        assert not later.interrupted.is_set()
        await later.interrupted.wait()
    assert not never.interrupted.is_set()
    assert repr(watchdog) == "<Watchdog of 0 turns>"
    watchdog.close()


async def test_a_turn_that_goes_on_is_interrupted_again() -> None:
    """A guest is deaf to an interrupt that comes before its call, or between two."""
    watchdog = Watchdog()
    deaf = Turn()
    with watchdog.watching(heap(deaf), seconds=0.001), anyio.fail_after(10):
        for _ in range(3):
            await deaf.interrupted.wait()
            deaf.interrupted = anyio.Event()
    watchdog.close()


async def test_a_turn_that_has_ended_is_let_be() -> None:
    watchdog = Watchdog()
    ended, running = Turn(), Turn()
    with watchdog.watching(heap(ended), seconds=0.001):
        pass
    with watchdog.watching(heap(running), seconds=0.002), anyio.fail_after(10):
        await running.interrupted.wait()
    assert not ended.interrupted.is_set()
    watchdog.close()
