"""Metadata: what a step may ask about itself and its run, from any helper it calls."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime

from .._frozen import frozen
from ..errors import UsageError

__all__ = ("RunMetadata", "StepMetadata", "entered", "run_metadata", "step_metadata")


@frozen
class RunMetadata:
    """The run a step works for."""

    run_id: str
    workflow: str
    started_at: datetime  # the same as getWorkflowMetadata().workflowStartedAt in the workflow


@frozen
class StepMetadata:
    """One execution of a step."""

    id: str  # run id and entity: stable over retries, so it serves as an idempotency key
    step: str
    attempt: int  # executions so far, this one included; the first is 1
    started_at: datetime  # when the step was made; retries do not move it


# Makes them: most steps never ask.
entered: ContextVar[Callable[[], tuple[RunMetadata, StepMetadata]]] = ContextVar("perdure_step")


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


def _entered() -> tuple[RunMetadata, StepMetadata]:
    try:
        made = entered.get()
    except LookupError:
        raise UsageError("run_metadata() and step_metadata() work only within a step") from None
    return made()
