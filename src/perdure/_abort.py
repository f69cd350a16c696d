"""Abort: ``AbortSignal`` and ``AbortController`` of a run, as steps and callers have them.

All signals of one id in a process share a state, also those of different steps. The code that
learns of an abort fires the state. A state lives as long as a signal of it does.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, final
from weakref import WeakValueDictionary

from ._value_class import AsItIs
from .errors import AbortError, GuestError

__all__ = (
    "AbortController",
    "AbortSignal",
    "SignalState",
    "default_reason",
    "fire",
    "state_of",
)

_MOST_FIRED: Final = 1000
Key = tuple[str, str]  # run id, abort id


@final
class SignalState:
    """Whether a signal is aborted, and the callbacks that are to hear of it. From any thread."""

    __slots__ = ("__weakref__", "_callbacks", "_lock", "is_aborted", "key", "reason")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.is_aborted = False
        self.reason: object = None
        self._callbacks: dict[object, Callable[[], object]] = {}
        self._lock = threading.Lock()

    def fire(self, reason: object) -> None:
        """Abort it, once; its callbacks are called here and now."""
        with self._lock:
            if self.is_aborted:
                return
            self.reason, self.is_aborted = reason, True
            callbacks, self._callbacks = list(self._callbacks.values()), {}
        for callback in callbacks:
            callback()

    def add(self, callback: Callable[[], object]) -> Callable[[], object]:
        """Call *callback* when it is aborted, at once if it is; returns how to take it back."""
        name = object()
        with self._lock:
            if not self.is_aborted:
                self._callbacks[name] = callback
                return lambda: self._callbacks.pop(name, None)
        callback()
        return lambda: None


_states: WeakValueDictionary[Key, SignalState] = WeakValueDictionary()
_fired: OrderedDict[Key, object] = OrderedDict()  # of late, for steps that begin after it
_lock = threading.Lock()


def state_of(key: Key) -> SignalState:
    """The one state of a signal in this process."""
    with _lock:
        state = _states.get(key)
        if state is None:
            state = _states[key] = SignalState(key)
            if key in _fired:
                state.reason, state.is_aborted = _fired[key], True
        return state


def fire(key: Key, reason: object) -> None:
    """Abort the signal in this process."""
    with _lock:
        _fired[key] = reason
        while len(_fired) > _MOST_FIRED:
            _fired.popitem(last=False)
        state = _states.get(key)
    if state is not None:
        state.fire(reason)


class _Handle(AsItIs):
    """The half that a signal and its controller share."""

    __slots__ = ("_state",)
    _state: SignalState

    def __init__(
        self, run_id: str, id: str, *, aborted: bool = False, reason: object = None
    ) -> None:
        self._state = state_of((run_id, id))
        if aborted:
            self._state.fire(reason)

    @property
    def run_id(self) -> str:
        """The run that it was made in."""
        return self._state.key[0]

    @property
    def id(self) -> str:
        """Its name within the run."""
        return self._state.key[1]

    def parts(self) -> list[object]:
        """The parts that cross."""
        state, is_controller = self._state, isinstance(self, AbortController)
        return [*state.key, is_controller, state.is_aborted, state.reason]

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._state is self._state

    def __hash__(self) -> int:
        return hash(self._state.key)

    def __repr__(self) -> str:
        state = "aborted" if self._state.is_aborted else "not aborted"
        return f"<{type(self).__name__} {self.id} of {self.run_id}, {state}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._state.key


@final
class AbortSignal(_Handle):
    """A JavaScript ``AbortSignal``: says whether the work of a step is still wanted.

    In a step it is live: it fires while the step runs, also where another process aborts it.
    """

    __slots__ = ()

    @property
    def aborted(self) -> bool:
        """Whether it is aborted. From any thread."""
        return self._state.is_aborted

    @property
    def reason(self) -> object:
        """The reason that it was aborted for; None until then."""
        return self._state.reason

    def throw_if_aborted(self) -> None:
        """Raise if it is aborted.

        Raises:
            AbortError: it is; no retry follows in a step.
        """
        if self._state.is_aborted:
            raise AbortError(self._state.reason)

    async def wait(self) -> object:
        """Return the reason, once it is aborted."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        remove = self._state.add(lambda: loop.call_soon_threadsafe(_settle, future))
        try:
            await future
        finally:
            remove()
        return self._state.reason

    def on_abort(self, callback: Callable[[object], object]) -> None:
        """Have *callback* called with the reason once it is aborted; at once if it is.

        Args:
            callback: called in the thread that learns of the abort, most often the event loop's;
                it is quick and raises nothing.
        """
        self._state.add(lambda: callback(self._state.reason))

    def event(self) -> threading.Event:
        """An event that is set once it is aborted, for a plain ``def`` step to look at."""
        event = threading.Event()
        self._state.add(event.set)
        return event


@final
class AbortController(_Handle):
    """A JavaScript ``AbortController`` that a workflow passed: aborts its signal for everybody."""

    __slots__ = ()

    @property
    def signal(self) -> AbortSignal:
        """Its signal."""
        return AbortSignal(*self._state.key)

    async def abort(self, reason: object = ...) -> None:
        """Abort the signal, once: the workflow and all steps that hold it hear of it.

        Durable once this returns. In a step the workflow hears of it before the step's result. If
        it was aborted before, or its run has ended, nothing happens.

        Args:
            reason: a value that crosses; default: an ``AbortError``, as in JavaScript.

        Raises:
            ValueNotCarriableError: the reason cannot cross to JavaScript.
            UsageError: no step is running here, and it cannot be told which world is meant.
            RunNotFoundError: the run is not in that world.
        """
        aborts: Any = import_module("perdure._runtime.aborts")
        await aborts.abort(self, reason)


def default_reason() -> GuestError:
    """The reason of an abort without one."""
    return GuestError(name="AbortError", message="This operation was aborted")


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
