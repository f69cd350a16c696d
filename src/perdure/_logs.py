"""Logs: a record of this package or of a world is one line, also if its text holds line ends.

Every record has the fields of ``FIELDS``, None where they are not known. A workflow's error, a
store's answer or a name may hold line ends, and with them text that looks like another record; see
``display``. A traceback and ``Lines`` are indented below their record. Importing this is enough.
"""

from __future__ import annotations

import logging
import traceback
from typing import final

from .display import shown_lines, shown_text

__all__ = ("FIELDS", "Lines", "log")

FIELDS = ("run_id", "step_id", "step", "attempt", "event")
LONGEST = 20_000  # characters of a traceback


@final
class Lines(str):
    """An argument of several lines, such as a stack: all but the first are indented."""


@final
class _Shown:
    """An argument of a message, to be shown once the message is."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return shown_text(self._value)

    def __repr__(self) -> str:
        try:
            return shown_text(repr(self._value))
        except Exception:  # of a user's class
            return shown_text(self._value)


@final
class _OneLine(logging.Filter):
    """Makes the arguments of a record displayable; lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple([_displayable(arg) for arg in record.args])
        for name in FIELDS:
            if not hasattr(record, name):
                setattr(record, name, None)
        if record.exc_info and record.exc_info[1] is not None and not record.exc_text:
            record.exc_text = _traceback(record.exc_info[1])
        return True


def _traceback(error: BaseException) -> str:
    """Its traceback, displayable; of a long one the end, where the error is."""
    try:
        text = "".join(traceback.format_exception(error))
    except BaseException:  # of a user's class, or a chain that is too deep
        return f"({type(error).__name__}: its traceback cannot be shown)"
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]}\n… (cut)\n{text[-LONGEST // 2 :]}"
    return shown_lines(text)


def _displayable(value: object) -> object:
    if isinstance(value, int | float):
        return value
    if isinstance(value, Lines):
        return shown_lines(value)
    return shown_text(value) if isinstance(value, str) else _Shown(value)


log: logging.Logger = logging.getLogger("perdure")
if not any(isinstance(one, _OneLine) for one in log.filters):
    log.addFilter(_OneLine())
