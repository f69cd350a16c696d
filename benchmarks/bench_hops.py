"""The way of one sequential step through the code: calls, files, moves and returns.

    python benchmarks/bench_hops.py [--steps 300] [--show]

A run takes steps one after another on SQLite. Every call of a Python function in the packages of
the project is noted, in all threads, in the order in which they come; one step is what lies between
two executions of its body. Of the steps in the middle of the run the median one, by calls, is
reported: its *calls*, the *files* that they are in, the *moves* from one file to another, and the
*returns*, which are moves to a file that was left before. Prints a JSON line; with ``--show`` the
calls, each with its thread.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

import anyio

import perdure
import perdure_sqlite
from perdure import Worker, Workflow, open_world, start, step

SOURCE = """
import { add } from "python:hops";
export async function seq(n) {
  "use workflow";
  let total = 0;
  for (let i = 0; i < n; i++) total = await add(total, 1);
  return total;
}
"""
FLOW = Workflow.from_source(SOURCE)
ROOTS = tuple(str(Path(str(package.__file__)).parent) for package in (perdure, perdure_sqlite))
HERE = __file__

Call: TypeAlias = "tuple[str, str, str]"  # thread, file, function


class Trail:
    """The calls of this process, once it is told to note them."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.is_noting = False

    def note(self, frame: FrameType, event: str, _: Any) -> None:
        """Note a call; for ``sys.setprofile``."""
        if not self.is_noting or event != "call":
            return
        code = frame.f_code
        if code.co_filename == HERE or code.co_filename.startswith(ROOTS):
            thread = threading.current_thread().name
            self.calls.append((thread, code.co_filename, code.co_qualname))


@step(name="hops:add")
async def add(a: int, b: int) -> int:
    """The empty step."""
    return a + b


def steps_of(calls: list[Call]) -> list[list[Call]]:
    """The calls between one execution of the body and the next, for each step of the middle."""
    bodies = [at for at, (_, file, name) in enumerate(calls) if file == HERE and name == "add"]
    third = len(bodies) // 3
    return [calls[a + 1 : b] for a, b in pairwise(bodies[third:-third])]


def figures_of(calls: list[Call]) -> dict[str, int]:
    """Calls, files, moves and returns."""
    files = [file for _, file, _ in calls]
    left: set[str] = set()
    moves = returns = 0
    for before, after in pairwise(files):
        if before != after:
            moves += 1
            left.add(before)
            returns += after in left
    return {"calls": len(calls), "files": len(set(files)), "moves": moves, "returns": returns}


async def walk(trail: Trail, steps: int, url: str) -> None:
    """Have a run take so many steps; those after the first fifty are noted."""
    async with open_world(url) as world, Worker(world, steps=[add]):
        await (await start(FLOW, [50])).result()
        trail.is_noting = True
        await (await start(FLOW, [steps])).result()
        trail.is_noting = False


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    trail = Trail()
    threading.setprofile(trail.note)
    sys.setprofile(trail.note)
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(walk, trail, options.steps, f"sqlite:///{folder}/hops.db")
    sys.setprofile(None)
    steps = sorted(steps_of(trail.calls), key=len)
    median = steps[len(steps) // 2]
    for thread, file, name in median if options.show else ():
        print(f"{thread:24} {Path(file).parent.name}/{Path(file).name} {name}", file=sys.stderr)
    print(json.dumps({"who": "perdure", "figure": "hops", **figures_of(median)}))


if __name__ == "__main__":
    main()
