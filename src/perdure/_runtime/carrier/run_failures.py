"""Run failures: the record that says that a run has failed, with the stack of its workflow."""

from __future__ import annotations

import logging

from ..._model.events import EventType
from ..._model.ids import RunId
from ..._model.runs import RunOutcome, RunStatus
from ...errors import GuestError, RunFailedError
from ..containment import ends_worker
from ..log_fields import first_line, of_run
from ..payloads import decode_aside

__all__ = ("log_failure",)

_log = logging.getLogger("perdure")


async def log_failure(run_id: RunId, outcome: RunOutcome) -> None:
    """Log that the run has failed, if so. Once, after that has landed."""
    if outcome.status is not RunStatus.FAILED:
        return
    fields = of_run(run_id, event=EventType.RUN_FAILED.value)
    try:
        error = await decode_aside(outcome.payload or b"\xf6", lambda value: value)
        stack = error.stack if isinstance(error, GuestError) else ""
        failure = RunFailedError(run_id, error=error, stack=stack, code=outcome.code)
        if isinstance(error, GuestError):
            failure.__cause__ = _chained(error)
        line = first_line(failure).partition(": ")[2]  # which begins with the run
    except BaseException as exc:  # a payload of a damaged store, or one that takes too much
        if ends_worker(exc):
            raise
        _log.error("run %s failed; its error cannot be shown: %r", run_id, exc, extra=fields)
        return
    _log.error("%s", line, exc_info=failure, extra=fields)


def _chained(error: GuestError) -> GuestError | None:
    """The error that caused it, its own stack told with it."""
    cause = error.cause
    if not isinstance(cause, GuestError):
        return None
    return GuestError(name=cause.name, message=f"{cause.text}\n{cause.stack}".strip())
