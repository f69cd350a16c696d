"""Errors that the caller must act on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from ._root import UsageError, brief

__all__ = (
    "CursorError",
    "HookConflictError",
    "HookNotFoundError",
    "HookPayloadError",
    "HookTokenHeldError",
    "IdempotencyConflictError",
    "NameTooLongError",
    "RunBusyError",
    "RunExistsError",
    "RunLiveError",
    "RunMovedError",
    "RunNotFoundError",
    "RunTimeoutError",
    "RunWatchedError",
    "StreamNotBytesError",
    "StreamRewoundError",
    "WorldClosedError",
    "WorldNotFoundError",
)

_ISSUES_SHOWN = 20


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
            f"{brief.repr(cursor)} is not a cursor of a list of runs; go on with that of "
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


class RunWatchedError(UsageError):
    """The run waits for others here, or they for it, so it cannot move now; nothing was changed."""

    def __init__(self, run_id: str, *, others: Sequence[str]) -> None:
        super().__init__(
            f"run {run_id} cannot move while it waits for other runs, or they for it: "
            f"{', '.join(others)}. Try again once those have ended"
        )
        self.run_id = run_id
        self.others: tuple[str, ...] = tuple(others)


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


class HookConflictError(UsageError):
    """Another run holds the hook token that a run was to be started with."""

    def __init__(self, token: str, run_id: str) -> None:
        super().__init__(
            f"hook token {token!r} is held by run {run_id}; nothing was started: "
            f"send to that run, or choose another token"
        )
        self.token = token
        self.run_id = run_id


class HookNotFoundError(UsageError):
    """No live hook has this token or id."""

    def __init__(self, token: str) -> None:
        super().__init__(
            f"no live hook {token!r} was found: none was created with it, or it was disposed, or "
            f"its run has ended; 'perdure hooks' lists those that are live"
        )
        self.token = token


class HookPayloadError(UsageError):
    """A payload does not match the schema of its ``hook_type``; nothing was sent.

    Attributes:
        name: the hook type's.
        issues: (path, message) of each, such as ``("payload.items[0].price", "Field required")``.
    """

    def __init__(self, name: str, *, issues: Sequence[tuple[str, str]]) -> None:
        lines = [f"  {path}: {message}" for path, message in issues[:_ISSUES_SHOWN]]
        if len(issues) > _ISSUES_SHOWN:
            lines.append(f"  … and {len(issues) - _ISSUES_SHOWN:,} more")
        super().__init__(
            "\n".join([f"Hook payload did not match the defined schema: {name}", *lines])
        )
        self.name = name
        self.issues: tuple[tuple[str, str], ...] = tuple(issues)


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


class StreamRewoundError(UsageError):
    """What was read as bytes does not count: the step that wrote it ran again."""

    def __init__(self, run_id: str, name: str, *, index: int) -> None:
        super().__init__(
            f"stream {name!r} of run {run_id}: its step ran again and wrote something else than"
            f" before from chunk {index} on; begin anew, or read it by readable(), which tells"
            " where by a Rewind"
        )
        self.run_id = run_id
        self.name = name
        self.index = index


class StreamNotBytesError(UsageError):
    """A chunk that is neither bytes nor text was read as bytes."""

    def __init__(self, run_id: str, name: str, *, index: int, kind: str) -> None:
        super().__init__(
            f"stream {name!r} of run {run_id}: chunk {index} is a value of type {kind}, not bytes;"
            " read it by readable()"
        )
        self.run_id = run_id
        self.name = name
        self.index = index
        self.kind = kind
