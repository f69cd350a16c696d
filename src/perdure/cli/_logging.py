"""Logging: what the program and its libraries warn of, on stderr."""

from __future__ import annotations

import logging
import traceback

from ._output import say

__all__ = ("show_logs",)


def show_logs() -> None:
    """Show warnings, Python's own as well, from now on."""
    logging.basicConfig(level=logging.WARNING, handlers=[_Stderr()])
    logging.captureWarnings(True)


class _Stderr(logging.Handler):
    """Warnings, where progress does not overwrite them; of an exception, its last line."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = f"{record.levelname.lower()}: {record.getMessage()}"
            if record.exc_info and record.exc_info[1] is not None:
                cause = "".join(traceback.format_exception_only(record.exc_info[1])).strip()
                text = f"{text}: {cause}"
            say(text)
        except Exception:  # of the record: whoever wrote it goes on
            say(f"{record.levelname.lower()}: a message of {record.name} that cannot be shown")
