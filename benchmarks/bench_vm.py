"""What the VM host costs: freezing, thawing, turns, and an event loop beside busy guests.

    python benchmarks/bench_vm.py [--peer PYTHON] [--node FOLDER]

*PYTHON* is an interpreter that has ``quickjs-rs``, *FOLDER* one where ``npm install quickjs-wasi``
was run; without them their rows are left out. Prints one JSON line a figure, then a table. No
assertions.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from perdure._protocol.codec import encode
from perdure._protocol.frames import GuestDelivery, Limits, StartFrame
from perdure._vm.guest import default_engine
from perdure._vm.image import Baseline, make_delta
from perdure._vm.instance import Instance
from perdure._vm.lineage import Lineage
from perdure._vm.pool import VmPool
from perdure._vm.stack import run_with_room

LOOP = """
import { work } from "python:steps";
export async function w(n) {
  let total = 0;
  for (let i = 0; i < n; i++) total += await work(i);
  return total;
}
"""
LARGE = """
import { work } from "python:steps";
export async function w(n) {
  const rows = [];
  for (let i = 0; i < 7000; i++) rows.push({ id: i, name: "row " + i, at: Math.random() });
  for (let i = 0; i < n; i++) rows[i].got = await work(i);
}
"""
FIB = """
const fib = (n) => (n < 2 ? n : fib(n - 1) + fib(n - 2));
export async function w(n) { return fib(n); }
"""
COLD = """
import time
began = time.perf_counter()
from perdure._protocol.codec import encode
from perdure._protocol.frames import StartFrame
from perdure._vm.guest import default_engine
from perdure._vm.image import Baseline
imported = time.perf_counter()
engine = default_engine()
loaded = time.perf_counter()
bundle = {"format": 1, "entry": "w.ts", "export": "w", "name": "w", "steps": {},
          "modules": {"w.ts": "export async function w(n) { return n; }"}}
guest = Baseline.build(engine, encode(bundle, where="bundle")).instantiate()
frame = StartFrame(
    run_id="run_" + 26 * "b", workflow="w", seed=bytes(32), at_ms=1, input=b"\\x81\\x01"
)
assert guest.start(frame).outcome is not None
ended = time.perf_counter()
print((loaded - imported) * 1e3, (ended - began) * 1e3)
"""
rows: list[tuple[str, float, str]] = []


def report(name: str, value: float, unit: str) -> None:
    """One figure."""
    rows.append((name, value, unit))
    print(json.dumps({"name": name, "value": round(value, 2), "unit": unit}), flush=True)


def median_us(fn: Callable[[], object], count: int = 300) -> float:
    """Median microseconds of a call; what it opens is closed outside the clock."""
    times: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        made = fn()
        times.append(time.perf_counter() - began)
        if isinstance(made, Instance):
            made.close()
    return statistics.median(times) * 1e6


@functools.cache
def baseline(source: str) -> Baseline:
    """The baseline of a workflow's source."""
    bundle = {
        "format": 1,
        "entry": "w.ts",
        "export": "w",
        "name": "w",
        "modules": {"w.ts": source},
        "steps": {"python:steps": {"work": "steps:work"}},
    }
    return Baseline.build(default_engine(), encode(bundle, where="bundle"))


def started(source: str, argument: int) -> Instance:
    """A guest after its first turn."""
    guest = baseline(source).instantiate()
    guest.start(
        StartFrame(
            run_id="run_" + 26 * "b",
            workflow="w",
            seed=bytes(range(32)),
            at_ms=1_764_000_000_000,
            input=encode([argument], where="arguments"),
            limits=Limits(instructions=0),
        )
    )
    return guest


def turn(guest: Instance, number: int) -> None:
    """Complete the step of that number."""
    value = encode(number, where="result")
    guest.resume(
        [
            GuestDelivery(
                position=number + 1,
                at_ms=1_764_000_000_000 + number,
                kind="step_completed",
                id=f"step_{number}",
                value=value,
            )
        ]
    )


def bench_loop() -> None:
    """A loop of steps: the common case."""
    base = baseline(LOOP)
    guest = started(LOOP, 10**6)
    numbers = iter(range(1, 10**6))
    report("turn", median_us(lambda: turn(guest, next(numbers))), "us")
    delta = make_delta(guest, base.image)
    report("snapshot delta, loop workflow", len(delta), "bytes")
    report("freeze, loop workflow", median_us(lambda: make_delta(guest, base.image)), "us")
    report("thaw, loop workflow", median_us(lambda: base.thaw([delta])), "us")
    report("instantiate at the baseline (reused memory)", median_us(base.instantiate), "us")
    kept = [base.instantiate() for _ in range(4)]
    report("instantiate new memory", median_us(lambda: Instance(base.engine)), "us")

    def thaw_and_keep() -> None:
        kept.append(base.thaw([delta]))

    report("thaw into new memory", median_us(thaw_and_keep, 50), "us")
    for other in kept:
        other.close()
    report(
        "baseline, built",
        median_us(lambda: Baseline.build(base.engine, _bundle_of(LOOP)), 10),
        "us",
    )


def _bundle_of(source: str) -> bytes:
    return encode(
        {
            "format": 1,
            "entry": "w.ts",
            "export": "w",
            "name": "w",
            "modules": {"w.ts": source + f"// {time.perf_counter_ns()}"},
            "steps": {"python:steps": {"work": "steps:work"}},
        },
        where="bundle",
    )


def bench_large() -> None:
    """About 1 MB of live objects: chained snapshots."""
    base = baseline(LARGE)
    guest = started(LARGE, 5000)
    lineage = Lineage(base)
    sizes: list[int] = []
    times: list[float] = []
    chain: list[bytes] = []
    for number in range(1, 1001):
        began = time.perf_counter()
        delta, parent = lineage.freeze(guest, turn=number)
        times.append(time.perf_counter() - began)
        chain = [delta] if parent is None else [*chain, delta]
        sizes.append(len(delta))
        turn(guest, number)
    report("heap, large workflow", guest.heap_bytes / 1024, "KiB")
    report("snapshot delta, large heap, root", sizes[0], "bytes")
    report("snapshot delta, large heap, link", statistics.median(sizes[1:]), "bytes")
    report("snapshot delta, large heap, amortised", statistics.mean(sizes), "bytes")
    report("freeze, large heap, link", statistics.median(times[1:]) * 1e6, "us")
    report(
        f"thaw, large heap, chain of {len(chain)}", median_us(lambda: base.thaw(chain), 30), "us"
    )
    guest.close()


def bench_fib() -> None:
    """Raw speed of the interpreter."""
    times: list[float] = []
    for _ in range(5):
        began = time.perf_counter()
        guest = started(FIB, 27)
        times.append(time.perf_counter() - began)
        guest.close()
    report("fib(27)", min(times) * 1e3, "ms")


def bench_cold() -> None:
    """Loading the compiled engine in a new process, cache present."""
    loaded: list[float] = []
    turned: list[float] = []
    # As for anybody who installed it: Python may keep the bytecode of what it imported before.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(7):
        command = [sys.executable, "-c", COLD]
        done = subprocess.run(command, env=env, capture_output=True, check=True)
        first, second = done.stdout.split()
        loaded.append(float(first))
        turned.append(float(second))
    report("engine loaded, cold process, cached module", statistics.median(loaded[2:]), "ms")
    report("first turn, cold process, imports included", statistics.median(turned[2:]), "ms")


async def bench_heartbeat() -> None:
    """How late an event loop wakes while eight guests compute."""
    pool = VmPool()
    baseline(FIB)
    stop = asyncio.Event()
    late: list[float] = []

    async def heart() -> None:
        while not stop.is_set():
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            late.append((time.perf_counter() - began - 0.001) * 1e3)

    async def hops() -> None:
        began = time.perf_counter()
        for _ in range(1000):
            await pool.run(lambda: None)
        report("hop to a VM thread and back", (time.perf_counter() - began) * 1e3, "us")

    await hops()
    beating = asyncio.ensure_future(heart())
    began = time.perf_counter()

    def compute() -> None:
        for _ in range(8):
            started(FIB, 25).close()

    await asyncio.gather(*(pool.run(compute) for _ in range(8)))
    report("64 x fib(25), eight at a time", time.perf_counter() - began, "s")
    stop.set()
    await beating
    pool.close()
    late.sort()
    report("heartbeat lateness p50, eight busy guests", late[len(late) // 2], "ms")
    report("heartbeat lateness p99, eight busy guests", late[len(late) * 99 // 100], "ms")
    report("heartbeat lateness max, eight busy guests", late[-1], "ms")


async def bench_heartbeat_turns() -> None:
    """How late an event loop wakes while guests take short turns and are frozen."""
    pool = VmPool()
    base = baseline(LOOP)
    late: list[float] = []
    deadline = time.perf_counter() + 2

    def turns() -> int:
        guest = started(LOOP, 10**6)
        number = 0
        while time.perf_counter() < deadline:
            number += 1
            turn(guest, number)
            make_delta(guest, base.image)
        guest.close()
        return number

    async def heart() -> None:
        while time.perf_counter() < deadline:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            late.append((time.perf_counter() - began - 0.001) * 1e3)

    done = await asyncio.gather(heart(), *(pool.run(turns) for _ in range(2)))
    pool.close()
    late.sort()
    report("turns and freezes per second, two threads", sum(n or 0 for n in done) / 2, "1/s")
    report("heartbeat lateness p99, short turns", late[len(late) * 99 // 100], "ms")


def bench_peer(*command: str) -> None:
    """A peer's figures, measured by a script beside this one."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        found = json.loads(line)
        report(f"{found['who']}: {found['name']}", found["value"], found["unit"])


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", help="an interpreter that has quickjs-rs")
    parser.add_argument("--node", help="a folder that has quickjs-wasi in node_modules")
    options = parser.parse_args()
    here = Path(__file__).parent
    bench_cold()
    bench_loop()
    bench_large()
    bench_fib()
    asyncio.run(bench_heartbeat())
    asyncio.run(bench_heartbeat_turns())
    if options.peer:
        bench_peer(options.peer, str(here / "peer_quickjs_rs.py"))
    if options.node:
        bench_peer("node", str(here / "peer_quickjs_wasi.mjs"), options.node)
    width = max(len(name) for name, _, _ in rows)
    print()
    for name, value, unit in rows:
        print(f"{name:<{width}}  {value:>12,.2f} {unit}")


if __name__ == "__main__":
    run_with_room(main)  # a guest's call elsewhere would begin a thread each time
