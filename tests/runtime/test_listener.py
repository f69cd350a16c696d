"""Listener: an outcome is heard at once, and that a run is carried no more is not one."""

from __future__ import annotations

import asyncio

import anyio
import anyio.lowlevel
import pytest

from perdure._runtime.listener import SOON, Listener, Patience
from perdure.model import RunOutcome, RunStatus

pytestmark = pytest.mark.anyio
ENDED = RunOutcome(status=RunStatus.COMPLETED, payload=b"", at_ms=1)


async def test_a_listener_hears_of_a_run_that_goes_on_elsewhere() -> None:
    listener = Listener(Patience())
    assert repr(listener) == "<Listener waiting>"
    async with anyio.create_task_group() as group:
        group.start_soon(listener.wait)
        await anyio.wait_all_tasks_blocked()
        listener.tell(None)
    with anyio.fail_after(5), anyio.CancelScope() as scope, listener.cutting_short(scope):
        listener.tell(None)  # so only the store can tell
        await anyio.lowlevel.checkpoint()
        listener.tell(ENDED)
        await anyio.sleep_forever()
    assert listener.outcome == ENDED
    assert repr(listener) == "<Listener completed>"


@pytest.mark.parametrize("seconds", [0, SOON])
async def test_a_listener_that_is_told_nothing_goes_on_after_a_while(seconds: float) -> None:
    patience = Patience()
    listener = Listener(patience)
    await listener.wait(seconds=seconds)
    assert listener.outcome is None
    assert repr(patience) == "<Patience of 0>"


async def test_each_of_those_that_wait_goes_on_in_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    patience, loop = Patience(), asyncio.get_running_loop()
    early, told, cancelled, late = (loop.create_future() for _ in range(4))
    now = loop.time()
    with monkeypatch.context() as patch:
        for waiter, after in ((early, 0.0), (told, 0.0), (cancelled, 0.0), (late, 3600.0)):
            patch.setattr(loop, "time", lambda at=now + after - SOON: at)
            patience.add(waiter, loop)
    patience.remove(told)
    patience.remove(told)
    cancelled.cancel()
    await early
    assert not told.done()
    assert not late.done()
    assert repr(patience) == "<Patience of 1>"
    timer = patience._timer
    assert timer is not None
    timer.cancel()
