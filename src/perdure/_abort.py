"""Abort: ``AbortSignal`` and ``AbortController`` of a run, as steps and callers have them.

All signals of one id in a process share a state, also those of different steps. The code that
learns of an abort fires the state. A state lives as long as a signal of it does.

A controller that was made here is of no run. It is one of each run that it goes to: the abort is
written to the logs of these runs.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any, Final, cast, final
from weakref import WeakValueDictionary

from ._value_class import AsItIs
from .errors import AbortError, GuestError, UsageError

__all__ = (
    "AbortController",
    "AbortSignal",
    "SignalState",
    "default_reason",
    "fire",
    "state_of",
)

_MOST_FIRED: Final = 1000
_OWN_ID: Final = re.compile("abort_[1-9][0-9]{28}")  # of no run; a run's own are much shorter
Key = tuple[str, str]  # run id, "" of one that was made here; abort id


@final
class SignalState:
    """Whether a signal is aborted, and the callbacks that are to hear of it. From any thread."""

    __slots__ = (
        *("__weakref__", "_callbacks", "_lock", "dependents", "is_aborted", "key", "reason"),
        *("runs", "source"),
    )

    def __init__(self, key: Key) -> None:
        self.key = key
        self.dependents: list[SignalState] = []  # those that ``any`` made of it
        self.runs: dict[str, object] = {}  # by id; those to be told, of one that was made here
        self.source: Key | None = None  # a run's signal that ``any`` made it of
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

    def family(self) -> Iterator[SignalState]:
        """This one, and all that are aborted with it."""
        states: dict[Key, SignalState] = {}
        stack = [self]
        while stack:
            state = stack.pop()
            if state.key not in states:
                states[state.key] = state
                stack += state.dependents
        return iter(states.values())

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


def fire(key: Key, reason: object, *, remember: bool = True) -> None:
    """Abort the signal in this process.

    Args:
        remember: signals of this id that are made later are aborted, too.
    """
    with _lock:
        if remember:
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
        if not run_id and not _OWN_ID.fullmatch(id):
            raise UsageError(f"{id!r} is no id of a signal; AbortController() makes one")
        self._state = state_of((run_id, id))
        if aborted:
            self._state.fire(reason)

    @property
    def run_id(self) -> str:
        """The run that it was made in; "" if it was made here."""
        return self._state.key[0]

    @property
    def id(self) -> str:
        """Its name within the run."""
        return self._state.key[1]

    def parts(self) -> list[object]:
        """The parts that cross.

        Raises:
            ValueError: it cannot cross; says why.
        """
        state, is_controller = self._state, isinstance(self, AbortController)
        if state.source is not None and not state.is_aborted:
            run_id, id = state.source
            raise ValueError(
                f"it is AbortSignal.any() with the signal {id} of run {run_id}, whose aborts reach"
                " no other run; call any() in the workflow, with the signals for arguments"
            )
        return [*state.key, is_controller, state.is_aborted, state.reason]

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._state is self._state

    def __hash__(self) -> int:
        return hash(self._state.key)

    def __repr__(self) -> str:
        state = "aborted" if self._state.is_aborted else "not aborted"
        owner = f" of {self.run_id}" if self.run_id else ""
        return f"<{type(self).__name__} {self.id}{owner}, {state}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._state.key


@final
class AbortSignal(_Handle):
    """A JavaScript ``AbortSignal``: says whether the work of a step is still wanted.

    In a step it is live: it fires while the step runs, also where another process aborts it. The
    signal of an ``AbortController()`` that was made here may be an argument of ``start``, a payload
    of a hook, or a step's result.
    """

    __slots__ = ()

    @staticmethod
    def any(signals: Iterable[AbortSignal]) -> AbortSignal:
        """A signal that is aborted with the first of these, at once if one is.

        Raises:
            UsageError: one of them is no ``AbortSignal``.
        """
        sources = list(signals)
        for source in sources:
            if not isinstance(cast("object", source), AbortSignal):
                raise UsageError(f"AbortSignal.any takes AbortSignals, not {source!r}")
        signal = AbortSignal("", _own_id())
        for source in sources:
            _follow(signal._state, source._state)
        return signal

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
    """A JavaScript ``AbortController``: aborts its signal for everybody.

    ``AbortController()`` makes one. It, or its signal, may be an argument of ``start``, a payload
    of a hook, or a step's result: it is one of that run from then on. The runs that it went to are
    known to this process alone. Others come from a workflow that passed one: these alone have
    *run_id* and *id*, and whether it is *aborted* with which *reason*.
    """

    __slots__ = ()

    def __init__(
        self, run_id: str = "", id: str = "", *, aborted: bool = False, reason: object = None
    ) -> None:
        super().__init__(run_id, id or _own_id(), aborted=aborted, reason=reason)

    @property
    def signal(self) -> AbortSignal:
        """Its signal."""
        return AbortSignal(*self._state.key)

    async def abort(self, reason: object = ...) -> None:
        """Abort the signal, once: the workflow and all steps that hold it hear of it.

        Durable once this returns. In a step the workflow hears of it before the step's result. If
        it was aborted before, or its run has ended, nothing happens. Of one that was made here all
        runs that it went to are told; those that could not be are told by the next call.

        Args:
            reason: a value that crosses; default: an ``AbortError``, as in JavaScript.

        Raises:
            ValueNotCarriableError: the reason cannot cross to JavaScript.
            UsageError: no step is running here, and it cannot be told which world is meant.
            RunNotFoundError: the run is not in that world.
            RunMovedError: it goes on in another world.
            WorldError: the world failed.
        """
        aborts: Any = import_module("perdure._runtime.aborts")
        await aborts.abort(self, reason)


def _own_id() -> str:
    """An id of no run; no guest makes one as long."""
    return f"abort_{10**28 + secrets.randbelow(9 * 10**28)}"


def _follow(state: SignalState, source: SignalState) -> None:
    """Abort *state* once *source* is aborted."""
    if source.key[0]:
        state.source = source.key
    else:
        state.source = state.source or source.source
        source.dependents.append(state)
    source.add(lambda: state.fire(source.reason))


def default_reason() -> GuestError:
    """The reason of an abort without one."""
    return GuestError(name="AbortError", message="This operation was aborted")


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
