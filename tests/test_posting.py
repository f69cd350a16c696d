"""Calls reach their loop in order, whoever posts them, and wake it no more than needed."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from perdure.worldkit.posting import post, posted_together
from tests.systems import needs_eventfd

pytestmark = pytest.mark.anyio


class Counting:
    """How often a loop is woken by another thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wakes = 0
        loop = asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe

        def counted(*arguments: object, **more: object) -> object:
            self.wakes += 1
            return wake(*arguments, **more)  # type: ignore[arg-type]  # passed on as it came

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        if hasattr(os, "eventfd_write"):
            monkeypatch.setattr(os, "eventfd_write", self._counting_writes(os.eventfd_write))

    def _counting_writes(self, write: Callable[[int, int], None]) -> Callable[[int, int], None]:
        def counted(bell: int, value: int) -> None:
            self.wakes += 1
            write(bell, value)

        return counted


async def test_calls_come_in_order_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, called, done = asyncio.get_running_loop(), list[int](), anyio.Event()
    counting = Counting(monkeypatch)

    def work() -> None:
        with posted_together(), posted_together():  # the inner one changes nothing
            for number in range(5):
                # Mypy infers no lambda with a default.
                post(loop, lambda number=number: called.append(number))  # type: ignore[misc]
            post(loop, done.set)

    thread = threading.Thread(target=work)
    thread.start()
    await done.wait()
    thread.join()
    assert called == [0, 1, 2, 3, 4]
    assert counting.wakes == 1


async def test_a_loop_that_looks_is_woken_for_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    counting = Counting(monkeypatch)
    for _ in range(2):
        done = anyio.Event()
        post(loop, done.set)
        await done.wait()
    assert counting.wakes == 2


async def test_a_call_that_raises_does_not_keep_the_others_back() -> None:
    loop, done, told = asyncio.get_running_loop(), anyio.Event(), list[object]()
    empty: list[object] = []
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    with posted_together():
        post(loop, lambda: empty[0])
        post(loop, done.set)
    await done.wait()
    assert [type(error) for error in told] == [IndexError]


def test_a_closed_loop_calls_nothing() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    post(loop, lambda: pytest.fail("called"))


@needs_eventfd
def test_a_loop_that_is_gone_leaves_no_bell() -> None:
    """Nor is it kept alive by what was posted to it."""

    def bells() -> int:
        links = [
            os.readlink(entry.path) for entry in os.scandir("/proc/self/fd") if entry.is_symlink()
        ]
        return sum("eventfd" in link for link in links)

    async def called() -> None:
        done = asyncio.Event()
        post(asyncio.get_running_loop(), done.set)
        await done.wait()
        post(asyncio.get_running_loop(), done.set)

    gc.collect()
    before = bells()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(called())
    assert bells() == before + 1
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None
    assert bells() == before


@needs_eventfd
@pytest.mark.anyio
async def test_a_bell_that_was_heard_already_is_no_error() -> None:
    """A loop's round that ends early leaves it in the queue, and the next finds it rung again."""
    loop = asyncio.get_running_loop()
    insides: Any = loop
    first, second, errors = anyio.Event(), anyio.Event(), list[object]()
    loop.set_exception_handler(lambda _, context: errors.append(context))
    post(loop, first.set)
    await first.wait()
    readers = [key.data[0] for key in insides._selector.get_map().values()]
    (handle,) = (reader for reader in readers if "_rung" in repr(reader))
    post(loop, second.set)
    insides._ready.extend([handle, handle])  # as such a round leaves it
    await second.wait()
    assert errors == []
