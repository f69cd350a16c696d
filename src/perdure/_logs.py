"""Logs: a record of this package or of a world is one line, whatever text stands in it.

A workflow's error, a store's answer or a name may hold line ends, and with them what looks like
another record; see ``display``. A traceback is indented below its record. Importing this is enough.
"""

from __future__ import annotations

import logging
import traceback
from typing import final

from .display import shown_lines, shown_text

__all__ = ("log",)


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
    """Makes what a record is filled with displayable; lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple([_displayable(arg) for arg in record.args])
        if record.exc_info and record.exc_info[1] is not None and not record.exc_text:
            lines = traceback.format_exception(record.exc_info[1])
            record.exc_text = shown_lines("".join(lines))
        return True


def _displayable(value: object) -> object:
    if isinstance(value, int | float):
        return value
    return shown_text(value) if isinstance(value, str) else _Shown(value)


log: logging.Logger = logging.getLogger("perdure")
if not any(isinstance(one, _OneLine) for one in log.filters):
    log.addFilter(_OneLine())
