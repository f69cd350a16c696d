"""Metadata: a step's facts about itself and its run, in reach of any helper it calls."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from contextvars import ContextVar
from datetime import datetime
from threading import Event
from typing import TYPE_CHECKING, Protocol, final

from .._model.ids import RunId
from .._value_class import value_class
from ..errors import UsageError

if TYPE_CHECKING:
    from .streams.outputs import Outputs

__all__ = (
    "FEATURES",
    "Entered",
    "Expiry",
    "RunFeatures",
    "RunMetadata",
    "StepMetadata",
    "entered",
    "expiry",
    "run_metadata",
    "step_metadata",
    "stop_event",
    "timeout_event",
)


@value_class
class RunFeatures:
    """Powers that a run may have or lack."""

    encryption: bool  # its payloads are sealed


FEATURES = RunFeatures(encryption=False)


@value_class
class RunMetadata:
    """The run that a step works for, the same as ``getWorkflowMetadata()`` in its workflow."""

    run_id: str
    workflow: str
    started_at: datetime
    url: str  # the public base URL that the run was started with; "" is none
    features: RunFeatures


@value_class
class StepMetadata:
    """One execution of a step."""

    id: str  # run id and entity: stable over retries, so it serves as an idempotency key
    step: str
    attempt: int  # executions so far, this one included; the first is 1
    started_at: datetime  # when the step was made; retries do not move it


class Entered(Protocol):
    """The execution of a step that is running."""

    @property
    def run_id(self) -> RunId:
        """The run's id."""
        ...

    @property
    def loop(self) -> AbstractEventLoop:
        """That of its worker."""
        ...

    def __call__(self) -> tuple[RunMetadata, StepMetadata]:
        """Make them: most steps never ask."""
        ...

    @property
    def outputs(self) -> Outputs:
        """The streams that it writes to. In its worker's event loop."""
        ...

    def stop_event(self, expiry: Expiry | None) -> Event:
        """The event of ``stop_event``, the same each time. From any thread."""
        ...


@final
class Expiry(Event):
    """An event that sets others with it."""

    def __init__(self) -> None:
        super().__init__()
        self._others: list[Event] = []

    def set_also(self, other: Event) -> None:
        """Set *other* when this is set; at once if it is."""
        self._others.append(other)
        if self.is_set():
            other.set()

    def set(self) -> None:
        """Set it, and those that are set with it."""
        super().set()
        for other in self._others:
            other.set()


entered: ContextVar[Entered] = ContextVar("perdure_step")
# Of a plain step, and of one that has a timeout.
expiry: ContextVar[Expiry] = ContextVar("perdure_step_expiry")


def run_metadata() -> RunMetadata:
    """The run that the running step belongs to.

    Raises:
        UsageError: no step is running here.
    """
    return _entered()[0]


def step_metadata() -> StepMetadata:
    """The step that is running.

    Raises:
        UsageError: no step is running here.
    """
    return _entered()[1]


def timeout_event() -> Event:
    """An event that is set once the running step has passed its ``timeout``.

    No thread can be cut short: a plain ``def`` step, or one that works in threads of its own, looks
    at this event and ends. Its result counts no more. For a plain ``def`` step it is also set when
    its worker drains past ``drain_timeout``.

    Raises:
        UsageError: no step is running here.
    """
    _entered()
    return expiry.get(None) or Event()


def stop_event() -> Event:
    """An event that is set once the running step does well to end.

    It is set with ``timeout_event()``, and when an ``AbortSignal`` among the step's arguments is
    aborted or its run has ended, as one that is cancelled has, or was asked to end. A step in
    another process than the cause learns of it within about a second. Its result after an abort
    still counts.

    Raises:
        UsageError: no step is running here.
    """
    _entered()
    return entered.get().stop_event(expiry.get(None))


def _entered() -> tuple[RunMetadata, StepMetadata]:
    try:
        make = entered.get()
    except LookupError:
        raise UsageError(
            "run_metadata(), step_metadata(), timeout_event() and stop_event() work only within a"
            " step"
        ) from None
    return make()
