"""Listener: an outcome is heard at once, and that a run is carried no more is not one."""

from __future__ import annotations

from functools import partial

import anyio
import anyio.lowlevel
import pytest

from perdure._runtime.listener import Listener
from perdure.model import RunOutcome, RunStatus

pytestmark = pytest.mark.anyio
ENDED = RunOutcome(status=RunStatus.COMPLETED, payload=b"", at_ms=1)


async def test_a_listener_hears_of_a_run_that_goes_on_elsewhere() -> None:
    listener = Listener()
    assert repr(listener) == "<Listener waiting>"
    async with anyio.create_task_group() as group:
        group.start_soon(partial(listener.wait, seconds=60))
        await anyio.wait_all_tasks_blocked()
        listener.tell(None)
    with anyio.fail_after(5), anyio.CancelScope() as scope, listener.cutting_short(scope):
        listener.tell(None)  # so only the store can tell
        await anyio.lowlevel.checkpoint()
        listener.tell(ENDED)
        await anyio.sleep_forever()
    assert listener.outcome == ENDED
    assert repr(listener) == "<Listener completed>"


async def test_a_listener_that_is_told_nothing_goes_on_after_a_while() -> None:
    listener = Listener()
    await listener.wait(seconds=0)
    assert listener.outcome is None
