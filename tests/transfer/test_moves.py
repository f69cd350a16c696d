"""A run that is taken from world to world at random moments loses no effect and doubles none."""

from __future__ import annotations

import os
import random
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise, permutations
from typing import cast

import anyio
import pytest

from perdure import Run, Worker, Workflow, move_run, start, step
from perdure._protocol.codec import encode
from perdure._runtime.inspect.audit import verify_run
from perdure._runtime.inspect.inspection import inspect_run, read_log
from perdure._runtime.move import keep_here
from perdure._runtime.steps import AnyStep
from perdure.abc import World
from perdure.errors import (
    HookNotFoundError,
    RunBusyError,
    RunEndedError,
    RunMovedError,
    WorldUnavailableError,
)
from perdure.model import Append, Event, EventType, RunStatus
from perdure.testing.conformance._stores import find_opener
from perdure.testing.faults import Fault, FaultyWorld
from perdure.values import AbortController
from perdure.worlds import make_world

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

FILES = "files_world:FilesWorld"  # an example, not a package
TOURS = 12 if os.environ.get("PERDURE_TIER") == "full" else 1  # of all pairs, of each kind
SOURCE = """
import { effect, goesOn, stop } from "python:moves";
import { createHook, sleep } from "workflow";

export async function tour() {
  "use workflow";
  const hook = createHook<number>({ token: "__TOKEN__" });
  const done: number[] = [];
  const mail: number[] = [];
  const aborts: number[] = [];
  const reader = (async () => {
    for await (const n of hook) {
      mail.push(n);
      if (n < 0) return;
    }
  })();
  for (let i = 0; await goesOn(i); i++) {
    console.log("round", i);
    done.push(await effect(10 * i));
    if (i % 2) await sleep(3 + (i % 3) * 5);
    done.push(...await Promise.all([effect(10 * i + 1), effect(10 * i + 2)]));
    if (i % 3 === 0) await sleep(15);
    const controller = new AbortController(), { signal } = controller;
    signal.addEventListener("abort", () => aborts.push(signal.reason));
    await stop(controller, i);
  }
  await reader;
  return [done, mail, aborts];
}
"""


@dataclass
class Tour:
    """What the steps of one run did."""

    rounds: int = 0
    over: bool = False
    begun: anyio.Event = field(default_factory=anyio.Event)  # of the next round
    bodies: Counter[int] = field(default_factory=Counter[int])

    def steps(self) -> list[AnyStep]:
        """The steps, for every world's worker."""

        @step(name="moves:effect", max_retries=100)
        async def effect(n: int) -> int:
            self.bodies[n] += 1
            await anyio.sleep(0.001 * (n % 4))
            return n

        @step(name="moves:goesOn", max_retries=100)
        async def goes_on(i: int) -> bool:
            if i >= self.rounds:
                self.rounds = i + 1
                self.begun.set()
                self.begun = anyio.Event()
            return not self.over

        @step(name="moves:stop", max_retries=100)
        async def stop(controller: AbortController, i: int) -> None:
            await controller.abort(i)

        return [effect, goes_on, stop]


@asynccontextmanager
async def worlds_at(
    urls: Mapping[str, str], steps: list[AnyStep]
) -> AsyncGenerator[dict[str, tuple[World, Worker]], None]:
    """A world of each kind, each with a worker."""
    name = secrets.token_hex(4)
    async with AsyncExitStack() as stack:
        made: dict[str, tuple[World, Worker]] = {}
        for kind, template in urls.items():
            url = template.replace("{n}", name)
            world: World = find_opener(FILES)(url) if kind == "files" else make_world(url)
            await stack.enter_async_context(world)
            worker = await stack.enter_async_context(Worker(world, steps=steps, snapshot_lag=3))
            made[kind] = (world, worker)
        yield made


def circuit(kinds: list[str], rng: random.Random) -> list[str]:
    """A walk over all ordered pairs of kinds, each once, back to where it began."""
    left = {kind: [other for other in kinds if other != kind] for kind in kinds}
    for others in left.values():
        rng.shuffle(others)
    walk, trail = list[str](), [rng.choice(kinds)]
    while trail:
        if left[trail[-1]]:
            trail.append(left[trail[-1]].pop())
        else:
            walk.append(trail.pop())
    return walk


async def deliver(worlds: Mapping[str, tuple[World, Worker]], token: str, n: int) -> None:
    """Send a payload to the hook, wherever it is; a repeat of one that was lost on the way."""
    key = f"mail/{n}"
    while True:
        for world, _ in worlds.values():
            try:
                hook = await world.storage.get_hook(token)
                event = Event(
                    type=EventType.HOOK_RECEIVED,
                    key=key,
                    at_ms=world.now_ms(),
                    entity=hook.hook_id,
                    payload=encode(n, where="n"),
                )
                await world.storage.append(Append(run_id=hook.run_id, event=event))
                return
            except (HookNotFoundError, RunEndedError):
                continue
        await anyio.sleep(0.002)


async def move(run: Run, source: World, target: World, *, lose_claims: bool) -> Run:
    """Move it, and take away what it has left: it may come again."""
    there = await move_run(run.id, source, target, timeout=20, lose_claims=lose_claims)
    assert (await run.status()) is RunStatus.MOVED
    assert (await run.moved_to()) == target.url
    with pytest.raises(RunMovedError, match="moved to"):
        await run.result()
    await source.catalogue.delete_run(run.id)
    return there


@pytest.mark.parametrize("lose_claims", [False, True], ids=["waits", "loses claims"])
async def test_a_run_goes_through_every_pair_of_worlds(
    urls: dict[str, str], lose_claims: bool
) -> None:
    for number in range(TOURS):
        seed = random.randrange(2**32) if number else 7
        print(f"seed {seed}")
        await take_a_tour(urls, random.Random(seed), lose_claims=lose_claims)


async def take_a_tour(urls: dict[str, str], rng: random.Random, *, lose_claims: bool) -> None:
    tour, token = Tour(), f"tour-{secrets.token_hex(4)}"
    walk = circuit(sorted(urls), rng)
    assert Counter(pairwise(walk)) == Counter(permutations(urls, 2))
    async with worlds_at(urls, tour.steps()) as worlds:
        source = SOURCE.replace("__TOKEN__", token)
        run = await start(
            Workflow.from_source(source, filename="tour.ts"), world=worlds[walk[0]][0]
        )
        sent = 0
        for here, there in pairwise(walk):
            pace = tour.rounds + rng.randrange(2)
            with anyio.fail_after(30):
                while tour.rounds < pace:
                    await tour.begun.wait()
            await anyio.sleep(rng.random() * 0.02)
            async with anyio.create_task_group() as group:  # a payload while it moves
                group.start_soon(deliver, worlds, token, sent)
                run = await move(run, worlds[here][0], worlds[there][0], lose_claims=lose_claims)
            sent += 1
        tour.over = True
        await deliver(worlds, token, -1)
        value = await run.result(timeout=30)
        last = worlds[walk[-1]][0]
        moves = [e for e in await read_log(last, run.id) if e.event.type is EventType.RUN_MOVED]
        assert [e.event.facts["to"] for e in moves[:-1]] == [
            e.event.facts["from"] for e in moves[1:]
        ]
        await check(tour, run, last, value, sent, lose_claims=lose_claims)
        for _, worker in worlds.values():
            assert worker.statistics()["rebuilt"] == 0


async def check(
    tour: Tour, run: Run, world: World, value: object, sent: int, *, lose_claims: bool
) -> None:
    """Every effect once, in order, and a log that tells the same when it is executed again."""
    done, mail, aborts = cast("list[list[int]]", value)
    rounds = len(done) // 3
    assert done == [10 * i + n for i in range(rounds) for n in (0, 1, 2)]
    assert mail == [*range(sent), -1]
    assert aborts == [*range(rounds)]
    assert set(tour.bodies) == set(done)
    if not lose_claims:
        assert set(tour.bodies.values()) == {1}
    log = await read_log(world, run.id)
    assert [e.position for e in log] == [*range(1, len(log) + 1)]
    inspection = await inspect_run(world, run.id)
    assert {e.state for e in inspection.entities if e.id.startswith("step_")} == {"completed"}
    assert (await verify_run(world, run.id)).problems == []
    # Printed once at most: what a turn printed is written after its commit, and may be too late.
    lines = Counter(line for line in await run.log_lines() if line.startswith("round"))
    assert set(lines.values()) == {1}
    assert set(lines) <= {f"round {i}" for i in range(rounds)}


@pytest.mark.parametrize("kind", ["sqlite", "s3"])
async def test_a_run_that_is_kept_where_it_was_loses_no_effect(
    urls: dict[str, str], kind: str
) -> None:
    tour, token = Tour(), f"kept-{secrets.token_hex(4)}"
    program = Workflow.from_source(SOURCE.replace("__TOKEN__", token), filename="tour.ts")
    name, rng, sent = secrets.token_hex(4), random.Random(3), 6
    async with (
        worlds_at({kind: urls[kind]}, tour.steps()) as worlds,
        make_world(urls["sqlite"].replace("{n}", f"{name}-shelter")) as shelter,
    ):
        ((home, _),) = worlds.values()
        run = await start(program, world=home)
        for number in range(sent):
            pace = tour.rounds + rng.randrange(2)
            with anyio.fail_after(30):
                while tour.rounds < pace:
                    await tour.begun.wait()
            async with anyio.create_task_group() as group:  # a payload while it is away
                group.start_soon(deliver, worlds, token, number)
                gone = await leave_for_good(run, home, f"memory://{name}-{number}")
                run = await keep_here(run.id, home, shelter, to=gone)
        tour.over = True
        await deliver(worlds, token, -1)
        value = await run.result(timeout=30)
        await check(tour, run, home, value, sent, lose_claims=False)


async def leave_for_good(run: Run, home: World, url: str) -> str:
    """Have it depart to a world that does not take it in, and is gone then."""

    def fail(number: int, call: str) -> Fault:
        return Fault.BEFORE if call == "transfer.arrive" else Fault.NONE

    async with make_world(url) as away:
        with pytest.raises(WorldUnavailableError):
            await move_run(run.id, home, FaultyWorld(away, fail), timeout=20)
    assert (await run.status()) is RunStatus.MOVING
    return away.url


async def test_a_step_that_runs_bars_the_move_and_says_which(urls: dict[str, str]) -> None:
    begun, go = anyio.Event(), anyio.Event()

    @step(name="moves:hold", max_retries=0)
    async def hold() -> str:
        begun.set()
        await go.wait()
        return "held"

    source = """
    import { hold } from "python:moves";
    export async function held() { "use workflow"; return await hold(); }
    """
    kinds = {kind: urls[kind] for kind in ("memory", "sqlite")}
    async with worlds_at(kinds, [hold]) as worlds:
        (here, _), (there, _) = worlds.values()
        run = await start(Workflow.from_source(source, filename="held.ts"), world=here)
        await begun.wait()
        with pytest.raises(RunBusyError, match=r"step_1\. .*--lose-claims"):
            await move_run(run.id, here, there, timeout=0)
        assert (await run.status()) is RunStatus.RUNNING
        go.set()
        assert await run.result(timeout=20) == "held"
        with pytest.raises(RunEndedError, match="completed"):
            await move_run(run.id, here, there)
