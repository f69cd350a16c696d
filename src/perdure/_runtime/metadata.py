"""Metadata: a step's facts about itself and its run, in reach of any helper it calls."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from contextvars import ContextVar
from datetime import datetime
from threading import Event
from typing import TYPE_CHECKING, Protocol

from .._model.ids import RunId
from .._value_class import value_class
from ..errors import UsageError

if TYPE_CHECKING:
    from .streams.outputs import Outputs

__all__ = (
    "FEATURES",
    "Entered",
    "RunFeatures",
    "RunMetadata",
    "StepMetadata",
    "entered",
    "expiry",
    "run_metadata",
    "step_metadata",
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


entered: ContextVar[Entered] = ContextVar("perdure_step")
# Of a plain step, and of one that has a timeout.
expiry: ContextVar[Event] = ContextVar("perdure_step_expiry")


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


def _entered() -> tuple[RunMetadata, StepMetadata]:
    try:
        make = entered.get()
    except LookupError:
        raise UsageError(
            "run_metadata(), step_metadata() and timeout_event() work only within a step"
        ) from None
    return make()
