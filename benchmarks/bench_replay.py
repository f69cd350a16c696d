"""Time to resume against steps done: from a snapshot, by replay of the same log, and DBOS.

    python benchmarks/bench_replay.py [--steps 10 100 1000] [--peer PYTHON] [--out FILE]

A run is brought to its n-th step and left there. Three figures for each n, all on SQLite:

- *snapshot*: a new process is given the step's result; the time until the run's end.
- *replay*: the same on a copy of the database without its snapshots: the run is rebuilt from its
  log.
- *dbos*: a new process recovers the workflow; the time from the function's first line until the
  step after the n-th begins. Its recovery's own start, and the poll before it, are left out.

*PYTHON* is an interpreter that has ``dbos``. Steps are empty. Prints a table and, into *FILE*, a
JSON line for each figure; ``docs/plots.py`` draws the plot from them. Asserts nothing about time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from machine import fdatasync_us  # type: ignore[import-not-found]  # beside this file

RESUME = str(Path(__file__).with_name("bench_resume.py"))
MANY, FEW = 9, 3  # resumptions by DBOS of one workflow; of one with more than 1,000 steps

PEER = """
import asyncio, json, os, sys, time
from dbos import DBOS
mode, folder, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{folder}/dbos.db",
             "run_admin_server": False, "log_level": "CRITICAL"})
began = 0.0
@DBOS.step()
async def add(a, b): return a + b
@DBOS.step()
async def held(total):
    print(json.dumps((time.perf_counter() - began) * 1000), flush=True)
    os._exit(0)
@DBOS.workflow()
async def long(n):
    global began
    began = time.perf_counter()
    total = 0
    for i in range(n): total = await add(total, 1)
    return await held(total)
async def main():
    DBOS.launch()
    if mode == "prepare":
        await DBOS.start_workflow_async(long, steps)
    await asyncio.sleep(3600)
asyncio.run(main())
"""


def last_line(*command: str) -> str:
    """The last line that a program prints."""
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()[-1]


def resumptions(url: str, steps: int, ids: str) -> list[float]:
    """Milliseconds that each of the runs takes from its last result to its end."""
    command = (sys.executable, RESUME, "--resume", url, str(steps), ids)
    times: list[float] = json.loads(last_line(*command))
    return times


def copied(path: Path, number: int, *, snapshots: bool) -> Path:
    """A copy of a database, with its snapshots or without them."""
    copy = path.with_suffix(f".{number}{'' if snapshots else '-log-only'}.db")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        if not snapshots:
            target.execute("DELETE FROM snapshots")
            target.commit()
    return copy


def perdure_times(folder: Path, steps: int) -> Iterator[tuple[str, list[float]]]:
    """How long runs of this many steps take to resume, by how they do."""
    path = folder / f"{steps}.db"
    ids = last_line(sys.executable, RESUME, "--prepare", f"sqlite:///{path}", str(steps))
    # A run that takes long to prepare is there once, and is resumed in several copies.
    copies = 1 if len(json.loads(ids)) > 1 else FEW
    for how in ("snapshot", "replay"):
        times: list[float] = []
        for number in range(copies):
            copy = copied(path, number, snapshots=how == "snapshot")
            times += resumptions(f"sqlite:///{copy}", steps, ids)
        yield how, times


def dbos_times(python: str, folder: Path, steps: int) -> list[float]:
    """How long one workflow of this many steps takes to resume, again and again."""
    place = folder / f"dbos-{steps}"
    place.mkdir()
    command = (python, "-c", PEER)
    last_line(*command, "prepare", str(place), str(steps))
    count = MANY if steps <= 1000 else FEW
    return [float(last_line(*command, "resume", str(place), str(steps))) for _ in range(count)]


def figure(how: str, steps: int, times: list[float]) -> dict[str, object]:
    """One figure, as it is written."""
    return {
        "how": how,
        "steps": steps,
        "ms": round(statistics.median(times), 3),
        "least": round(min(times), 3),
        "most": round(max(times), 3),
        "times": len(times),
    }


def machine(folder: Path) -> dict[str, object]:
    """Where and when it was measured."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "processors": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "system": platform.system(),
        "fdatasync_us": round(fdatasync_us(folder, grow=True)),
    }


def measure(
    options: argparse.Namespace, folder: Path, report: Callable[[dict[str, object]], None]
) -> None:
    """Every figure, as soon as it is there."""
    report(machine(folder))
    for steps in options.steps:
        for how, times in perdure_times(folder, steps):
            report(figure(how, steps, times))
        if options.peer:
            report(figure("dbos", steps, dbos_times(options.peer, folder, steps)))


def table(lines: list[dict[str, object]]) -> str:
    """The figures side by side, in milliseconds."""
    cells = {(line["steps"], line["how"]): line["ms"] for line in lines if "how" in line}
    hows = list(dict.fromkeys(how for _, how in cells))
    rows = [["steps done", *[f"{how}, ms" for how in hows]]]
    for steps in dict.fromkeys(steps for steps, _ in cells):
        rows.append([f"{steps:,}", *[str(cells.get((steps, how), "–")) for how in hows]])
    return "\n".join("  ".join(cell.rjust(14) for cell in row) for row in rows)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, nargs="*", default=[10, 100, 1000, 10_000, 100_000])
    parser.add_argument("--peer", help="an interpreter that has dbos")
    parser.add_argument("--folder", default=".", help="where databases go: a disk, not a tmpfs")
    parser.add_argument("--out", type=Path, help="a file for the JSON lines")
    options = parser.parse_args()
    lines: list[dict[str, object]] = []

    def report(line: dict[str, object]) -> None:
        lines.append(line)
        print(json.dumps(line), flush=True)

    folder = Path(tempfile.mkdtemp(dir=str(options.folder))).absolute()
    try:
        measure(options, folder, report)
    finally:
        shutil.rmtree(folder)
    print(table(lines))
    if options.out:
        options.out.write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
