"""The root of all errors, and the families beneath it: by who must act.

Constructors take facts and build the message; facts stay as attributes; every error survives
pickling, whatever its constructor asks for.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import ClassVar

__all__ = ("PerdureError", "ProtocolError", "UsageError", "UserCodeError", "WorldError")


brief = reprlib.Repr()
brief.maxlevel = 3


def text_of(value: object) -> str:
    """A value of the user's within a message; of one that unfolds without end, its beginning."""
    if isinstance(value, str | PerdureError):
        return str(value)
    try:
        return brief.repr(value)
    except Exception:  # an integer that is too long for decimals, say
        return f"<{type(value).__name__}>"


def _rebuild(cls: type[PerdureError], state: dict[str, object]) -> PerdureError:
    error = cls.__new__(cls)
    error.__dict__.update(state)
    Exception.__init__(error, str(state["message"]))
    return error


class PerdureError(Exception):
    """The root of all errors that Perdure raises on purpose."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __reduce__(
        self,
    ) -> tuple[
        Callable[[type[PerdureError], dict[str, object]], PerdureError],
        tuple[type[PerdureError], dict[str, object]],
    ]:
        return _rebuild, (type(self), dict(self.__dict__))

    def __str__(self) -> str:
        return self.message


class UserCodeError(PerdureError):
    """The author of a workflow or step must act."""


class WorldError(PerdureError):
    """The operator of a world, or its author, must act."""

    retryable: ClassVar[bool] = False


class ProtocolError(PerdureError):
    """Guest and host disagree: a bug, or a damaged file."""


class UsageError(PerdureError):
    """The caller must act."""
