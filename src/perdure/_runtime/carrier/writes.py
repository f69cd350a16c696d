"""Writes: those of a carrier to its world besides the turns that go well.

A write that may have happened is asked for again, under the same id or key, until it is known.
A write of another worker meanwhile is no error here: then there is nothing left to write.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Generator, Iterable
from functools import partial
from operator import length_hint
from typing import TypeVar, final

import anyio

from ..._model.commit import Append, Committed, TurnCommit
from ..._model.ids import RunId
from ..._model.queue import Lease, LeaseEnd, WakeClaim
from ..._model.runs import RunOutcome
from ..._model.snapshot import Snapshot
from ..._protocol.codec import decode
from ..._protocol.show import show
from ..._protocol.weight import SMALL_BYTES
from ...abc import World
from ...errors import (
    GuestError,
    LeaseLostError,
    PerdureError,
    ProtocolError,
    RunEndedError,
    RunNotFoundError,
    StaleTurnError,
    ValueNotCarriableError,
    WorldError,
)
from ..containment import foreign_errors
from ..log_fields import of_run
from ..payloads import do_aside
from .giving_up import failed, failed_commit
from .turn import StepResult, Turn

__all__ = ("GONE", "HAND_BACK", "Writes", "hand_back")

T = TypeVar("T")
GONE = (RunEndedError, RunNotFoundError)  # there is nothing left to write
_log = logging.getLogger("perdure")
_TRIES = 6
_AT_ONCE = 64  # appends; a task for each of thousands would hold the loop while they begin
HAND_BACK = 2.0  # seconds that a worker which is cancelled takes to give its claims back
PAUSE = 0.025  # seconds, doubled at each try


@final
class Writes:
    """The writes of one run."""

    def __init__(self, run_id: RunId, world: World) -> None:
        self._run_id = run_id
        self._world = world

    def __repr__(self) -> str:
        return f"<Writes of {self._run_id}>"

    async def commit(self, commit: TurnCommit) -> Committed:
        """Commit, asking again with the same id while the outcome is unknown."""
        storage = self._world.storage
        return await self._persist(lambda: storage.commit(commit))

    async def append_all(self, results: Iterable[StepResult]) -> None:
        """Write results under their keys; the run is woken by each."""
        rest = iter(tuple(results))

        async def append_some() -> None:
            for result in rest:
                await self._append(result)

        async with anyio.create_task_group() as group:
            for _ in range(min(_AT_ONCE, length_hint(rest))):
                group.start_soon(append_some)

    async def append(self, append: Append) -> None:
        """Write one event under its key, asking again while the outcome is unknown."""
        storage = self._world.storage
        await self._persist(lambda: storage.append(append))

    async def give_back(self, lease: Lease | None, delay_ms: int, *, ran: bool = False) -> None:
        """Give a claim back, to be due again after so long; else it runs out by itself."""
        if lease is None:
            return
        with self._told("a claim was not given back"):
            await self._world.queue.release(lease, delay_ms=delay_ms, ran=ran)

    async def finish(self, claim: WakeClaim, next_due_ms: int | None) -> None:
        """End the claim; the run had nothing to do before *next_due_ms*."""
        end = LeaseEnd(lease=claim.lease, generation=claim.generation, next_due_ms=next_due_ms)
        with contextlib.suppress(LeaseLostError):
            await self._world.queue.finish(end)

    async def save(self, snapshot: Snapshot) -> None:
        """Keep a snapshot by itself; without it only time is lost."""
        with self._told("a snapshot was not saved"):
            await self._world.snapshots.save(self._run_id, snapshot)

    async def fail_run(self, claim: WakeClaim, error: PerdureError) -> RunOutcome | None:
        """End the run with this error, in one write; None if a turn that landed has saved it."""
        try:
            record = await self._world.storage.get_run(self._run_id)
            outcome = failed(error, at_ms=self._world.now_ms())
            await self.commit(failed_commit(record, f"failed/{claim.lease.token}", outcome))
        except (StaleTurnError, *GONE):
            await self.give_back(claim.lease, 0)
            return None
        return outcome

    async def write_console(self, turn: Turn) -> None:
        """Write the turn's console output. It has landed, so a failure here is only logged."""
        streams = self._world.streams
        large = sum(map(len, turn.unhandled)) > SMALL_BYTES
        printed = await do_aside(partial(_printed, turn)) if large else _printed(turn)
        for writer, sequence, lines in printed:
            append = partial(
                streams.append, self._run_id, "log", lines, writer=writer, sequence=sequence
            )
            with self._told(f"{len(lines)} lines of its log were not written"):
                await self._persist(append)

    async def _append(self, result: StepResult) -> None:
        is_new = False
        with self._told(f"{result.event.key} was not written"):
            await self.append(Append(run_id=self._run_id, event=result.event, lease=result.lease))
            is_new = True
        if not is_new:  # the step runs again, unless that was another worker's doing
            await self.give_back(result.lease, 1000, ran=True)

    async def _persist(self, call: Callable[[], Awaitable[T]]) -> T:
        tried = 0
        while True:
            try:
                with foreign_errors(self._world):
                    return await call()
            except WorldError as exc:
                tried += 1
                if not exc.retryable or tried == _TRIES:
                    raise
                _log.warning(
                    "run %s: %s; it is tried again",
                    self._run_id,
                    exc,
                    extra=of_run(self._run_id),
                )
                await anyio.sleep(PAUSE * 2**tried)

    @contextlib.contextmanager
    def _told(self, loss: str) -> Generator[None, None, None]:
        """Within the block an error is logged, and no more: nothing follows from it."""
        try:
            with foreign_errors(self._world):
                yield
        except (LeaseLostError, *GONE) as exc:
            _log.debug("run %s: %s: %s", self._run_id, loss, exc, extra=of_run(self._run_id))
        except Exception as exc:
            trace = None if isinstance(exc, PerdureError) else exc
            _log.warning(
                "run %s: %s: %s",
                self._run_id,
                loss,
                exc,
                exc_info=trace,
                extra=of_run(self._run_id),
            )


async def hand_back(world: World, lease: Lease, *, ran: bool = False) -> None:
    """Give a claim back at once, as its worker ends; it runs out by itself where that fails."""
    try:
        with foreign_errors(world):
            await world.queue.release(lease, ran=ran)
    except Exception as exc:  # above all, of a world that is closed
        _log.debug("%s was not given back: %r", lease.item, exc)


def _printed(turn: Turn) -> list[tuple[str, int, list[bytes]]]:
    """The writes to the run's console: writer, sequence, lines."""
    writes = [
        ("console", output.position, [_line(level, text) for level, text in output.console])
        for output in turn.outputs
        if output.console
    ]
    if turn.unhandled:
        lines = [_line("unhandled rejection", _reason(payload)) for payload in turn.unhandled]
        writes.append(("unhandled", 0, lines))
    return writes


def _reason(payload: bytes) -> str:
    try:
        value = decode(payload)
        return str(value) if isinstance(value, str | GuestError) else show(value)
    except (ProtocolError, ValueNotCarriableError) as exc:  # the run has landed: this is only told
        return str(exc)


def _line(level: str, text: str) -> bytes:
    return (text if level in ("log", "info") else f"[{level}] {text}").encode("utf-8", "replace")
