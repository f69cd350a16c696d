"""Steps in JavaScript: beside those in Python, many that wait, and fetch beside the bare client.

    python benchmarks/bench_js_steps.py

Medians of a few rounds, on SQLite in a folder of its own.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
from aiohttp import web

from perdure import Fetch, Worker, Workflow, open_world, start, step
from perdure.abc import World

ROUNDS = 7
STEPS = 200
NAPS = 1000
REQUESTS = 200
SOURCE = """
import { plain } from "python:bench_js_steps";
async function add(n: number) { "use step"; return n + 1; }
async function nap(ms: number) { "use step"; await new Promise((r) => setTimeout(r, ms)); }
async function get(url: string, n: number) {
  "use step";
  const begun = performance.now();
  for (let k = 0; k < n; k++) await (await fetch(url)).text();
  return (performance.now() - begun) / n;
}
export async function inPython(n: number) {
  "use workflow";
  let total = 0;
  for (let k = 0; k < n; k++) total = await plain(total);
  return total;
}
export async function inJavaScript(n: number) {
  "use workflow";
  let total = 0;
  for (let k = 0; k < n; k++) total = await add(total);
  return total;
}
export async function naps(n: number) {
  "use workflow";
  const all = [];
  for (let k = 0; k < n; k++) all.push(nap(100));
  return (await Promise.all(all)).length;
}
export async function gets(url: string, n: number) { "use workflow"; return await get(url, n); }
"""


@step(name="bench_js_steps:plain")
async def plain(n: int) -> int:
    """The step beside which the others are measured."""
    return n + 1


def flow(name: str) -> Workflow:
    """One of the flows."""
    return Workflow.from_source(SOURCE, filename="flow.ts", name=name)


async def timed(call: Callable[[], Awaitable[object]]) -> float:
    """Seconds that a call takes."""
    begun = time.perf_counter()
    await call()
    return time.perf_counter() - begun


async def run(world: World, name: str, *args: object) -> object:
    """The result of one of the flows."""
    return await (await start(flow(name), args, world=world)).result()


async def steps(world: World) -> None:
    """A sequential step of each kind, in turns."""
    times: dict[str, list[float]] = {"inPython": [], "inJavaScript": []}
    for _ in range(ROUNDS):
        for name, spans in times.items():
            spans.append(await timed(lambda name=name: run(world, name, STEPS)))  # type: ignore[misc]  # Mypy infers no lambda with a default
    each = {name: statistics.median(spans) / STEPS * 1e6 for name, spans in times.items()}
    print(f"a sequential step in Python {each['inPython']:.0f} µs")
    print(f"a sequential step in JavaScript {each['inJavaScript']:.0f} µs")
    print(f"over a step in Python {each['inJavaScript'] - each['inPython']:.0f} µs")


async def naps(world: World) -> None:
    """Many that sleep for a tenth of a second."""
    spans = [await timed(lambda: run(world, "naps", NAPS)) for _ in range(ROUNDS)]
    print(f"{NAPS} steps at once that sleep 100 ms: {statistics.median(spans):.2f} s")


async def requests(world: World, url: str) -> None:
    """Requests one after another, by a step and by the client alone."""
    ours: list[float] = []
    bare: list[float] = []
    async with aiohttp.ClientSession() as session:

        async def get() -> None:
            for _ in range(REQUESTS):
                async with session.get(url) as response:
                    await response.text()

        for _ in range(ROUNDS):
            result = await run(world, "gets", url, REQUESTS)
            assert isinstance(result, int | float)
            ours.append(result)
            bare.append(await timed(get) / REQUESTS * 1e3)
    one, other = statistics.median(ours), statistics.median(bare)
    print(f"a request by fetch {one:.2f} ms, by the bare client {other:.2f} ms: {one - other:.2f}")


async def main() -> None:
    """Measure all."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    with tempfile.TemporaryDirectory() as folder:
        where = f"sqlite:///{Path(folder) / 'bench.db'}"
        policy = Fetch([url], private=["127.0.0.0/8"])
        async with open_world(where) as world, Worker(world, steps=[plain], fetch=policy):
            await steps(world)
            await naps(world)
            await requests(world, url)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
