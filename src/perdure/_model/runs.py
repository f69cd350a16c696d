"""Runs as a world keeps them: requests for new ones, stored records, pages of lists.

Everything about steps, hooks and waits is folded from the log; a world indexes runs only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from .._value_class import value_class
from .hooks import HookClaim
from .ids import Digest, RunId

__all__ = (
    "LEVEL",
    "NewRun",
    "RunCode",
    "RunFilter",
    "RunOutcome",
    "RunPage",
    "RunRecord",
    "RunStatus",
)

# What this package knows of runs: it carries those of this level and below, and leaves others be.
LEVEL = 1


class RunStatus(StrEnum):
    """Where a run is in its life."""

    PENDING = "pending"  # created, no turn committed yet
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    MOVING = "moving"  # departed to another world, not known to have arrived
    MOVED = "moved"  # goes on in another world

    @property
    def is_ended(self) -> bool:
        """Whether the run absorbs nothing more, in this world."""
        return self not in (RunStatus.PENDING, RunStatus.RUNNING)

    @property
    def is_over(self) -> bool:
        """Whether nothing depends on this world's keeping it any more: it may be deleted."""
        return self.is_ended and self is not RunStatus.MOVING


class RunCode(StrEnum):
    """The kinds of failure that end a run; kept in plain text beside the error."""

    USER_ERROR = "USER_ERROR"  # thrown by the workflow, or by a step that it let through
    RUNTIME_ERROR = "RUNTIME_ERROR"  # a limit was passed, or the code cannot be run at all
    REPLAY_TIMEOUT = "REPLAY_TIMEOUT"  # turns passed their deadline
    REPLAY_DIVERGENCE = "REPLAY_DIVERGENCE"  # the code does not repeat what its log holds
    CORRUPTED_EVENT_LOG = "CORRUPTED_EVENT_LOG"  # the log cannot be read
    MAX_DELIVERIES_EXCEEDED = "MAX_DELIVERIES_EXCEEDED"  # no turn landed, however often tried
    WORLD_CONTRACT_ERROR = "WORLD_CONTRACT_ERROR"  # the store broke a promise


@value_class
class NewRun:
    """A run to create."""

    run_id: RunId
    workflow: str  # the workflow's name, for people and lists
    bundle: Digest
    engine: Digest
    input: bytes  # CBOR array of arguments
    created_at_ms: int
    idempotency_key: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    level: int = 1  # what a worker must know to carry it, see ``LEVEL``
    secret: bytes = field(default=b"", repr=False)  # all that others cannot guess derives from it
    base_url: str = ""  # of the public routes, as known at the start
    hook: HookClaim | None = None  # a keyed start: the token to claim with the run
    entry: str = ""  # "module.ts#export" of the bundle; empty: the bundle's own


@value_class
class RunOutcome:
    """How a run ended."""

    status: RunStatus  # COMPLETED, FAILED or CANCELLED; others come by other ways
    payload: bytes | None  # CBOR of the result or of the error
    at_ms: int
    code: str | None = None  # of a failure, a ``RunCode`` or one of a later version


@value_class
class RunRecord:
    """A run as its world knows it."""

    run_id: RunId
    workflow: str
    bundle: Digest
    engine: Digest
    status: RunStatus
    turn: int  # commits so far; the next commit expects this number
    position: int  # of the last event in the log
    consumed: int  # position the guest has consumed through; 0 before the first turn
    log_digest: bytes  # rolling digest of the deliveries consumed; empty before the first turn
    created_at_ms: int
    started_at_ms: int | None = None  # the first commit
    ended_at_ms: int | None = None
    payload: bytes | None = None  # CBOR of the result, error, cancel reason or other world
    idempotency_key: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    level: int = 1
    secret: bytes = field(default=b"", repr=False)  # never shown; empty: the run id has its place
    base_url: str = ""
    code: str | None = None  # of a run that failed, a ``RunCode`` or one of a later version
    cancel_at_ms: int | None = None  # it was asked to end, and is ended as cancelled then

    @property
    def is_known(self) -> bool:
        """Whether this package knows how to carry the run: else its wake is not for us."""
        return self.level <= LEVEL


@value_class
class RunFilter:
    """Which runs to list; None means any."""

    status: RunStatus | None = None
    workflow: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])


@value_class
class RunPage:
    """A part of a list; a page may be short, or even empty, before the last."""

    runs: tuple[RunRecord, ...]
    cursor: str | None  # give it back for what follows; None at the end
