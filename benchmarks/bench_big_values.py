"""How long an event loop is kept from its callbacks while big values pass through it.

    python benchmarks/bench_big_values.py [--rows 60000] [--commands 10000] [--rounds 5]
    python benchmarks/bench_big_values.py --only many --freeze

The loop has a beat of a millisecond. For each path of a value (arguments of ``start()``, of a step,
a step's result, a run's result, inspection, turns that make many commands, a replay of what they
made, a heap of 100 MB) the longest gap between two beats and the 99th percentile are taken, the
most that the loop's own thread worked in one, and the longest of Python's collections meanwhile,
in which no thread runs. The path "nothing" is the machine by itself. The store is SQLite in a new
folder. Prints a JSON line for each path and round, then a table with the least of the rounds (a
machine that is busy makes gaps, never fewer); asserts nothing about time. Only public names are
used, so it runs on older trees, too.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import anyio

from perdure import Run, Worker, Workflow, start, step
from perdure.abc import World
from perdure.worlds import open_world

PAUSE = 0.001
Figures: TypeAlias = "dict[str, float]"
Path_: TypeAlias = "Callable[[World, argparse.Namespace], Awaitable[Figures]]"


def flow(body: str) -> Workflow:
    return Workflow.from_source(
        'import { createHook, sleep } from "workflow";\n'
        'import { take, give } from "python:steps";\n'
        'export async function w(value?: any): Promise<any> { "use workflow";\n'
        f"void createHook; void sleep; void take; void give; {body} }}\n"
    )


def rows(count: int) -> list[dict[str, object]]:
    return [{"id": n, "name": f"row {n}"} for n in range(count)]


IN_JS = "const rows = Array.from({ length: value }, (_, id) => ({ id, name: 'row ' + id }));"
_given: list[object] = []


@step(name="steps:take", max_retries=0)
async def take(value: Any) -> int:
    return len(value)


@step(name="steps:give", max_retries=0)
async def give() -> object:
    return _given[0]


collections: list[float] = []
collecting_since = 0.0


def note_collection(phase: str, _: dict[str, int]) -> None:
    global collecting_since
    if phase == "start":
        collecting_since = time.perf_counter()
    else:
        collections.append((time.perf_counter() - collecting_since) * 1000)


@asynccontextmanager
async def beating(figures: Figures) -> AsyncGenerator[None, None]:
    gaps: list[float] = []
    work: list[float] = []

    async def beat() -> None:
        while True:
            began, worked = time.perf_counter(), time.thread_time()
            await anyio.sleep(PAUSE)
            gaps.append((time.perf_counter() - began - PAUSE) * 1000)
            work.append((time.thread_time() - worked) * 1000)

    async with anyio.create_task_group() as group:
        group.start_soon(beat)
        await anyio.sleep(0.05)
        gaps.clear()
        work.clear()
        collections.clear()
        began = time.perf_counter()
        yield
        figures["took_ms"] = (time.perf_counter() - began) * 1000
        await anyio.sleep(2 * PAUSE)
        group.cancel_scope.cancel()
    ordered = sorted(gaps)
    figures["longest_ms"] = ordered[-1]
    figures["p99_ms"] = ordered[int(len(ordered) * 0.99)]
    figures["work_ms"] = max(work)
    figures["gc_ms"] = max(collections, default=0.0)


async def nothing(world: World, options: argparse.Namespace) -> Figures:
    figures: Figures = {}
    async with beating(figures):
        await anyio.sleep(0.3)
    return figures


async def start_arguments(world: World, options: argparse.Namespace) -> Figures:
    figures: Figures = {}
    value, made = rows(options.rows), flow("return 1;")
    await start(made, [[]], world=world)  # compiled and stored
    async with beating(figures):
        await start(made, [value], world=world)
    return figures


async def _whole(world: World, made: Workflow, argument: object) -> Figures:
    figures: Figures = {}
    async with Worker(world, steps=[take, give]):
        warm = await start(flow("return 1;"), [1])
        await warm.result(timeout=60)
        async with beating(figures):
            run = await start(made, [argument])
            await run.result(timeout=120)
    return figures


async def step_arguments(world: World, options: argparse.Namespace) -> Figures:
    return await _whole(world, flow(f"{IN_JS} return await take(rows);"), options.rows)


async def step_result(world: World, options: argparse.Namespace) -> Figures:
    _given[:] = [rows(options.rows)]
    return await _whole(world, flow("return (await give()).length;"), 1)


async def _ended(world: World, made: Workflow, argument: object) -> Run:
    async with Worker(world, steps=[take, give]):
        run = await start(made, [argument])
        await run.result(timeout=120)
    return run


async def run_result(world: World, options: argparse.Namespace) -> Figures:
    body = f"{IN_JS} return rows.flatMap((row) => [row.id, row.name]);"
    run, figures = await _ended(world, flow(body), options.rows), dict[str, float]()
    async with beating(figures):
        await run.result(timeout=60)
    return figures


async def event_log(world: World, options: argparse.Namespace) -> Figures:
    body = f"{IN_JS} await take(rows); return 1;"
    run, figures = await _ended(world, flow(body), options.rows), dict[str, float]()
    async with beating(figures):
        async for logged in run.events():
            assert logged.position
    return figures


async def _until(run: Run, events: int) -> None:
    with anyio.fail_after(120):
        while (await run.info()).position < events:  # noqa: ASYNC110  # by another thread
            await anyio.sleep(0.01)


def at_once(call: str) -> Workflow:
    return flow(
        f"return (await Promise.all(Array.from({{ length: value }}, () => {call}))).length;"
    )


async def _recorded(world: World, made: Workflow, options: argparse.Namespace) -> Figures:
    figures: Figures = {}
    async with Worker(world, steps=[]):
        async with beating(figures):
            run = await start(made, [options.commands])
            await _until(run, options.commands)
        await run.cancel()
    return figures


async def many_waits(world: World, options: argparse.Namespace) -> Figures:
    return await _recorded(world, at_once("sleep('1 hour')"), options)


async def many_hooks(world: World, options: argparse.Namespace) -> Figures:
    return await _recorded(world, at_once("createHook()"), options)


async def many_due(world: World, options: argparse.Namespace) -> Figures:
    return await _whole(world, at_once("sleep('1 s')"), options.commands)


async def many_steps(world: World, options: argparse.Namespace) -> Figures:
    _given[:] = [1]
    return await _whole(world, at_once("give()"), options.commands)


async def replay(world: World, options: argparse.Namespace) -> Figures:
    figures: Figures = {}
    made = flow(
        "for (let i = 0; i < 10; i++)"
        " await Promise.all(Array.from({ length: value / 10 }, () => give()));"
        " await sleep('1 hour');"
    )
    _given[:] = [1]
    async with Worker(world, steps=[give]):
        run = await start(made, [options.commands])
        await _until(run, 3 * options.commands + 2)
    await world.snapshots.delete(run.id)
    async with Worker(world, steps=[give]) as worker:
        async with beating(figures):
            await world.queue.wake(run.id, due_ms=1)
            with anyio.fail_after(120):
                while not worker.statistics()["rebuilt"]:  # noqa: ASYNC110  # by another thread
                    await anyio.sleep(0.01)
        await run.cancel()
    return figures


async def large_heap(world: World, options: argparse.Namespace) -> Figures:
    body = "const kept = new Uint8Array(1e8).fill(7); await sleep('1 hour'); return kept.length;"
    figures: Figures = {}
    async with Worker(world, steps=[]):
        async with beating(figures):
            run = await start(flow(body), [1])
            await _until(run, 2)
        await run.cancel()
    return figures


PATHS: dict[str, Path_] = {
    "nothing": nothing,
    "arguments of start()": start_arguments,
    "arguments of a step": step_arguments,
    "result of a step": step_result,
    "result of a run": run_result,
    "event log": event_log,
    "many waits": many_waits,
    "many hooks": many_hooks,
    "many waits due": many_due,
    "many steps": many_steps,
    "replay": replay,
    "heap of 100 MB": large_heap,
}


async def measure(options: argparse.Namespace) -> None:
    best: dict[str, Figures] = {}
    gc.callbacks.append(note_collection)
    if options.freeze:
        gc.collect()
        gc.freeze()
    for number in range(options.rounds):
        for name, path in PATHS.items():
            if options.only not in name and path is not nothing:
                continue
            with tempfile.TemporaryDirectory() as folder:
                url = f"sqlite:///{Path(folder) / 'world.db'}"
                async with open_world(url) as world:
                    figures = await path(world, options)
            rounded = {key: round(value, 1) for key, value in figures.items()}
            print(json.dumps({"path": name, "round": number, **rounded}), flush=True)
            least = best.setdefault(name, dict(rounded))
            for key, value in rounded.items():
                least[key] = min(least[key], value)
    columns = ("longest_ms", "p99_ms", "work_ms", "gc_ms", "took_ms")
    print(f"\n{'path':24}" + "".join(f"{column:>12}" for column in columns))
    for name, figures in best.items():
        print(f"{name:24}" + "".join(f"{figures[column]:12.1f}" for column in columns))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--commands", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="paths whose name has this")
    parser.add_argument("--freeze", action="store_true", help="as perdure worker does")
    anyio.run(measure, parser.parse_args())
