"""The nightly load: ``python nightly.py 2000``, beside three workers; checks what it did.

Batches are runs with ids of their own. Who starts the same night again joins the runs there are,
so a second start loads nothing twice.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import sys
import time
from datetime import date
from pathlib import Path

import warehouse
from perdure import open_world, start, workflow

WORKFLOWS = Path(__file__).with_name("workflows") / "nightly.ts"
BATCH = 25  # items


async def load(items: int, name: str, export: str) -> None:
    """Start a run for each batch, and wait for all of them."""
    flow = workflow(f"{WORKFLOWS}#{export}")
    async with open_world():
        runs = [
            await start(
                flow,
                [list(range(first, min(first + BATCH, items)))],
                run_id=f"{name}-{first}",
                attributes={"load": name},
            )
            for first in range(0, items, BATCH)
        ]
        for done, run in enumerate(runs, start=1):
            await run.result()
            print(f"{done} of {len(runs)} batches are loaded", flush=True)


def check(items: int, name: str) -> None:
    """See that this load has each item in the warehouse, once, and as the source has it."""
    wanted = hashlib.sha256()
    for item in range(items):
        wanted.update(warehouse.source_rows(item))
    loaded = warehouse.contents(name)
    if (loaded.rows, loaded.items, loaded.digest) != (items, items, wanted.hexdigest()):
        sys.exit(f"the warehouse differs from the source: {loaded}")


def main() -> None:
    """Load a night's items, and check them."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("items", type=int)
    arguments.add_argument("--night", default=date.today().isoformat())
    arguments.add_argument("--by-reference", action="store_true")
    options = arguments.parse_args()
    export = "batchByReference" if options.by_reference else "batch"
    name = f"{options.night}-{export}"
    warehouse.create()
    began = time.perf_counter()
    asyncio.run(load(options.items, name, export))
    seconds = time.perf_counter() - began
    check(options.items, name)
    print(f"{options.items} items in {seconds:.1f} s, each once, as the source has them")


if __name__ == "__main__":
    main()
