"""Containment: which exceptions end the worker they turn up in.

Its own cancellation does, and an exception that a signal raises. No other error of a step, a turn
or a call of the world does: it is logged, and the worker goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import dis
import logging
import math
import signal
from collections.abc import Generator
from types import CodeType, TracebackType
from typing import Any

import anyio

from ..abc import World
from ..errors import PerdureError, WorldUnavailableError

__all__ = ("ends_worker", "foreign_errors", "is_interrupt", "traceback_of")

_log = logging.getLogger("perdure")
_traceback_of: Any = vars(BaseException)["__traceback__"].__get__
# Where a ``raise``, or an error that is handed on, raises; a signal comes between other codes.
_OWN = {"RAISE_VARARGS", "SEND", "YIELD_VALUE", "JUMP_BACKWARD_NO_INTERRUPT"}


def ends_worker(error: BaseException) -> bool:
    """Whether *error*, just caught in a task of a worker, is to be raised again."""
    kind = type(error)  # its __class__ may raise
    if issubclass(kind, asyncio.CancelledError):
        return _is_cancelled()  # else somebody let one of his own out
    return issubclass(kind, KeyboardInterrupt | SystemExit | GeneratorExit)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0 or anyio.current_effective_deadline() == -math.inf


def is_interrupt(error: BaseException) -> bool:
    """Whether a signal raised *error*: Ctrl-C, as a rule."""
    if not issubclass(type(error), KeyboardInterrupt):
        return False
    handlers = {_code_of(signal.getsignal(number)) for number in signal.valid_signals()}
    last: TracebackType | None = None
    traceback = traceback_of(error)
    while traceback is not None:
        if traceback.tb_frame.f_code in handlers:
            return True
        traceback, last = traceback.tb_next, traceback
    if last is None:
        return False
    return dis.opname[last.tb_frame.f_code.co_code[last.tb_lasti]] not in _OWN


def traceback_of(error: BaseException) -> TracebackType | None:
    """An error's traceback, though its own attributes may raise."""
    traceback: TracebackType | None = _traceback_of(error)
    return traceback


def _code_of(handler: object) -> CodeType | None:
    """The code of a signal's handler in Python."""
    code = getattr(getattr(handler, "func", handler), "__code__", None)
    return code if isinstance(code, CodeType) else None


@contextlib.contextmanager
def foreign_errors(world: World) -> Generator[None, None, None]:
    """Within the block an exception that is none of a world's is the world being unavailable.

    A world should raise none such, and nobody can say whether it wrote when it does.
    """
    try:
        yield
    except PerdureError:
        raise
    except BaseException as exc:
        if ends_worker(exc):
            raise
        _log.debug("world %s", world.url, exc_info=exc)
        raise WorldUnavailableError(f"world {world.url} raised {exc!r}") from exc
