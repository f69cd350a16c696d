"""Loop guard: no task or callback of a step ends the event loop.

asyncio lets ``SystemExit`` and ``KeyboardInterrupt`` of any task or callback out of its loop, and
anything in it may stop the loop: with that all that runs there would end, for one step. A loop
runs due callbacks in rounds, each in a context: a copy of the one in which it was asked for. So
callbacks of a step are told by the variable that its body has set. The guard stands around the
round, once each and not around each callback: 0.1 µs. A callback is out of the queue before it is
run, so the next round goes on behind it; a task has the exception by then, for those that await it.

Only loops of asyncio's own have rounds. In others (uvloop) the methods that take a callback stand
in, and what a step asks for holds such an exception back (``Contained``): 0.3 µs for a callback of
others, 1 µs for one of a step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import Context, copy_context
from inspect import iscoroutinefunction
from types import TracebackType
from typing import final

from ...errors import UsageError
from ..contained import Contained, step_in, tell_of
from ..containment import is_interrupt, traceback_of
from ..metadata import StepMetadata, entered

__all__ = ("guarded",)

_ROUND = "_run_once"
_RUN = asyncio.Handle._run.__code__  # what runs a callback
_REFUSED = ("stop", "shutdown_asyncgens", "shutdown_default_executor")
# Methods that take a callback: its place among their arguments, and its name there.
_ASKING = {
    "call_soon": (0, "callback"),
    "call_soon_threadsafe": (0, "callback"),
    "call_later": (1, "callback"),
    "call_at": (1, "callback"),
    "add_reader": (1, "callback"),
    "add_writer": (1, "callback"),
    "add_signal_handler": (1, "callback"),
    "set_exception_handler": (0, "handler"),
}


@contextmanager
def guarded(loop: asyncio.AbstractEventLoop) -> Generator[None, None, None]:
    """Within the block no step ends *loop*. For any number of workers at a time."""
    guard = _Guard.of(loop)
    guard.enter()
    try:
        yield
    finally:
        guard.leave()


@final
class _Guard:
    """Stands in for a few methods of one loop, while somebody asks for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._depth = 0
        self._methods: dict[str, object] = {}  # that stand in for the loop's own, by name
        self._run_once: Callable[[], None] = getattr(loop, _ROUND, _nothing)

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> _Guard:
        """The one of *loop*."""
        guard = getattr(getattr(loop, _REFUSED[0], None), "guard", None)
        return guard if isinstance(guard, _Guard) else cls(loop)

    def __repr__(self) -> str:
        return f"<Guard of {self._loop!r} for {self._depth}>"

    def enter(self) -> None:
        """One more asks for it."""
        self._depth += 1
        if self._depth > 1:
            return
        if hasattr(self._loop, _ROUND):
            self._set(_ROUND, self.run_once)
        else:
            for name, (place, word) in _ASKING.items():
                self._set(name, _asking(getattr(self._loop, name), place, word))
        for name in _REFUSED:
            self._set(name, _Refusal(self, name, getattr(self._loop, name)))

    def leave(self) -> None:
        """One less."""
        self._depth -= 1
        if self._depth:
            return
        for name, method in self._methods.items():
            if vars(self._loop).get(name) is method:
                delattr(self._loop, name)
        self._methods.clear()

    def run_once(self) -> None:
        """A round of the loop."""
        try:
            self._run_once()
        except (SystemExit, KeyboardInterrupt) as exc:
            step = _step_of(traceback_of(exc))
            if step is None or is_interrupt(exc):
                raise
            tell_of(step, exc)

    def _set(self, name: str, method: object) -> None:
        setattr(self._loop, name, method)
        self._methods[name] = method


@final
class _Refusal:
    """A method of the loop for all but steps."""

    def __init__(self, guard: _Guard, name: str, method: Callable[..., object]) -> None:
        self.guard = guard
        self._name = name
        self._method = method

    def __call__(self, *args: object, **keywords: object) -> object:
        step = step_in(copy_context())
        if step is not None:
            raise UsageError(
                f"step {step.step} calls {self._name}() of its event loop, in which its worker and"
                " all other steps run: return from the step instead"
            )
        return self._method(*args, **keywords)


def _asking(ask: Callable[..., object], place: int, word: str) -> Callable[..., object]:
    """A method that takes a callback at a place or by a word: one for what steps ask as well."""

    def call(*args: object, **named: object) -> object:
        context = named.get("context")
        if not isinstance(context, Context):
            if entered.get(None) is None:
                return ask(*args, **named)
            context = copy_context()
        elif entered not in context:
            return ask(*args, **named)
        if place < len(args):
            args = (*args[:place], _contained(args[place], context), *args[place + 1 :])
        elif word in named:
            named[word] = _contained(named[word], context)
        return ask(*args, **named)

    return call


def _contained(callback: object, context: Context) -> object:
    """The callback, contained; one that is none the loop itself refuses."""
    if not callable(callback) or iscoroutinefunction(callback):
        return callback
    return Contained(callback, context)


def _step_of(traceback: TracebackType | None) -> StepMetadata | None:
    """The step that began the callback which raised."""
    while traceback is not None:
        if traceback.tb_frame.f_code is _RUN:
            return step_in(traceback.tb_frame.f_locals["self"]._context)
        traceback = traceback.tb_next
    return None


def _nothing() -> None:
    """The round of a loop that has none."""
