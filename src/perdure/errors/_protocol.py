"""Errors that show a bug or a damaged file: guest and host disagree."""

from __future__ import annotations

from ._root import ProtocolError

__all__ = ("DivergenceError", "GuestBuildError", "IllegalTransitionError", "SnapshotRejectedError")


class IllegalTransitionError(ProtocolError):
    """An event that its entity cannot take in its present state."""

    def __init__(self, entity: str, *, state: str, event: str) -> None:
        super().__init__(f"{entity} is {state} and cannot take {event}")
        self.entity = entity
        self.state = state
        self.event = event


class DivergenceError(ProtocolError):
    """A replay made other commands than the log holds; nothing was committed."""

    def __init__(self, run_id: str, *, reason: str) -> None:
        super().__init__(f"run {run_id} diverged from its log: {reason}")
        self.run_id = run_id
        self.reason = reason


class SnapshotRejectedError(ProtocolError):
    """A snapshot failed a check and was not loaded; the log rebuilds the heap."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"snapshot rejected: {reason}")
        self.reason = reason


class GuestBuildError(ProtocolError):
    """guest.wasm is not there, or could not be built."""
