"""Processes: real ones that open the same store at once, and die.

Each opens the world by its URL, or by the opener that the candidate's author names. The answers
they get are checked as one history; acknowledged writes must outlive a kill.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, final

import anyio
import anyio.to_thread

from ..._model.commit import Append
from ..._model.events import EventType
from ..._model.ids import RunId
from ..._model.queue import NewMessage
from ...abc import Capability, World
from ...errors import PerdureError, RunNotFoundError
from ...worldkit.clock import SystemClock
from ._case import Case, event_of, expect, named, new_run
from ._clients import CONTRACTS, prepare, run_client, wins_turn
from ._histories import check_history
from ._nursery import Nursery
from ._wire import decode, encode

__all__ = ("PROCESSES", "NotOpened", "Process", "start_process")

CLIENTS, CALLS = 3, 5  # two of them in smoke
FREED_MS = 1000  # what the contract promises of a dead owner's claims
SLACK_MS = 2000  # for a busy machine
LINE_BYTES = 1 << 26
START_S, ANSWER_S, ENDING_S = 60, 60, 10


class NotOpened(Exception):
    """Another process could not open the world; says why."""


@final
class Process:
    """Another process with the world open."""

    def __init__(
        self,
        nursery: Nursery,
        pid: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._nursery = nursery
        self._pid = pid
        self._reader = reader
        self._writer = writer
        self._is_gone = False

    async def say(self, name: str, *args: Any) -> None:
        """Tell it to do something."""
        await self._send((name, args))

    async def hear(self) -> Any:
        """Its next answer.

        Raises:
            AssertionError: it died of an error.
        """
        with anyio.fail_after(ANSWER_S):
            line = await self._reader.readline()
        if not line:
            raise AssertionError("a process that shares the store died; its error is on stderr")
        return decode(line)

    async def ask(self, name: str, *args: Any) -> Any:
        """Tell it, and its answer."""
        await self.say(name, *args)
        return await self.hear()

    async def kill(self) -> None:
        """Kill it outright; returns when it is gone."""
        if not self._is_gone:
            self._is_gone = True
            await anyio.to_thread.run_sync(self._nursery.kill, self._pid)
        self._writer.close()

    async def _send(self, value: Any) -> None:
        self._writer.write(encode(value))
        await self._writer.drain()

    async def start(self, opener: str, url: str) -> None:
        """Have it open the world.

        Raises:
            NotOpened: it could not.
        """
        await self._send({"opener": opener, "url": url, "path": sys.path})
        with anyio.fail_after(START_S):
            state, what = await self.hear()
        if state != "open":
            raise NotOpened(what)

    async def end(self) -> None:
        """Let it close the world and go."""
        if not self._is_gone:
            self._writer.write_eof()
            with anyio.move_on_after(ENDING_S):
                await self._reader.read()
        await self.kill()


@asynccontextmanager
async def start_process(case: Case, world: World) -> AsyncGenerator[Process, None]:
    """Another process, with the same store open.

    Raises:
        NotOpened: it cannot open it.
    """
    url = getattr(case.make, "url", world.url)
    pid, line = await anyio.to_thread.run_sync(case.nursery.fork, case.opener, url)
    reader, writer = await asyncio.open_connection(sock=line, limit=LINE_BYTES)
    process = Process(case.nursery, pid, reader, writer)
    try:
        await process.start(case.opener, url)
        yield process
    finally:
        with anyio.CancelScope(shield=True):
            await process.end()


async def sees(world: World, run_id: str) -> bool:
    """Whether the run is there."""
    try:
        await world.storage.get_run(RunId(run_id))
    except RunNotFoundError:
        return False
    return True


async def processes_share_a_store(case: Case) -> None:
    """Declared: several processes' answers are one history. Not declared: they do not share.

    This process is one of them, for it is there already.
    """
    async with case.open() as world:
        if Capability.SHARED not in world.capabilities:
            await _are_not_shared(case, world)
            return
        clients = CLIENTS if case.thorough else 2
        rounds = 8 if case.thorough else 1
        async with AsyncExitStack() as stack:
            opened = [stack.enter_async_context(_started(case, world)) for _ in range(clients - 1)]
            outcomes = await asyncio.gather(*opened, return_exceptions=True)
            processes = [_or_raise(process) for process in outcomes]
            await _share_turns(world, processes, 20 if case.thorough else 4)
            for n in range(rounds):
                for contract in CONTRACTS:
                    await _round(world, processes, contract, f"run_{contract}_{n}", case.seed + n)
        case.notes.append(f"{rounds * len(CONTRACTS)} histories of {clients} processes")


def _or_raise(outcome: Process | BaseException) -> Process:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


@asynccontextmanager
async def _started(case: Case, world: World) -> AsyncGenerator[Process, None]:
    async with AsyncExitStack() as stack:
        try:
            process = await stack.enter_async_context(start_process(case, world))
        except NotOpened as error:
            raise AssertionError(_unopened(Capability.SHARED, error)) from None
        yield process


def _unopened(declared: Capability, error: NotOpened) -> str:
    return (
        f"{declared} is declared, but another process cannot open the store: {error}. If it needs "
        "more than the world's url, give `opener`, or the storage's make a `url`."
    )


async def _share_turns(world: World, processes: list[Process], turns: int) -> None:
    """Every process commits every turn, one after the other or all at once; one lands."""
    await prepare(world, "run_turns")
    mine = len(processes)
    for turn in range(turns):
        wins = list[bool]()
        at_once = turn % 2 == 1
        for number, process in enumerate(processes):
            await process.say("commit", "run_turns", turn, number)
            if not at_once:
                wins.append(await process.hear())
        wins.append(await wins_turn(world, "run_turns", turn, mine))
        if at_once:
            wins += [await process.hear() for process in processes]
        expect(sum(wins) == 1, "one process's commit wins each turn number")
    await _end(world, "run_turns")


async def _end(world: World, run_id: str) -> None:
    """Its wake is in nobody's way then."""
    end = event_of("run/ended", EventType.RUN_CANCELLED)
    await world.storage.append(Append(run_id=RunId(run_id), event=end, wake=False))


async def _round(
    world: World, processes: list[Process], contract: str, run_id: str, seed: int
) -> None:
    await prepare(world, run_id)
    for number, process in enumerate(processes):
        await process.say("history", contract, run_id, number, seed, CALLS)
    mine = len(processes)
    history = await run_client(world, contract, run_id, mine, seed=seed, calls=CALLS, paced=False)
    for process in processes:
        history += await process.hear()
    await check_history(history, run_id, times=False, seed=seed)
    await _end(world, run_id)


async def _are_not_shared(case: Case, world: World) -> None:
    await world.storage.create_run(new_run("run_here"))
    try:
        async with start_process(case, world) as process:
            await process.ask("create", "run_there")
            shared = await sees(world, "run_there")
    except (NotOpened, AssertionError):
        return
    expect(not shared, f"{Capability.SHARED} works; it has to be declared")


async def what_was_acknowledged_outlives_a_kill(case: Case) -> None:
    """Declared: a process that is killed while it writes loses nothing that it was told of."""
    world = case.make(SystemClock())
    durable = Capability.DURABLE in world.capabilities
    try:
        async with start_process(case, world) as process:
            await process.say("write", "run_")
            run_ids = [await process.hear() for _ in range(20 if case.thorough else 8)]
            await process.kill()
    except NotOpened as error:
        expect(not durable, _unopened(Capability.DURABLE, error))
        return
    async with world:
        landings = [await _landed(world, run_id) for run_id in run_ids]
    if durable:
        expect(all(landings), "what was acknowledged outlives the process")
    else:
        expect(not all(landings), f"{Capability.DURABLE} works; it has to be declared")


async def _landed(world: World, run_id: str) -> bool:
    try:
        return (await world.storage.get_run(RunId(run_id))).turn == 1
    except PerdureError:
        return False


async def a_dead_owners_claims(case: Case) -> None:
    """Declared: they are free within a second. Not declared: only when they run out."""
    async with case.open() as world:
        if Capability.SHARED not in world.capabilities:
            return
        declared = Capability.OWNER_DEATH in world.capabilities
        await world.storage.create_run(new_run())
        message = NewMessage(
            message_id="run_a/m", run_id=RunId("run_a"), topic="t", body=b"", due_ms=0
        )
        await world.queue.send([message])
        await world.settle()
        async with _started(case, world) as process:
            counts = await process.ask("hold", "t")
            expect(counts == (1, 1), "another process claims what is due")
            await process.kill()
        freed_ms = await _freed(world, (FREED_MS + SLACK_MS) if declared else FREED_MS)
    if declared:
        expect(freed_ms is not None, "a dead process's claims are freed within a second")
        case.notes.append(f"freed after {freed_ms} ms")
    else:
        expect(freed_ms is None, f"{Capability.OWNER_DEATH} works; it has to be declared")


async def _freed(world: World, wait_ms: int) -> int | None:
    """After how long both could be claimed again; None: not by then."""
    began, queue = time.monotonic(), world.queue
    wakes = await queue.claim_wakes(limit=1, visibility_ms=1000, wait_ms=wait_ms)
    rest_ms = max(0, wait_ms - int((time.monotonic() - began) * 1000))
    messages = await queue.claim_messages(["t"], limit=1, visibility_ms=1000, wait_ms=rest_ms)
    return int((time.monotonic() - began) * 1000) if wakes and messages else None


PROCESSES = named(
    processes_share_a_store, what_was_acknowledged_outlives_a_kill, a_dead_owners_claims
)
