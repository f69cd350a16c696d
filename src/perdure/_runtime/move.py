"""Move: a run goes from one world to another, step by step, each of which can be repeated.

First everything that the run needs is put into the target, and obstacles there are looked for.
Then it departs, which is the moment it moves: from then on the source works on it no more.
Then it arrives, at once and whole, and the source notes that. Cut short anywhere, the same call
again takes it from there; until it has arrived, all of it is in the source.
"""

from __future__ import annotations

import logging
from datetime import timedelta

import anyio

from .._core.fold import fold
from .._core.transfer import check_here, moved_to, remains_of
from .._core.transitions import EntityKind
from .._model.ids import RunId
from .._model.runs import RunRecord, RunStatus
from .._model.transfer import Departure, RunCopy, StreamCopy
from ..abc import Capability, World
from ..errors import (
    BlobNotFoundError,
    BundleMissingError,
    EngineMissingError,
    HookNotFoundError,
    HookTokenHeldError,
    RunBusyError,
    RunEndedError,
    RunExistsError,
    RunNotFoundError,
    StreamClosedError,
    StreamFencedError,
    UsageError,
)
from .arguments import checked_text, checked_timeout, checked_world
from .inspect.inspection import read_log
from .log_fields import of_run
from .run import Run

__all__ = ("bring_back", "keep_here", "move_run")

_log = logging.getLogger("perdure")
_FIRST_LOOK = 0.01  # seconds between looks whether the run's steps are done; they grow
_LAST_LOOK = 0.25


async def move_run(
    run_id: str,
    source: World,
    target: World,
    *,
    timeout: float | timedelta = 30.0,
    lose_claims: bool = False,
) -> Run:
    """Move a run that has not ended to another world, where it goes on. Returns it there.

    Its log, positions, times, attempts, snapshots, streams, bundle, engine, waits and hooks go with
    it. In the source it stays as ``moved``, and says where it went. It can be called again after a
    failure at any moment, with the same worlds, and completes the move; until then the run is whole
    in one of them and no worker works on it in the other. A run may come back: its remains in
    *target*, from when it moved on from there, are deleted.

    Args:
        run_id: which run.
        source: where it is; open.
        target: where it is to go; open. Workers there need its steps, and the same snapshot key.
        timeout: how long to wait for steps that are running, in seconds or a ``timedelta``.
        lose_claims: have steps that are running count as lost claims instead, as if their worker
            had died: they run again in the target, within their retries.

    Raises:
        RunNotFoundError: the source has no such run.
        RunEndedError: it has ended; there is nothing to go on with.
        RunMovedError: it went to another world than *target*.
        RunBusyError: its steps were running all the time; nothing was changed.
        RunExistsError: the target has another run of this id.
        HookTokenHeldError: another run in the target holds one of its hooks' tokens.
        UsageError: source and target are one world.
    """
    checked_world("source", source)
    checked_world("target", target)
    limit = checked_timeout("timeout", timeout).total_seconds()
    record = await source.storage.get_run(RunId(checked_text("run_id", run_id)))
    if not _is_away(record, target):
        await _check(record, source, target)
    await _bring_code(record, source, target)
    departure = Departure(run_id=record.run_id, to=target.url, lose_claims=lose_claims)
    record = await _depart(source, departure, limit)
    if record.status is RunStatus.MOVING:
        await _arrive(record, source, target)
        await source.transfer.confirm(record.run_id)
    return Run(record.run_id, target)


async def bring_back(
    run_id: str,
    home: World,
    away: World,
    *,
    timeout: float | timedelta = 30.0,
    lose_claims: bool = False,
) -> Run:
    """Have a run in *home* again that moved to *away*, or is on its way there. Returns it.

    A departure is for good, so one that was cut short is completed first. As ``move_run``, it can
    be called again after a failure at any moment.

    Raises:
        PerdureError: as ``move_run`` does.
    """
    record = await _find(home, RunId(run_id))
    if record is not None and moved_to(record) is not None:
        await move_run(run_id, home, away)
    return await move_run(run_id, away, home, timeout=timeout, lose_claims=lose_claims)


async def keep_here(run_id: str, home: World, shelter: World, *, to: str) -> Run:
    """Have a run go on in *home* that was on its way to a world which is gone. Returns it.

    Nothing of it is lost: until it has arrived, all of it is here. The other world is not asked, so
    should it have taken the run in without anybody knowing, and come back, the run lives twice.
    Where it answers, ``bring_back`` is right. As ``move_run``, this can be called again after a
    failure at any moment.

    Args:
        shelter: where the run is, whole, while its remains in *home* make room for it; open,
            durable, without workers, and the same when this is called again.
        to: the url of the world that is gone.

    Raises:
        RunNotFoundError: neither *home* nor *shelter* has it.
        RunMovedError: it arrived in that world, so its later log is not known here; or it went to
            another.
        RunEndedError: it has ended here.
        HookTokenHeldError: another run here holds one of its hooks' tokens.
    """
    record = await _find(home, RunId(run_id))
    if record is not None and record.status is RunStatus.MOVING and moved_to(record) == to:
        await _arrive(record, home, shelter)
    elif await _find(shelter, RunId(run_id)) is None:  # else this has been begun before
        if record is None:
            raise RunNotFoundError(run_id)
        check_here(record)
        if record.status.is_ended:
            raise RunEndedError(run_id, status=record.status)
        return Run(record.run_id, home)
    run = await move_run(run_id, shelter, home)
    await shelter.catalogue.delete_run(RunId(run_id))
    return run


def _is_away(record: RunRecord, target: World) -> bool:
    """Whether it is on its way to *target*, or there."""
    to = moved_to(record)
    if to != target.url:
        check_here(record)
    return to is not None


async def _check(record: RunRecord, source: World, target: World) -> None:
    """Look for obstacles to the run in the target, while nothing is changed yet."""
    shared = Capability.SHARED in source.capabilities
    if source is target or (shared and source.url == target.url):
        raise UsageError(f"run {record.run_id} is in {target.url} already; name another world")
    if record.status.is_ended:
        raise RunEndedError(record.run_id, status=record.status)
    log = await read_log(source, record.run_id)
    there = await _find(target, record.run_id)
    if there is not None and not remains_of(there, log):
        raise RunExistsError(record.run_id, status=there.status)
    for entity in fold(log):
        if entity.kind is not EntityKind.HOOK or entity.state != "live":
            continue
        try:
            holder = await target.storage.get_hook(entity.name)
        except HookNotFoundError:
            continue
        raise HookTokenHeldError(entity.name, run_id=holder.run_id)


async def _find(world: World, run_id: RunId) -> RunRecord | None:
    try:
        return await world.storage.get_run(run_id)
    except RunNotFoundError:
        return None


async def _bring_code(record: RunRecord, source: World, target: World) -> None:
    """Put the run's bundle and engine into the target."""
    missing = {
        record.bundle: BundleMissingError(record.run_id, digest=record.bundle),
        record.engine: EngineMissingError(record.engine),
    }
    for digest, error in missing.items():
        if await target.blobs.has(digest):
            continue
        try:
            data = await source.blobs.get(digest)
        except BlobNotFoundError as exc:
            raise error from exc
        await target.blobs.put(digest, data)


async def _depart(source: World, departure: Departure, limit: float) -> RunRecord:
    until, every = anyio.current_time() + limit, _FIRST_LOOK
    while True:
        try:
            return await source.transfer.depart(departure)
        except RunBusyError:
            rest = until - anyio.current_time()
            if rest <= 0:
                raise
            await anyio.sleep(min(rest, every))
            every = min(_LAST_LOOK, every * 1.5)


async def _arrive(record: RunRecord, source: World, target: World) -> None:
    run_id = record.run_id
    streams = await source.transfer.read_streams(run_id)
    log = await read_log(source, run_id)
    chain = await source.snapshots.load(run_id)
    there = await _find(target, run_id)
    if there is not None and remains_of(there, log):
        await target.transfer.confirm(run_id)  # where it went from there, it has been
        await target.catalogue.delete_run(run_id)
    await target.transfer.arrive(RunCopy(record=record, events=log, chain=chain, streams=streams))
    # The output of the last turn here is written after its commit, so perhaps just now.
    copies = {stream.name: stream for stream in streams}
    for stream in await source.transfer.read_streams(run_id):
        try:
            await _follow(target, run_id, stream, copies.get(stream.name))
        except (StreamClosedError, StreamFencedError) as exc:  # the step runs anew there
            _log.warning(
                "run %s moved while a step of it was still writing: the rest is left out, as %s",
                run_id,
                exc,
                extra=of_run(run_id),
            )


async def _follow(
    target: World, run_id: RunId, stream: StreamCopy, copy: StreamCopy | None
) -> None:
    """Write to the target's stream the chunks that came after the copy was made."""
    start = 0
    for write in stream.writes:
        if copy is None or write not in copy.writes:
            await target.streams.append(
                run_id,
                stream.name,
                stream.chunks[start : write.length],
                writer=write.writer,
                sequence=write.sequence,
                attempt=write.attempt,
            )
        start = write.length
    if stream.closed and (copy is None or not copy.closed):
        await target.streams.close(run_id, stream.name)
