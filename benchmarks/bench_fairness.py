"""What busy guests cost the others: a healthy run's latency, and the event loop's heartbeat.

    python benchmarks/bench_fairness.py [--busy 16] [--runs 200]

Runs of one step are started one after another beside runs that never end; each busy run is replaced
when it is failed for its deadline. Prints one JSON line a figure, then a table. No assertions.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from perdure import Worker, Workflow, start, step
from perdure.abc import World
from perdure.errors import RunFailedError
from perdure.worlds import open_world

BEAT = 0.001  # seconds
PAUSE = 0.01  # from one healthy run to the next
rows: list[tuple[str, float, str]] = []
BUSY = Workflow.from_source(
    'export async function busy() { "use workflow"; for (;;) {} }', filename="busy.js"
)
HEALTHY = Workflow.from_source(
    'import { double } from "python:fairness";\n'
    'export async function healthy(n) { "use workflow"; return await double(n); }',
    filename="healthy.js",
)


@step(name="fairness:double")
async def double(value: int) -> int:
    return 2 * value


def report(name: str, value: float, unit: str) -> None:
    """One figure."""
    rows.append((name, value, unit))
    print(json.dumps({"name": name, "value": round(value, 2), "unit": unit}), flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that *share* of them do not pass."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


async def beat(late: list[float]) -> None:
    """Note how late each of many short sleeps of the loop is."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(BEAT)
        late.append(time.perf_counter() - began - BEAT)


async def latencies(world: World, runs: int) -> list[float]:
    """Seconds from start to result of healthy runs, one after another."""
    seconds: list[float] = []
    for number in range(runs):
        began = time.perf_counter()
        run = await start(HEALTHY, [number], world=world)
        await run.result(timeout=120)
        seconds.append(time.perf_counter() - began)
        await asyncio.sleep(PAUSE)
    return seconds


async def keep_busy(world: World) -> None:
    """One busy run after another."""
    while True:
        run = await start(BUSY, world=world)
        with contextlib.suppress(RunFailedError):
            await run.result()


async def measure(busy: int, runs: int, deadline: float) -> None:
    """Healthy runs alone, then beside busy ones."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            open_world(f"sqlite:///{Path(folder, 'fairness.db')}") as world,
            Worker(world, steps=[double], turn_deadline=deadline),
        ):
            await latencies(world, 20)
            for name, count in (("alone", 0), (f"beside {busy} busy", busy)):
                late: list[float] = []
                tasks = [asyncio.create_task(keep_busy(world)) for _ in range(count)]
                tasks.append(asyncio.create_task(beat(late)))
                await asyncio.sleep(0.05)
                seconds = await latencies(world, runs)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                report(f"healthy run {name}, p50", percentile(seconds, 0.5) * 1e3, "ms")
                report(f"healthy run {name}, p99", percentile(seconds, 0.99) * 1e3, "ms")
                report(f"heartbeat {name}, p99", percentile(late, 0.99) * 1e3, "ms")
            began = time.perf_counter()
    report("leaving the worker", time.perf_counter() - began, "s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--busy", type=int, default=16)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--deadline", type=float, default=30.0)
    options = parser.parse_args()
    asyncio.run(measure(options.busy, options.runs, options.deadline))
    print()
    for name, value, unit in rows:
        print(f"{name:<40}{value:>12.2f} {unit}")


if __name__ == "__main__":
    main()
