"""The error tree: one root, then by who must act.

``UserCodeError``: the author of a workflow or step. ``WorldError``: the operator or the
world's author; ``retryable`` says whether the same call may succeed later. ``ProtocolError``:
guest and host disagree, a bug or a damaged file. ``UsageError``: the caller.
Constructors take facts and build the message; facts stay as attributes; every error survives
pickling. This module imports nothing of ours but the meaning of a duration's text.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from ._duration import duration_of

__all__ = (
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
    "HookNotFoundError",
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
    "SnapshotRejectedError",
    "StaleTurnError",
    "StepLostError",
    "StepNotRegisteredError",
    "StepTimeoutError",
    "StreamClosedError",
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


_brief = reprlib.Repr()
_brief.maxlevel = 3


def _text_of(value: object) -> str:
    """A value of the user's within a message; of one that unfolds without end, its beginning."""
    if isinstance(value, str | PerdureError):
        return str(value)
    try:
        return _brief.repr(value)
    except Exception:  # an integer that is too long for decimals, say
        return f"<{type(value).__name__}>"


def _rebuild(cls: type[PerdureError], state: dict[str, object]) -> PerdureError:
    error = cls.__new__(cls)
    error.__dict__.update(state)
    Exception.__init__(error, str(state["message"]))
    return error


class PerdureError(Exception):
    """The root of all errors that Perdure raises on purpose."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __reduce__(
        self,
    ) -> tuple[
        Callable[[type[PerdureError], dict[str, object]], PerdureError],
        tuple[type[PerdureError], dict[str, object]],
    ]:
        return _rebuild, (type(self), dict(self.__dict__))

    def __str__(self) -> str:
        return self.message


class UserCodeError(PerdureError):
    """The author of a workflow or step must act."""


class WorldError(PerdureError):
    """The operator of a world, or its author, must act."""

    retryable: ClassVar[bool] = False


class ProtocolError(PerdureError):
    """Guest and host disagree: a bug, or a damaged file."""


class UsageError(PerdureError):
    """The caller must act."""


# --- user code ----------------------------------------------------------------------------


class FatalError(UserCodeError):
    """Raise it in a step to fail the step at once, without a retry."""

    fatal: ClassVar[bool] = True

    def __init__(self, message: str = "") -> None:
        super().__init__(message)


class RetryableError(UserCodeError):
    """Raise it in a step to say when to try again.

    Args:
        retry_after: seconds, a ``timedelta``, an aware ``datetime``, or a text as ``sleep`` of a
            workflow takes it (``"5 minutes"``); None means the wait of the step's policy, one
            second by default. A wait asked for is at least one second and at most a hundred years.

    Raises:
        UsageError: *retry_after* is none of these.
    """

    def __init__(
        self, message: str = "", *, retry_after: float | timedelta | datetime | str | None = None
    ) -> None:
        super().__init__(message)
        self.retry_after: float | timedelta | datetime | None = _wait(retry_after)


def _wait(after: object) -> float | timedelta | datetime | None:
    """The wait that is meant.

    Raises:
        UsageError: it is not clear which.
    """
    match after:
        case None | timedelta():
            return after
        case datetime():
            if after.tzinfo is not None:
                return after
            reason = "a naive datetime names no instant; write datetime.now(UTC) + …"
        case str():
            if (wait := duration_of(after)) is not None:
                return wait
            reason = 'a text names a duration, such as "30s", "5 minutes" or "1h 30m"'
        case int() | float():
            if -math.inf < after < math.inf:
                return after
            reason = "a number of seconds is finite"
        case _:
            reason = "it is seconds, a timedelta, an aware datetime or a text"
    raise UsageError(f"retry_after={after!r}: {reason}")


class StepLostError(UserCodeError):
    """A worker died while it ran the step, and the step must not run twice."""

    fatal: ClassVar[bool] = True

    def __init__(self, step: str, *, lost: int) -> None:
        super().__init__(
            f"step {step!r} was handed out and its worker was lost {lost} time{'s' * (lost != 1)}, "
            f"or its result; it may have run. Raise max_retries if running it again is safe."
        )
        self.step = step
        self.lost = lost


class FruitlessTurnsError(UserCodeError):
    """No turn of a run landed, however often workers tried; its cause is how the last one ended."""

    def __init__(self, run_id: str, *, claims: int) -> None:
        super().__init__(
            f"run {run_id} was taken up {claims} times since its last commit and no turn of it "
            f"landed: each failed, or its worker died or was cut off. Mend that and start the run "
            f"anew: perdure rerun {run_id}"
        )
        self.run_id = run_id
        self.claims = claims


class StepTimeoutError(UserCodeError):
    """A step ran longer than its ``timeout``."""

    def __init__(self, step: str, *, timeout: timedelta) -> None:
        super().__init__(f"step {step!r} ran longer than its timeout of {timeout}")
        self.step = step
        self.timeout = timeout


class CompileError(UserCodeError):
    """The workflow's source was not understood; every diagnostic names file, line and column."""

    def __init__(self, diagnostics: Sequence[object]) -> None:
        super().__init__("\n\n".join(str(d) for d in diagnostics))
        self.diagnostics: tuple[object, ...] = tuple(diagnostics)


class GuestError(UserCodeError):
    """An error value that came from JavaScript (or crossed it), as data."""

    def __init__(
        self,
        *,
        name: str,
        message: str,
        stack: str = "",
        cause: object = None,
        errors: Sequence[object] = (),
        fatal: bool = False,
        props: dict[str, object] | None = None,
    ) -> None:
        super().__init__(f"{name}: {message}" if message else name)
        self.name = name
        self.text = message
        self.stack = stack
        self.cause = cause
        self.errors: tuple[object, ...] = tuple(errors)
        self.fatal = fatal
        self.props: dict[str, object] = dict(props or {})


class ValueNotCarriableError(UserCodeError):
    """A value that cannot cross between Python and JavaScript."""

    fatal: ClassVar[bool] = True

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"cannot carry the value at {path}: {reason}")
        self.path = path
        self.reason = reason


class RunFailedError(UserCodeError):
    """The run ended in failure. Its text is one line; further lines are a note of it.

    Attributes:
        error: a ``GuestError``, or the value that the workflow threw if that is no error.
        stack: the workflow's stack, naming the user's own files and lines.
    """

    def __init__(self, run_id: str, *, error: object, stack: str = "") -> None:
        line, *more = _text_of(error).split("\n")
        super().__init__(f"run {run_id} failed: {line}")
        if details := "\n".join([*more, stack]).strip("\n"):
            self.add_note(details)
        self.run_id = run_id
        self.error = error
        self.stack = stack


class RunCancelledError(UserCodeError):
    """The run was cancelled; *reason* is the text that came with that, or None."""

    def __init__(self, run_id: str, *, reason: str | None) -> None:
        super().__init__(f"run {run_id} was cancelled" + (f": {reason}" if reason else ""))
        self.run_id = run_id
        self.reason = reason


class StepNotRegisteredError(UserCodeError):
    """No worker that was asked has this step."""

    def __init__(self, step: str, *, known: Sequence[str] = ()) -> None:
        listed = ", ".join(sorted(known)) or "none"
        super().__init__(
            f"step {step!r} is not registered here (registered: {listed}); import its module in "
            f"the worker, e.g. perdure worker --steps {step.partition(':')[0]}"
        )
        self.step = step
        self.known: tuple[str, ...] = tuple(known)


# --- worlds -------------------------------------------------------------------------------


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
        super().__init__(f"stream {name!r} of run {run_id} is closed")
        self.run_id = run_id
        self.name = name


# --- protocol -----------------------------------------------------------------------------


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


# --- usage --------------------------------------------------------------------------------


class WorldClosedError(UsageError):
    """The world was closed, or not opened yet: the caller's handle is of no use."""

    def __init__(self, url: str) -> None:
        super().__init__(f"world {url} is not open; use 'async with open_world(url)'")
        self.url = url


class RunNotFoundError(UsageError):
    """No run has this id in this world."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id} is not in this world; 'perdure runs' lists those that are")
        self.run_id = run_id


class CursorError(UsageError):
    """The cursor is none that a page of this list has."""

    def __init__(self, cursor: str) -> None:
        super().__init__(
            f"{_brief.repr(cursor)} is not a cursor of a list of runs; go on with that of "
            f"the page before, or leave it out to begin with the newest run"
        )
        self.cursor = cursor


class RunLiveError(UsageError):
    """The run has not ended, so it can be neither deleted nor started anew."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id} has not ended; cancel it first: perdure cancel {run_id}")
        self.run_id = run_id


class RunMovedError(UsageError):
    """The run went to another world and goes on there, or is on its way."""

    def __init__(self, run_id: str, *, to: str, arrived: bool = True) -> None:
        super().__init__(
            f"run {run_id} has moved to {to}; ask for it there"
            if arrived
            else f"run {run_id} is on its way to {to}, and not known to have arrived; complete "
            f"that with: perdure move {run_id} --to {to} (with --keep-here, if that world is "
            f"gone for good)"
        )
        self.run_id = run_id
        self.to = to
        self.arrived = arrived


class RunBusyError(UsageError):
    """Steps of the run are running, so it cannot move now; nothing was changed."""

    def __init__(self, run_id: str, *, steps: Sequence[str], until_ms: int) -> None:
        super().__init__(
            f"run {run_id} cannot move while its steps are running: {', '.join(steps)}. Try again "
            f"once it is suspended, or have them count as lost and run again: --lose-claims"
        )
        self.run_id = run_id
        self.steps: tuple[str, ...] = tuple(steps)
        self.until_ms = until_ms  # when the last of their leases runs out, unless it is renewed


class RunExistsError(UsageError):
    """The world a run was to move to has a run of this id."""

    def __init__(self, run_id: str, *, status: str) -> None:
        super().__init__(f"the world it is to move to has a run {run_id} already ({status})")
        self.run_id = run_id
        self.status = status


class HookTokenHeldError(UsageError):
    """The world a run was to move to has another run that holds one of its hooks' tokens."""

    def __init__(self, token: str, *, run_id: str) -> None:
        super().__init__(
            f"hook token {token!r} is held by run {run_id} in the world it is to move to; "
            f"end that run or its hook, then move it again"
        )
        self.token = token
        self.run_id = run_id


class RunTimeoutError(UsageError, TimeoutError):
    """``run.result(timeout=…)`` ran out; the run goes on."""

    def __init__(self, run_id: str, *, timeout: timedelta, hint: str = "") -> None:
        advice = f". {hint}" if hint else ""
        super().__init__(f"run {run_id} had not ended after {timeout}; it goes on{advice}")
        self.run_id = run_id
        self.timeout = timeout
        self.hint = hint  # why nothing seems to work on it; empty if something does


class HookNotFoundError(UsageError):
    """No live hook has this token or id."""

    def __init__(self, token: str) -> None:
        super().__init__(f"no live hook {token!r} was found")
        self.token = token


class NameTooLongError(UsageError):
    """A name that a caller chose is longer than the store can keep."""

    def __init__(self, name: str, *, key_bytes: int, limit: int) -> None:
        text = name if len(name) <= 40 else f"{name[:40]}…"
        super().__init__(
            f"the name {text!r} ({len(name.encode())} bytes) makes keys of up to {key_bytes} "
            f"bytes in this world, which allows {limit}; choose a shorter one, or a world with a "
            f"shorter prefix"
        )
        self.name = name
        self.key_bytes = key_bytes
        self.limit = limit


class IdempotencyConflictError(UsageError):
    """The idempotency key was used before with another workflow or input."""

    def __init__(self, key: str, *, run_id: str) -> None:
        super().__init__(
            f"idempotency key {key!r} belongs to run {run_id}, which has another workflow or input"
        )
        self.key = key
        self.run_id = run_id


class WorldNotFoundError(UsageError):
    """No installed package serves this world's URL scheme."""

    def __init__(self, scheme: str, *, installed: Sequence[str]) -> None:
        worlds = {"sqlite": "perdure-sqlite", "mongodb": "perdure-mongodb", "s3": "perdure-s3"}
        listed = ", ".join(sorted(installed)) or "none"
        offered = ", ".join(f"{name} ({of}://)" for of, name in sorted(worlds.items()))
        mend = f"install it: pip install {worlds[scheme]}" if scheme in worlds else f"try {offered}"
        super().__init__(f"no world is installed for '{scheme}://' (installed: {listed}); {mend}")
        self.scheme = scheme
        self.installed: tuple[str, ...] = tuple(installed)
