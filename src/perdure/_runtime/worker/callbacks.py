"""Callbacks: functions of the application that a worker calls when it has ended a run.

Best effort and at most once: in the process whose write ended the run, after that write. A crash
in between loses the call. Nothing that a callback does is felt by the run or by the worker: its
error is logged, and it has a task and a context of its own.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from functools import partial
from typing import TypeAlias, cast, final

from ..._model.ids import RunId
from ..._model.runs import RunOutcome, RunRecord, RunStatus
from ..._value_class import value_class
from ...abc import World
from ...errors import PerdureError, RunFailedError, UsageError
from ..log_fields import of_run
from ..run import Run, failure_of
from .bodies import Body, Hosts, Raised
from .runners import Work

__all__ = ("Callback", "Callbacks", "RunEnd")

_log = logging.getLogger("perdure")


@value_class
class RunEnd:
    """The end of a run, as a callback of its worker is told."""

    run: Run
    record: RunRecord  # workflow, times, attributes
    error: RunFailedError | None  # None: it completed


Callback: TypeAlias = Callable[[RunEnd], object]


@final
class Callbacks:
    """The callbacks of one worker.

    Args:
        world: the worker's.
        on_completed: called for each run that the worker completed.
        on_failed: called for each run that it failed.
        run: runs work in a task of the worker's.
    """

    def __init__(
        self,
        world: World,
        on_completed: Callback | None,
        on_failed: Callback | None,
        run: Callable[[Work], None],
    ) -> None:
        self._world = world
        self._by_status = {
            RunStatus.COMPLETED: checked_callback("on_run_completed", on_completed),
            RunStatus.FAILED: checked_callback("on_run_failed", on_failed),
        }
        self._run = run

    def __repr__(self) -> str:
        names = [str(status) for status, callback in self._by_status.items() if callback]
        return f"<Callbacks for {', '.join(names) or 'nothing'}>"

    def tell(self, run_id: RunId, outcome: RunOutcome) -> None:
        """A run has ended by a write of this worker; the callback is called in a task."""
        callback = self._by_status.get(outcome.status)
        if callback is not None:
            self._run(self._call(callback, run_id, outcome))

    async def _call(self, callback: Callback, run_id: RunId, outcome: RunOutcome) -> None:
        try:
            record = await self._world.storage.get_run(run_id)
        except PerdureError as exc:
            _log.warning(
                "run %s: its end is told to no callback: %s", run_id, exc, extra=of_run(run_id)
            )
            return
        is_failed = outcome.status is RunStatus.FAILED
        error = await failure_of(run_id, outcome) if is_failed else None
        end = RunEnd(run=Run(run_id, self._world), record=record, error=error)
        name = "on_run_failed" if is_failed else "on_run_completed"
        raised = await _outcome(partial(callback, end), f"perdure: {name} of {run_id}")
        if raised is not None:
            _log.error(
                "run %s: %s raised; the run has ended all the same",
                run_id,
                name,
                exc_info=raised.error,
                extra=of_run(run_id),
            )


async def _outcome(call: Callable[[], object], task: str) -> Raised | None:
    """Make the call in a task of its own, of this name. Returns what it raised, if it did."""
    hosts = Hosts(asyncio.get_running_loop())
    body = Body(_answer(call))
    try:
        body.begin(task, hosts)
        await body.wait()
    finally:
        hosts.close()
    outcome = None if body.is_left else body.outcome()
    return outcome if isinstance(outcome, Raised) else None


async def _answer(call: Callable[[], object]) -> None:
    answer = call()
    if inspect.isawaitable(answer):
        await answer


def checked_callback(option: str, value: object) -> Callback | None:
    """A function that a worker may call, or None.

    Raises:
        UsageError: it cannot be called.
    """
    if value is None or (callable(value) and not isinstance(value, type)):
        return cast("Callback | None", value)
    raise UsageError(f"{option} is a function that takes a perdure.RunEnd, not {value!r}")
