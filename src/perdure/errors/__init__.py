"""The error tree: one root, then by who must act.

``UserCodeError``: the author of a workflow or step. ``WorldError``: the operator or the
world's author; ``retryable`` says whether the same call may succeed later. ``ProtocolError``:
guest and host disagree, a bug or a damaged file. ``UsageError``: the caller. A module each.
This package imports nothing of ours but the meaning of a duration's text.
"""

from __future__ import annotations

from ._protocol import (
    DivergenceError,
    GuestBuildError,
    IllegalTransitionError,
    SnapshotRejectedError,
)
from ._root import (
    PerdureError,
    ProtocolError,
    UsageError,
    UserCodeError,
    WorldError,
)
from ._usage import (
    CursorError,
    HookConflictError,
    HookNotFoundError,
    HookPayloadError,
    HookTokenHeldError,
    IdempotencyConflictError,
    NameTooLongError,
    RunBusyError,
    RunExistsError,
    RunLiveError,
    RunMovedError,
    RunNotFoundError,
    RunTimeoutError,
    RunWatchedError,
    StreamNotBytesError,
    StreamRewoundError,
    WorldClosedError,
    WorldNotFoundError,
)
from ._user_code import (
    AbortError,
    AttributeLimitError,
    CompileError,
    FatalError,
    FruitlessTurnsError,
    GuestError,
    RetryableError,
    RunCancelledError,
    RunFailedError,
    StepLostError,
    StepNotRegisteredError,
    StepTimeoutError,
    ValueNotCarriableError,
)
from ._worlds import (
    BlobNotFoundError,
    BundleMissingError,
    EngineMissingError,
    LeaseLostError,
    RunEndedError,
    StaleTurnError,
    StreamClosedError,
    StreamFencedError,
    StreamNotWrittenError,
    WorldContractError,
    WorldDeniedError,
    WorldReplacedError,
    WorldUnavailableError,
)

__all__ = (
    "AbortError",
    "AttributeLimitError",
    "BlobNotFoundError",
    "BundleMissingError",
    "CompileError",
    "CursorError",
    "DivergenceError",
    "EngineMissingError",
    "FatalError",
    "FruitlessTurnsError",
    "GuestBuildError",
    "GuestError",
    "HookConflictError",
    "HookNotFoundError",
    "HookPayloadError",
    "HookTokenHeldError",
    "IdempotencyConflictError",
    "IllegalTransitionError",
    "LeaseLostError",
    "NameTooLongError",
    "PerdureError",
    "ProtocolError",
    "RetryableError",
    "RunBusyError",
    "RunCancelledError",
    "RunEndedError",
    "RunExistsError",
    "RunFailedError",
    "RunLiveError",
    "RunMovedError",
    "RunNotFoundError",
    "RunTimeoutError",
    "RunWatchedError",
    "SnapshotRejectedError",
    "StaleTurnError",
    "StepLostError",
    "StepNotRegisteredError",
    "StepTimeoutError",
    "StreamClosedError",
    "StreamFencedError",
    "StreamNotBytesError",
    "StreamNotWrittenError",
    "StreamRewoundError",
    "UsageError",
    "UserCodeError",
    "ValueNotCarriableError",
    "WorldClosedError",
    "WorldContractError",
    "WorldDeniedError",
    "WorldError",
    "WorldNotFoundError",
    "WorldReplacedError",
    "WorldUnavailableError",
)

for _name in __all__:  # tracebacks and pickles have the name that callers write
    globals()[_name].__module__ = __name__
