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
    for turn, seconds in ((never, 3600), (later, 0.02), (sooner, 0.001)):
        watchdog.watch(heap(turn), seconds)
    with anyio.fail_after(10):
        await sooner.interrupted.wait()
        assert not later.interrupted.is_set()
        await later.interrupted.wait()
    assert not never.interrupted.is_set()
    for turn in (never, later, sooner):
        watchdog.let_go(heap(turn))
    assert repr(watchdog) == "<Watchdog of 0 turns>"
    watchdog.close()


async def test_a_turn_that_goes_on_is_interrupted_again() -> None:
    """A guest is deaf to an interrupt that comes before its call, or between two."""
    watchdog = Watchdog()
    deaf = Turn()
    watchdog.watch(heap(deaf), 0.001)
    with anyio.fail_after(10):
        for _ in range(3):
            await deaf.interrupted.wait()
            deaf.interrupted = anyio.Event()
    watchdog.close()


async def test_a_turn_that_has_ended_is_let_be() -> None:
    watchdog = Watchdog()
    ended, running = Turn(), Turn()
    watchdog.watch(heap(ended), 0.001)
    watchdog.let_go(heap(ended))
    watchdog.watch(heap(running), 0.002)
    with anyio.fail_after(10):
        await running.interrupted.wait()
    assert not ended.interrupted.is_set()
    watchdog.close()
