"""Each world beside the others: commits, the queue, sequential steps, children, requests to S3.

    python benchmarks/bench_worlds.py [WORLD …] [--seconds 2] [--driver pymongo] [--delay-ms 40]

Servers are real, started here, and share the machine with their client. A commit is that of a
sequential step: the last result, the next step's two events, its message sent leased, the last
one's ended, a snapshot of 1.5 KB. MongoDB's floor is the same work by hand (``by_hand.py``).
``--delay-ms`` adds so much, ± a quarter, to each S3 request. Prints a JSON line for each figure,
then a table; asserts nothing about time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import anyio
from by_hand import hand_commits, hand_steps  # type: ignore[import-not-found]  # beside this file
from machine import fdatasync_us  # type: ignore[import-not-found]  # beside this file

from perdure import Worker, Workflow, start, step
from perdure.abc import Capability, World
from perdure.model import (
    Digest,
    EntityId,
    Event,
    EventType,
    LeaseEnd,
    NewMessage,
    NewRun,
    RunId,
    Snapshot,
    TurnCommit,
)
from perdure.worlds import make_world
from perdure_mongodb.testing import replica_set
from perdure_s3 import S3World
from perdure_s3.testing import KEYS, running_seaweed

WRITERS = (1, 8, 64)
ROUNDS = 60  # of the queue, as far as the time goes
QUEUE_S = 15.0
STEPS = 300
PAUSE_S = 0.03  # for a claimer to be waiting
SOURCE = """
import { add } from "python:bench";
export async function seq(n: number): Promise<number> {
  "use workflow";
  let total = 0;
  for (let i = 0; i < n; i++) total = await add(total, 1);
  return total;
}
"""
CHILDREN = 100
FAMILY = """
import { start } from "workflow/api";
export async function child(n: number): Promise<number> {
  "use workflow";
  return n + 1;
}
export async function line(n: number): Promise<number> {
  "use workflow";
  let total = 0;
  for (let i = 0; i < n; i++) total = await (await start(child, [total])).returnValue;
  return total;
}
export async function fan(n: number): Promise<number> {
  "use workflow";
  const runs = await Promise.all(Array.from({ length: n }, (_, i) => start(child, [i])));
  return (await Promise.all(runs.map((run) => run.returnValue))).length;
}
"""
Once: TypeAlias = Callable[[], Awaitable[None]]


@step(name="bench:add")
async def add(a: int, b: int) -> int:
    """The empty step."""
    return a + b


@dataclass(slots=True)
class Table:
    """Figures by what they are and whose."""

    rows: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])

    def put(self, who: str, figure: str, value: float) -> None:
        """Note a figure, and print it."""
        line = {"who": who, "figure": figure, "value": round(value, 3)}
        print(json.dumps(line), flush=True)
        self.rows.setdefault(figure, {})[who] = value

    def __str__(self) -> str:
        names = list(dict.fromkeys(who for row in self.rows.values() for who in row))
        lines = [f"| figure | {' | '.join(names)} |", "| --- |" + " --- |" * len(names)]
        for figure, row in self.rows.items():
            shown = (_shown(row[who]) if who in row else "–" for who in names)
            lines.append(f"| {figure} | {' | '.join(shown)} |")
        return "\n".join(lines)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


# --- commits --------------------------------------------------------------------------------------


def event(kind: EventType, entity: EntityId, ending: str, payload: bytes | None) -> Event:
    return Event(type=kind, key=f"{entity}/{ending}", at_ms=1, entity=entity, payload=payload)


def new_run(name: str, now_ms: int) -> NewRun:
    return NewRun(
        run_id=RunId(name),
        workflow="bench",
        bundle=Digest("b" * 64),
        engine=Digest("e" * 64),
        input=b"\x80",
        created_at_ms=now_ms,
    )


async def stepping(world: World, name: str) -> Once:
    """A run of its own; each call commits its next sequential step."""
    await world.storage.create_run(new_run(name, world.now_ms()))
    turn, position = 0, 1
    lease: LeaseEnd | None = None

    async def once() -> None:
        nonlocal turn, position, lease
        entity, last = EntityId(f"step_{turn + 1}"), EntityId(f"step_{turn}")
        result = (event(EventType.STEP_COMPLETED, last, "end", b"r" * 40),) if turn else ()
        message = NewMessage(
            message_id=f"{name}/{entity}",
            run_id=RunId(name),
            topic="default/step",
            body=b"m" * 120,
            due_ms=1,
            lease_ms=60_000,
        )
        commit = TurnCommit(
            run_id=RunId(name),
            commit_id=f"{name}/{turn}",
            turn=turn,
            expected_position=position,
            consumed=position + len(result),
            log_digest=os.urandom(32),
            deliveries=result,
            events=(
                event(EventType.STEP_CREATED, entity, "created", b"a" * 40),
                event(EventType.STEP_STARTED, entity, "start/1", None),
            ),
            snapshot=Snapshot(
                turn=turn + 1, parent_turn=None, consumed=position, data=os.urandom(1500)
            ),
            messages=(message,),
            leases=(lease,) if lease is not None else (),
        )
        done = await world.storage.commit(commit)
        turn, position, lease = done.turn, done.position, LeaseEnd(lease=done.leases[0])

    return once


async def repeated(makers: list[Once], seconds: float) -> tuple[float, float]:
    """Median in ms, and calls a second, of these at once, each one after another."""
    took: list[float] = []
    for once in makers:
        await once()
    began = time.perf_counter()

    async def repeat(once: Once) -> None:
        while time.perf_counter() < began + seconds:
            before = time.perf_counter()
            await once()
            took.append(time.perf_counter() - before)

    async with anyio.create_task_group() as group:
        for once in makers:
            group.start_soon(repeat, once)
    return statistics.median(took) * 1000, len(took) / (time.perf_counter() - began)


async def commits(
    table: Table, who: str, make: Callable[[str], Awaitable[Once]], seconds: float
) -> None:
    """Commit latency and throughput."""
    for writers in WRITERS:
        makers = [await make(f"run_{writers}_{n}") for n in range(writers)]
        p50, rate = await repeated(makers, seconds)
        table.put(who, f"commit p50 ms, {writers} at once", p50)
        table.put(who, f"commits/s, {writers} at once", rate)


# --- the queue ------------------------------------------------------------------------------------


async def latency(wait: Callable[[], Awaitable[object]], act: Once) -> float:
    """Seconds from *act* to the claim that waits for it."""
    heard: list[float] = []
    began = time.perf_counter()

    async def waiting() -> None:
        assert await wait(), "nothing was claimed"
        heard.append(time.perf_counter())

    async with anyio.create_task_group() as group:
        group.start_soon(waiting)
        await anyio.sleep(PAUSE_S)
        began = time.perf_counter()
        await act()
    return heard[0] - began


async def queue(table: Table, who: str, sender: World, claimer: World, where: str) -> None:
    """From ``send``, and from ``wake``, to a claim that waits."""
    name = RunId(f"queue {where}".strip().replace(" ", "_"))
    await sender.storage.create_run(new_run(name, sender.now_ms()))
    (claim,) = await claimer.queue.claim_wakes(limit=1, visibility_ms=60_000, wait_ms=20_000)
    sent: list[float] = []
    woken: list[float] = []
    until = time.perf_counter() + QUEUE_S
    for n in range(ROUNDS):
        if time.perf_counter() > until:
            break
        end = LeaseEnd(lease=claim.lease, generation=claim.generation)
        await claimer.queue.finish(end)
        message = NewMessage(message_id=f"{name}/{n}", run_id=name, topic=name, body=b"", due_ms=0)
        messages = partial(claimer.queue.claim_messages, [name], limit=1)
        got = await latency(
            partial(messages, visibility_ms=60_000, wait_ms=20_000),
            partial(sender.queue.send, [message]),
        )
        claims: list[Any] = []

        async def wakes(claims: list[Any] = claims) -> bool:
            claims += await claimer.queue.claim_wakes(limit=1, visibility_ms=60_000, wait_ms=20_000)
            return bool(claims)

        seen = await latency(wakes, partial(sender.queue.wake, name, due_ms=0))
        sent.append(got)
        woken.append(seen)
        (claim,) = claims
    await claimer.queue.finish(LeaseEnd(lease=claim.lease, generation=claim.generation))
    table.put(who, f"send to claim{where} p50 ms", statistics.median(sent) * 1000)
    table.put(who, f"wake to claim{where} p50 ms", statistics.median(woken) * 1000)


# --- steps ----------------------------------------------------------------------------------------


async def steps(table: Table, who: str, world: World) -> None:
    """Sequential inline steps through a worker, and what they ask of S3."""
    made, rates = Workflow.from_source(SOURCE, name="seq"), list[float]()
    async with Worker(world, steps=[add]):
        await (await start(made, [5], world=world)).result()
        before = world.statistics()
        for _ in range(3):
            began = time.perf_counter()
            await (await start(made, [STEPS], world=world)).result()
            rates.append(STEPS / (time.perf_counter() - began))
        await world.settle()
        after = world.statistics()
    table.put(who, "sequential steps/s", statistics.median(rates))
    requests(table, who, "step", before, after, 3 * STEPS)


def requests(
    table: Table, who: str, of: str, before: dict[str, int], after: dict[str, int], count: int
) -> None:
    """The requests to S3 for each of so many."""
    for verb in ("PUT", "GET", "DELETE", "LIST"):
        if verb in after:
            table.put(who, f"{verb} a {of}", (after[verb] - before[verb]) / count)


async def children(table: Table, who: str, world: World) -> None:
    """From a child's start to its result in the parent, one after another and all at once."""
    line, fan = (Workflow.from_source(FAMILY, name=name) for name in ("line", "fan"))
    async with Worker(world):
        await (await start(line, [5], world=world)).result()
        before = world.statistics()
        began = time.perf_counter()
        await (await start(line, [CHILDREN], world=world)).result()
        took = time.perf_counter() - began
        await world.settle()
        after = world.statistics()
        began = time.perf_counter()
        await (await start(fan, [CHILDREN], world=world)).result()
        rate = CHILDREN / (time.perf_counter() - began)
    table.put(who, "child start to result ms", took * 1000 / CHILDREN)
    table.put(who, f"children/s, {CHILDREN} at once", rate)
    requests(table, who, "child", before, after, CHILDREN)


# --- worlds ---------------------------------------------------------------------------------------


class Far:
    """A client whose requests take longer."""

    def __init__(self, inner: Any, delay_ms: float) -> None:
        self._inner = inner
        self._delay_ms = delay_ms

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._inner, name)

        async def late(**named: Any) -> Any:
            await anyio.sleep(self._delay_ms * random.uniform(0.75, 1.25) / 1000)
            return await call(**named)

        return late


def opened(url: str, delay_ms: float) -> World:
    """A world, not opened; its requests to S3 take *delay_ms* longer."""
    world = make_world(url)
    if isinstance(world, S3World) and delay_ms:

        def far(client: Any) -> Any:
            return Far(client, delay_ms)

        world._handle.wrap = far
    return world


async def measure(table: Table, who: str, url: Callable[[], str], given: Any) -> None:
    """All figures of one world."""
    delay_ms = given.delay_ms
    async with opened(url(), delay_ms) as world:
        await commits(table, who, partial(stepping, world), given.seconds)
    where = url()
    async with opened(where, delay_ms) as world:
        await queue(table, who, world, world, "")
        if Capability.SHARED in world.capabilities:
            # MongoDB's worlds share a client in one process, but only where URLs are alike.
            apart = f"{where}&retryReads=true" if who == "mongodb" else where
            async with opened(apart, delay_ms) as other:
                await queue(table, who, other, world, " elsewhere")
    async with opened(url(), delay_ms) as world:
        await steps(table, who, world)
    async with opened(url(), delay_ms) as world:
        await children(table, who, world)


async def floor(table: Table, address: str, driver: str, seconds: float) -> None:
    """The same work done by hand."""
    who = "mongodb by hand"
    await commits(table, who, partial(hand_commits, address, driver), seconds)
    once = await hand_steps(address, driver, "steps")
    _, rate = await repeated([once], seconds)
    table.put(who, "sequential steps/s", rate)


async def warm_up(address: str, driver: str) -> None:
    """A server that has just been started is slow for seconds: let neither side have that."""
    await repeated([await hand_commits(address, driver, "warm")], 4.0)


@contextmanager
def seaweed(folder: Path) -> Generator[str, None, None]:
    os.environ.update(KEYS)
    with running_seaweed(folder) as server:
        yield server.url().replace("?", "-{n}?")


def run(table: Table, name: str, folder: Path, given: Any) -> None:
    """Measure one world, and what it is compared with."""
    numbers = itertools.count()

    def each(url: str) -> Callable[[], str]:
        return lambda: url.replace("{n}", str(next(numbers)))

    if name == "mongodb":
        with replica_set(folder) as (server,):
            url = f"{server.url('bench{n}')}&driver={given.driver}"
            anyio.run(warm_up, server.address, given.driver)
            anyio.run(measure, table, name, each(url), given)
            anyio.run(floor, table, server.address, given.driver, given.seconds)
    elif name == "s3":
        with seaweed(folder) as url:
            anyio.run(measure, table, name, each(url), given)
    else:
        url = {"memory": "memory://bench{n}", "sqlite": f"sqlite:///{folder}/{{n}}.db"}[name]
        anyio.run(measure, table, name, each(url), given)


def main() -> None:
    """Measure, and print."""
    names = ("memory", "sqlite", "mongodb", "s3")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("worlds", nargs="*", metavar="WORLD", help=", ".join(names))
    parser.add_argument("--seconds", type=float, default=2.0, help="of commits, each time")
    parser.add_argument("--driver", choices=("motor", "pymongo"), default="motor")
    parser.add_argument("--delay-ms", type=float, default=0)
    parser.add_argument("--folder", default=".", help="where the files go: a disk, not a tmpfs")
    given = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    table = Table()
    folder = Path(tempfile.mkdtemp(dir=str(given.folder))).absolute()
    try:
        table.put("machine", "fdatasync us, file grows", fdatasync_us(folder, grow=True))
        table.put("machine", "fdatasync us, file does not", fdatasync_us(folder, grow=False))
        machine, table.rows = table.rows, {}
        for name in given.worlds or names:
            (folder / name).mkdir()
            run(table, name, folder / name, given)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{table}\n", *(f"\n{figure}: {row['machine']:.0f}" for figure, row in machine.items()))


if __name__ == "__main__":
    main()
