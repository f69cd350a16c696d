"""A signal's KeyboardInterrupt is told from one that somebody raised."""

from __future__ import annotations

import asyncio
import itertools
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from perdure._runtime.containment import is_interrupt

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "pthread_kill"), reason="needs a signal for a thread"
)


def numbers() -> Iterator[int]:
    while True:
        yield 1


async def nothing() -> None: ...


def loops() -> None:
    while True:
        pass


def iterates() -> None:
    for _ in itertools.repeat(0):
        pass


def calls() -> None:
    while True:
        nothing().close()


def generates() -> None:
    for _ in numbers():
        pass


def comprehends() -> None:
    while True:
        [number + 1 for number in range(9)]


def awaits() -> None:
    async def body() -> None:
        while True:
            await nothing()

    body().send(None)


def sleeps() -> None:
    time.sleep(60)


def raised_by(handler: Any, work: Callable[[], object]) -> BaseException:
    signal.signal(signal.SIGALRM, handler)
    # To this thread: CPython does not tell it at once of one that another thread is handed, as
    # those of the process are now and then, and what never asks for the interpreter never hears.
    alarm = threading.Timer(0.002, signal.pthread_kill, (threading.get_ident(), signal.SIGALRM))
    try:
        alarm.start()
        work()
    except BaseException as exc:
        return exc
    finally:
        alarm.join()
    raise AssertionError("no signal")


@pytest.fixture(autouse=True)
def _as_before() -> Generator[None, None, None]:
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("work", [loops, iterates, calls, generates, comprehends, awaits, sleeps])
def test_a_signals(work: Callable[[], object]) -> None:
    for _ in range(10):
        assert is_interrupt(raised_by(signal.default_int_handler, work))


def raises(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_handlers_own() -> None:
    assert is_interrupt(raised_by(raises, loops))


def test_that_of_asyncio() -> None:
    errors: list[bool] = []

    async def main() -> None:
        signal.raise_signal(signal.SIGINT)  # cancels
        try:
            signal.raise_signal(signal.SIGINT)  # raises
        except KeyboardInterrupt as exc:
            errors.append(is_interrupt(exc))

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert errors == [True]


def raises_again() -> None:
    try:
        raises()
    finally:
        time.sleep(0)


async def awaits_a_future() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_exception(KeyboardInterrupt())
    await future


def test_one_that_somebody_raised() -> None:
    for work in (raises, raises_again):
        with pytest.raises(KeyboardInterrupt) as caught:
            work()
        assert not is_interrupt(caught.value)
    assert not is_interrupt(KeyboardInterrupt())
    assert not is_interrupt(SystemExit())


@pytest.mark.anyio
async def test_one_that_a_future_hands_on() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        await awaits_a_future()
    assert not is_interrupt(caught.value)
