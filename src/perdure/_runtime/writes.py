"""Writes: what the carrier of a run writes to its world besides the turns that go well.

Whatever a world says may have happened is asked again, under the same id or key, until it is known.
What another worker did meanwhile is no error here: then there is nothing left to write.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TypeVar, final

import anyio

from .._model.commit import Append, Committed, TurnCommit
from .._model.ids import RunId
from .._model.queue import LeaseEnd, WakeClaim
from .._model.runs import RunOutcome
from .._model.snapshot import Snapshot
from .._protocol.codec import decode
from .._protocol.show import show
from .._protocol.weight import SMALL_BYTES
from ..abc import World
from ..errors import (
    GuestError,
    LeaseLostError,
    PerdureError,
    ProtocolError,
    RunEndedError,
    StaleTurnError,
    ValueNotCarriableError,
    WorldError,
)
from .giving_up import failed, failed_commit
from .payloads import do_aside
from .turn_handler import StepResult, Turn

__all__ = ("Writes",)

T = TypeVar("T")
_log = logging.getLogger("perdure")
_TRIES = 6


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
        async with anyio.create_task_group() as group:
            for result in results:
                group.start_soon(self._append, result)

    async def give_back(self, claim: WakeClaim | None, delay_ms: int, *, ran: bool = False) -> None:
        """Give the claim back, to be due again after so long."""
        if claim is None:
            return
        with contextlib.suppress(WorldError):  # lost, or ended, or it runs out by itself
            await self._world.queue.release(claim.lease, delay_ms=delay_ms, ran=ran)

    async def finish(self, claim: WakeClaim, next_due_ms: int | None) -> None:
        """End the claim; the run had nothing to do before *next_due_ms*."""
        end = LeaseEnd(lease=claim.lease, generation=claim.generation, next_due_ms=next_due_ms)
        with contextlib.suppress(LeaseLostError):
            await self._world.queue.finish(end)

    async def save(self, snapshot: Snapshot) -> None:
        """Keep a snapshot by itself; without it only time is lost."""
        with contextlib.suppress(WorldError):
            await self._world.snapshots.save(self._run_id, snapshot)

    async def fail_run(self, claim: WakeClaim, error: PerdureError) -> RunOutcome | None:
        """End the run with this error, in one write; None if a turn that landed has saved it."""
        record = await self._world.storage.get_run(self._run_id)
        outcome = failed(error, at_ms=self._world.now_ms())
        commit = failed_commit(record, f"failed/{claim.lease.token}", outcome)
        try:
            await self.commit(commit)
        except (StaleTurnError, RunEndedError):
            await self.give_back(claim, 0)
            return None
        return outcome

    async def write_console(self, turn: Turn) -> None:
        """Write what the turn printed. It has landed, so a failure here is only told."""
        streams = self._world.streams
        large = sum(map(len, turn.unhandled)) > SMALL_BYTES
        printed = await do_aside(partial(_printed, turn)) if large else _printed(turn)
        for writer, sequence, lines in printed:
            append = partial(
                streams.append, self._run_id, "log", lines, writer=writer, sequence=sequence
            )
            try:
                await self._persist(append)
            except WorldError as exc:
                _log.warning(
                    "run %s: %d lines of its log were not written: %s",
                    self._run_id,
                    len(lines),
                    exc,
                )

    async def _append(self, result: StepResult) -> None:
        storage = self._world.storage
        append = Append(run_id=self._run_id, event=result.event, lease=result.lease)
        try:
            await self._persist(lambda: storage.append(append))
        except (LeaseLostError, RunEndedError) as exc:
            _log.debug("run %s: %s", self._run_id, exc)
        except WorldError as exc:  # its lease runs out, and the step runs again
            _log.warning("run %s: %s: %s", self._run_id, result.event.key, exc)

    async def _persist(self, call: Callable[[], Awaitable[T]]) -> T:
        tried = 0
        while True:
            try:
                return await call()
            except WorldError as exc:
                tried += 1
                if not exc.retryable or tried == _TRIES:
                    raise
                await anyio.sleep(0.025 * 2**tried)


def _printed(turn: Turn) -> list[tuple[str, int, list[bytes]]]:
    """What goes to the run's log: writer, sequence, lines."""
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
