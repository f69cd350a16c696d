"""Run: a handle on one run, from anywhere that can reach its world.

A method that few programs use imports its means itself: all of them take 5 ms of a first start.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, final

import anyio

from .._core.transfer import moved_to
from .._model.events import LoggedEvent
from .._model.ids import RunId
from .._model.runs import RunOutcome, RunRecord, RunStatus
from .._model.streams import StreamInfo
from .._protocol.codec import decode
from .._protocol.weight import SMALL_BYTES
from ..abc import World
from ..errors import (
    GuestError,
    ProtocolError,
    RunCancelledError,
    RunFailedError,
    RunMovedError,
    RunNotFoundError,
    RunTimeoutError,
    ValueNotCarriableError,
)
from ..values import RunHandle, RunRef, Stream
from .ambient import meant_world, workers
from .arguments import checked_position, checked_text, checked_timeout, checked_world
from .listener import SOON, Listener
from .log_fields import of_run
from .payloads import decode_aside
from .worker.lending import is_in_step, lent

if TYPE_CHECKING:
    from .hooks import Hook
    from .streams.readable import Readable
    from .streams.writable import Writable

__all__ = ("Run", "failure_of", "get_run")

_log = logging.getLogger("perdure")
_SLICE_MS = 2000
_SECOND_LOOK = 0.2  # seconds; what is about to be claimed is no reason to warn
_PAGE = 500
_LINES = 10_000
_SOON_MS = int(SOON * 1000)


@final
class Run(RunHandle):
    """A run of a workflow. Cheap to make, holds nothing open.

    Args:
        run_id: the run's id; a method raises if there is no such run.
        world: where it is; default: as for ``start``, when a method first needs it.
    """

    def __init__(self, run_id: str, world: World | None = None) -> None:
        self.id: RunId = RunId(checked_text("run_id", run_id))
        self.ref: RunRef = RunRef(self.id)
        self._world = None if world is None else checked_world("world", world)

    def __repr__(self) -> str:
        return f"<Run {self.id}>"

    async def info(self) -> RunRecord:
        """The run as its world knows it: workflow, status, times, attributes.

        Raises:
            RunNotFoundError: no such run.
        """
        return await (await self._reach()).storage.get_run(self.id)

    async def exists(self) -> bool:
        """Whether its world has the run."""
        try:
            await self.info()
        except RunNotFoundError:
            return False
        return True

    async def status(self) -> RunStatus:
        """The run's status: pending, running, completed, failed, cancelled, moving or moved."""
        return (await self.info()).status

    async def moved_to(self) -> str | None:
        """The url of the world the run went to from this one; None: it did not."""
        return moved_to(await self.info())

    async def result(self, timeout: float | timedelta | None = None) -> object:
        """Wait until the run ends, and return its result.

        Logs a warning when nothing seems to work on the run. A step that waits here counts
        neither as one of its worker's ``max_steps`` nor its run as one of the ``max_turns``.

        Args:
            timeout: seconds or a ``timedelta``; None waits as long as it takes.

        Raises:
            RunFailedError: it threw; carries the error and the workflow's stack.
            RunCancelledError: it was cancelled.
            RunMovedError: it goes on in another world.
            ValueNotCarriableError: it returned a value that Python has no form for.
            RunTimeoutError: it had not ended in time; it goes on.
        """
        limit = None if timeout is None else checked_timeout("timeout", timeout)
        left_ms = None if limit is None else limit / timedelta(milliseconds=1)
        world = await self._reach()
        if not is_in_step():
            return await self._result(world, limit, left_ms)
        with lent():
            return await self._result(world, limit, left_ms)

    async def _result(self, world: World, limit: timedelta | None, left_ms: float | None) -> object:
        hint, position = "", None
        while True:
            slice_ms = _SLICE_MS if left_ms is None else max(0, min(_SLICE_MS, int(left_ms)))
            outcome = await self._wait_outcome(world, slice_ms)
            if outcome is not None:
                return await _unwrap(self.id, outcome)
            pause = _SECOND_LOOK if left_ms is None else min(_SECOND_LOOK, left_ms / 1000)
            hint, position = await self._warn(world, hint, position, pause=pause)
            if left_ms is not None:
                left_ms -= slice_ms
                if left_ms <= 0 and limit is not None:
                    raise RunTimeoutError(self.id, timeout=limit, hint=hint)

    async def cancel(
        self,
        reason: str | None = None,
        *,
        graceful: float | timedelta | None = None,
        children: Literal["cancel", "leave"] = "leave",
    ) -> None:
        """End the run as cancelled, at once or within a time.

        At once: no more of the workflow's code runs. With *graceful* all that it awaits is rejected
        with ``RunCancelledError``, and its ``catch`` and ``finally`` may run steps. When it lets
        that error through, or its time is over, it is cancelled; it may also complete, or fail.
        This returns once the request is durable; asking again changes nothing.

        Steps that wait for a worker never run. Bodies that are running are told
        (``cancellable=True``, ``stop_event()``) and else finish; their results are dropped.
        Cancelling a cancelled run again is fine.

        Args:
            reason: a text that is kept with the run; ``RunCancelledError.reason`` has it. At most
                512 characters.
            graceful: seconds or a ``timedelta`` that the run has to end by itself; None: none.
            children: ``"cancel"`` does the same to the runs that its workflow started, and to
                theirs, in the same write; ``"leave"`` lets them go on. Those that a step started
                have the attribute ``$parentRunId``, by which ``cancel_runs`` finds them.

        Raises:
            RunEndedError: it completed or failed before.
            RunMovedError: it goes on in another world.
        """
        from .cancellation import cancel_run, checked_children, checked_graceful, checked_reason

        text, span, reaches = (
            checked_reason(reason),
            checked_graceful(graceful),
            checked_children(children),
        )
        await cancel_run(await self._reach(), self.id, text, graceful=span, children=reaches)

    async def wake(self, ids: Iterable[str] | None = None) -> int:
        """End sleeps of the run before their time, and return how many this call ended.

        The workflow goes on as if each were over, at the time that it is now. A sleep whose time
        comes meanwhile ends once, and counts for nobody.

        Args:
            ids: those of the waits to end, as in ``perdure inspect``; None ends all that are open.

        Raises:
            RunNotFoundError: no such run.
            RunMovedError: it goes on in another world.
            UsageError: one of *ids* is no wait of the run.
        """
        from .waits import end_waits

        return await end_waits(await self._reach(), self.id, ids)

    async def events(self, *, after: int = 0) -> AsyncIterator[LoggedEvent]:
        """The log so far, in order, from the position above *after*."""
        checked_position("after", after)
        world = await self._reach()
        while page := await world.storage.read_events(self.id, after=after, limit=_PAGE):
            for logged in page:
                yield logged
            after = page[-1].position

    async def hooks(self) -> tuple[Hook, ...]:
        """The hooks that it can be resumed by now, in the order in which it created them.

        Reads all of its log.

        Raises:
            RunNotFoundError: no such run.
        """
        from .hooks import hooks_of_run

        return await hooks_of_run(await self._reach(), self.id)

    def readable(self, namespace: str | None = None, *, start: int = 0) -> Readable[object]:
        """Read the chunks of the run's stream: ``async for``, also while steps write them.

        It ends with the stream's close, or with the run's end.

        Args:
            namespace: of the stream; None is the default one.
            start: the first chunk's index; below 0 it counts from the end, at the first read.
        """
        from .streams.names import stream_name
        from .streams.readable import Readable

        stream = Stream(self.id, stream_name(namespace))
        return Readable(stream, start, world=self._world)

    def readable_bytes(self, namespace: str | None = None, *, start: int = 0) -> Readable[bytes]:
        """As ``readable``, of bytes: a text is UTF-8.

        Reading raises ``StreamNotBytesError`` at any other value, and ``StreamRewoundError`` where
        a step ran again and wrote something else: the chunks read before do not count then.

        Args:
            namespace: as of ``readable``.
            start: likewise.
        """
        from .streams.names import stream_name
        from .streams.readable import Readable

        stream = Stream(self.id, stream_name(namespace))
        return Readable(stream, start, world=self._world, only_bytes=True)

    def writable(self, namespace: str | None = None) -> Writable:
        """Write to the run's stream, from anywhere; within a step as that step.

        Args:
            namespace: of the stream; None is the default one.
        """
        from .streams.names import stream_name
        from .streams.writable import Writable

        return Writable(Stream(self.id, stream_name(namespace)), world=self._world)

    async def streams(self) -> tuple[StreamInfo, ...]:
        """The run's streams: name, chunks, and whether each is closed; ``log`` is its console.

        Raises:
            RunNotFoundError: no such run.
        """
        return await (await self._reach()).streams.list_streams(self.id)

    async def log_lines(self, *, start: int = 0) -> tuple[str, ...]:
        """The lines that the workflow wrote to the console so far.

        Args:
            start: the first line's number; below 0 it counts from the end.
        """
        checked_position("start", start)
        world = await self._reach()
        lines: list[str] = []
        while True:
            page = await world.streams.read(self.id, "log", start=start, limit=_LINES)
            lines += [chunk.decode("utf-8", "replace") for chunk in page.chunks]
            if page.done or not page.chunks:
                return tuple(lines)
            start = page.start + len(page.chunks)

    async def _wait_outcome(self, world: World, wait_ms: int) -> RunOutcome | RunRecord | None:
        """How the run ended; told by the worker beside us if it is carried there."""
        storage, worker = world.storage, workers.get(world)
        if worker is None:
            return _ended(await storage.wait_ended(self.id, wait_ms=wait_ms))
        listener = Listener(worker.patience)
        is_carried = worker.watch(self.id, listener)
        try:
            if is_carried:
                soon_ms = min(wait_ms, _SOON_MS)
                await listener.wait(seconds=soon_ms / 1000)
                wait_ms -= soon_ms
            if listener.outcome is not None:
                return listener.outcome
            # Others may end it, too: from now on whoever is faster tells.
            record: RunRecord | None = None
            with anyio.CancelScope() as scope, listener.cutting_short(scope):
                record = await storage.wait_ended(self.id, wait_ms=wait_ms)
        finally:
            worker.unwatch(self.id, listener)
        return listener.outcome if record is None else _ended(record)

    async def _reach(self) -> World:
        self._world = await meant_world(self._world)
        return self._world

    async def _warn(
        self, world: World, before: str, last: int | None, *, pause: float
    ) -> tuple[str, int]:
        """Why nothing works on the run, told if that is not *before*; and where its log ends.

        A log that has grown beyond *last* is reason enough not to look: that reads all of it.
        """
        from .inspect.hints import why_waiting

        record = await self.info()
        if last is not None and record.position > last:
            return "", record.position
        hint = await why_waiting(world, record)
        if hint and hint != before:
            await anyio.sleep(pause)
            again = await self.info()
            if again.position != record.position or hint != await why_waiting(world, again):
                return "", again.position
            _log.warning("run %s: %s", self.id, hint, extra=of_run(self.id))
        return hint, record.position


def _ended(record: RunRecord) -> RunRecord | None:
    return record if record.status.is_ended else None


async def _unwrap(run_id: RunId, end: RunOutcome | RunRecord) -> object:
    if end.status is RunStatus.FAILED:
        raise await failure_of(run_id, end)
    value: Any = None
    if end.payload is not None:
        is_small = len(end.payload) <= SMALL_BYTES
        value = decode(end.payload) if is_small else await decode_aside(end.payload, _same)
    if end.status is RunStatus.COMPLETED:
        return value
    if end.status in (RunStatus.MOVING, RunStatus.MOVED):
        arrived = end.status is RunStatus.MOVED
        to = value if isinstance(value, str) else "(a url that cannot be read)"
        raise RunMovedError(run_id, to=to, arrived=arrived)
    raise RunCancelledError(run_id, reason=value if isinstance(value, str) else None)


async def failure_of(run_id: RunId, end: RunOutcome | RunRecord) -> RunFailedError:
    """The error that a failed run's result raises."""
    error = await _failure(end.payload)
    stack = error.stack if isinstance(error, GuestError) else ""
    return RunFailedError(run_id, error=error, stack=stack, code=end.code)


async def _failure(payload: bytes | None) -> object:
    """A run's error; one that Python has no form for is the error of reading it."""
    try:
        return None if payload is None else await decode_aside(payload, _same)
    except (ProtocolError, ValueNotCarriableError) as exc:
        return GuestError(name=type(exc).__name__, message=f"the value that was thrown: {exc}")


def _same(value: object) -> object:
    return value


def get_run(run_id: str | RunRef, world: World | None = None) -> Run:
    """A handle on a run by its id. Does not look whether there is one; its methods do.

    Args:
        run_id: ``Run.id`` of a run that was started anywhere, or what a workflow passed on.
        world: default: as for ``start``, when a method first needs it.
    """
    return Run(run_id.run_id if isinstance(run_id, RunRef) else run_id, world)
