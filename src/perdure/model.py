"""Public names for the values that appear in contracts."""

from __future__ import annotations

from ._model.children import ChildStart as ChildStart, Watch as Watch, Watcher as Watcher
from ._model.commit import (
    Append as Append,
    Appended as Appended,
    Committed as Committed,
    TurnCommit as TurnCommit,
)
from ._model.events import (
    DELIVERED as DELIVERED,
    Event as Event,
    EventType as EventType,
    Fact as Fact,
    LoggedEvent as LoggedEvent,
)
from ._model.hooks import HookClaim as HookClaim, HookRecord as HookRecord
from ._model.ids import Digest as Digest, EntityId as EntityId, RunId as RunId
from ._model.queue import (
    Lease as Lease,
    LeaseEnd as LeaseEnd,
    Message as Message,
    MessageClaim as MessageClaim,
    NewMessage as NewMessage,
    WakeClaim as WakeClaim,
)
from ._model.runs import (
    LEVEL as LEVEL,
    NewRun as NewRun,
    RunCode as RunCode,
    RunFilter as RunFilter,
    RunOutcome as RunOutcome,
    RunPage as RunPage,
    RunRecord as RunRecord,
    RunStatus as RunStatus,
)
from ._model.snapshot import Snapshot as Snapshot
from ._model.state import RunState as RunState
from ._model.streams import (
    PAGE_BYTES as PAGE_BYTES,
    StreamInfo as StreamInfo,
    StreamPage as StreamPage,
)
from ._model.transfer import (
    Departure as Departure,
    PendingMessage as PendingMessage,
    PendingWork as PendingWork,
    RunCopy as RunCopy,
    StreamCopy as StreamCopy,
    StreamWrite as StreamWrite,
)
