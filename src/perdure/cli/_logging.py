"""Logging: warnings of the program and its libraries, on stderr."""

from __future__ import annotations

import logging
import traceback
from collections import deque

from ._output import say

__all__ = ("hide_failure_of", "is_told", "show_logs")


def show_logs() -> None:
    """Show warnings, Python's own as well, from now on."""
    logging.basicConfig(level=logging.WARNING, handlers=[_Stderr()])
    logging.captureWarnings(True)


def is_told(step_id: str, attempt: object) -> bool:
    """Whether a record about this attempt was shown lately."""
    return (step_id, attempt) in _records


def hide_failure_of(run_id: str) -> None:
    """Leave it to the caller to show that this run has failed."""
    _quiet_runs.append(run_id)


_records: deque[tuple[object, object]] = deque(maxlen=1000)
_quiet_runs: list[str] = []
_FAILURES = ("step_failed", "run_failed")


class _Stderr(logging.Handler):
    """Warnings, where progress does not overwrite them.

    Of an exception its last line is shown, or its traceback where a step or a run failed by it.
    """

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        if event == "run_failed" and getattr(record, "run_id", None) in _quiet_runs:
            return
        if event is not None:
            _records.append((getattr(record, "step_id", None), getattr(record, "attempt", None)))
        try:
            text = f"{record.levelname.lower()}: {record.getMessage()}"
            if event in _FAILURES and record.exc_text:
                text = f"{text}\n{record.exc_text}"
            elif record.exc_info and record.exc_info[1] is not None:
                cause = "".join(traceback.format_exception_only(record.exc_info[1])).strip()
                text = f"{text}: {cause}"
            say(text)
        except Exception:  # of the record: the code that wrote it goes on
            say(f"{record.levelname.lower()}: a message of {record.name} that cannot be shown")
