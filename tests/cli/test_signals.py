"""A signal is heard in whichever way its system has, and what heard it before hears it after."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import anyio
import pytest
import typer

from perdure.cli import _signals
from perdure.cli._errors import INTERRUPTED
from perdure.cli._signals import stop_on_signal

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["the loop", "the process"], autouse=True)
async def _hears(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who hears signals: on Windows no loop does."""

    def refuse(*_: Any) -> None:
        raise NotImplementedError

    if request.param == "the process":
        monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", refuse)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGBREAK"])
async def test_a_first_signal_stops_in_good_order(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(signal, "SIGBREAK"):
        monkeypatch.setattr(signal, "SIGBREAK", signal.SIGINT + 8, raising=False)  # SIGUSR1, mostly
    number, stopped = getattr(signal, name), anyio.Event()

    def left(*_: object) -> None:
        """What the program did about it before."""

    before = signal.signal(number, left)
    try:
        async with stop_on_signal(lambda _: stopped.set(), lambda: None):
            signal.raise_signal(number)
            with anyio.fail_after(5):
                await stopped.wait()
        assert signal.getsignal(number) in (left, signal.SIG_DFL, signal.default_int_handler)
    finally:
        signal.signal(number, before)


async def test_a_block_that_is_cancelled_ends_the_program() -> None:
    async def waiting() -> None:
        async with stop_on_signal(lambda scope: scope.cancel(), lambda: None):
            signal.raise_signal(signal.SIGTERM)
            await anyio.sleep_forever()

    with pytest.raises(typer.Exit) as told:
        await waiting()
    assert told.value.exit_code == INTERRUPTED


async def test_a_second_signal_leaves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str | int] = []
    gone = anyio.Event()

    def leave(code: int) -> None:
        events.append(code)
        gone.set()

    monkeypatch.setattr(_signals, "os", type("Os", (), {"_exit": staticmethod(leave)}))
    async with stop_on_signal(lambda _: events.append("stop"), lambda: events.append("leave")):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        with anyio.fail_after(5):
            await gone.wait()
    assert events[:3] == ["stop", "leave", INTERRUPTED]
