"""Run codes: of which kind the failure of a run is."""

from __future__ import annotations

from dataclasses import replace

from ..._model.runs import RunCode, RunOutcome, RunStatus
from ..._protocol.codec import decode
from ...errors import (
    AttributeLimitError,
    DivergenceError,
    FruitlessTurnsError,
    GuestError,
    PerdureError,
    ProtocolError,
    WorldContractError,
)

__all__ = ("code_of_end", "code_of_giving_up", "coded", "is_cancellation")

# Errors that the guest makes where the code cannot go on, or never began.
_OF_RUNTIME = frozenset(
    {"HeapLimitError", "InstructionLimitError", "OutputLimitError", "WorkflowNotFoundError"}
)
_CAUSES = 100  # of an error, and a cause of a cause


def coded(outcome: RunOutcome, *, is_foreign: bool) -> RunOutcome:
    """The end of a run with its code.

    Args:
        is_foreign: the guest called what its bundle does not import.
    """
    if outcome.status is not RunStatus.FAILED:
        return outcome
    code = RunCode.RUNTIME_ERROR if is_foreign else code_of_end(outcome.payload)
    return replace(outcome, code=code)


def code_of_end(error: bytes | None) -> RunCode:
    """The code of the error that a workflow ended with."""
    try:
        value: object = None if error is None else decode(error)
    except PerdureError:  # thrown by the workflow, and Python has no form for it
        return RunCode.USER_ERROR
    is_runtimes = isinstance(value, GuestError) and value.name in _OF_RUNTIME
    return RunCode.RUNTIME_ERROR if is_runtimes else RunCode.USER_ERROR


def is_cancellation(error: bytes | None) -> bool:
    """Whether a workflow ended with a ``RunCancelledError``, or with an error that one caused."""
    try:
        value: object = None if error is None else decode(error)
    except PerdureError:
        return False
    for _ in range(_CAUSES):
        if not isinstance(value, GuestError):
            return False
        if value.name == "RunCancelledError":
            return True
        value = value.cause
    return False


def code_of_giving_up(error: PerdureError) -> RunCode:
    """The code of the error that ends a run which no worker gets on with."""
    if isinstance(error, AttributeLimitError):
        return RunCode.USER_ERROR
    if not isinstance(error, FruitlessTurnsError):
        return RunCode.REPLAY_TIMEOUT
    match error.__cause__:
        case DivergenceError():
            return RunCode.REPLAY_DIVERGENCE
        case ProtocolError():
            return RunCode.CORRUPTED_EVENT_LOG
        case WorldContractError():
            return RunCode.WORLD_CONTRACT_ERROR
        case _:
            return RunCode.MAX_DELIVERIES_EXCEEDED
