"""Errors that a world's operator or author must act on."""

from __future__ import annotations

from ._root import WorldError

__all__ = (
    "BlobNotFoundError",
    "BundleMissingError",
    "EngineMissingError",
    "LeaseLostError",
    "RunEndedError",
    "StaleTurnError",
    "StreamClosedError",
    "StreamFencedError",
    "StreamNotWrittenError",
    "WorldContractError",
    "WorldDeniedError",
    "WorldReplacedError",
    "WorldUnavailableError",
)


class WorldUnavailableError(WorldError):
    """The store could not be reached, or did not answer in time; the outcome may be unknown."""

    retryable = True


class WorldDeniedError(WorldUnavailableError):
    """The store is there and refuses who asks; asking again is of no use before that is mended."""

    retryable = False

    def __init__(self, url: str, *, reason: str, advice: str) -> None:
        super().__init__(f"world {url} denies access: {reason}; {advice}")
        self.url = url
        self.reason = reason
        self.advice = advice


class WorldReplacedError(WorldError):
    """The store was deleted, or another put in its place, while it was open; nothing is written."""

    def __init__(self, url: str, *, reason: str) -> None:
        super().__init__(
            f"the store of world {url} was deleted or replaced while it was open ({reason}); "
            f"nothing more is written. Put it back if it is needed, close this world and open it "
            f"again"
        )
        self.url = url
        self.reason = reason


class WorldContractError(WorldError):
    """A store broke a promise that the world contract makes."""


class StaleTurnError(WorldError):
    """Another commit came first; nothing was changed."""

    def __init__(self, run_id: str, *, reason: str) -> None:
        super().__init__(f"the commit for run {run_id} is stale: {reason}")
        self.run_id = run_id
        self.reason = reason


class LeaseLostError(WorldError):
    """The lease is no longer live; nothing was changed."""

    def __init__(self, item: str) -> None:
        super().__init__(f"the lease on {item} is no longer live")
        self.item = item


class BlobNotFoundError(WorldError):
    """No blob has this digest."""

    def __init__(self, digest: str) -> None:
        super().__init__(f"blob {digest} is not in this world")
        self.digest = digest


class BundleMissingError(WorldError):
    """The world lacks the code a run was started with."""

    def __init__(self, run_id: str, *, digest: str) -> None:
        super().__init__(
            f"run {run_id} needs bundle {digest}, which this world does not hold; "
            f"start any run of the same workflow source again to put it back"
        )
        self.run_id = run_id
        self.digest = digest


class EngineMissingError(WorldError):
    """The world lacks the engine a run was frozen by."""

    def __init__(self, digest: str) -> None:
        super().__init__(f"engine {digest} is neither installed nor held by this world")
        self.digest = digest


class RunEndedError(WorldError):
    """The run has ended and absorbs nothing more."""

    def __init__(self, run_id: str, *, status: str) -> None:
        super().__init__(f"run {run_id} has already ended ({status})")
        self.run_id = run_id
        self.status = status


class StreamClosedError(WorldError):
    """The stream was closed and takes no more chunks."""

    def __init__(self, run_id: str, name: str) -> None:
        super().__init__(
            f"stream {name!r} of run {run_id} is closed and takes no more chunks: close() is for"
            " the last who writes to it"
        )
        self.run_id = run_id
        self.name = name


class StreamFencedError(WorldError):
    """A later attempt of the same writer has written to the stream, so this one is refused."""

    def __init__(self, run_id: str, name: str, *, writer: str, attempt: int, latest: int) -> None:
        super().__init__(
            f"stream {name!r} of run {run_id}: attempt {attempt} of {writer} is refused, attempt"
            f" {latest} of it has begun to write"
        )
        self.run_id = run_id
        self.name = name
        self.writer = writer
        self.attempt = attempt
        self.latest = latest


class StreamNotWrittenError(WorldError):
    """Chunks that a step wrote to a stream could not be made durable."""

    def __init__(self, run_id: str, name: str, *, chunks: int) -> None:
        super().__init__(
            f"stream {name!r} of run {run_id}: {chunks} chunks of a step that is done were not"
            " written: its world takes too long, or the step cancelled what writes them"
        )
        self.run_id = run_id
        self.name = name
        self.chunks = chunks
