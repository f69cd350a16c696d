"""The load of examples/nightly_etl: two of its workers are killed, each item is loaded once."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.examples.programs import FULL, Program, commands, copied, running

pytestmark = [pytest.mark.slow, pytest.mark.crash]

ITEMS = 2000 if FULL else 200
TURNS = 4 if FULL else 1  # runs that a worker carries, so that each has some


def test_each_item_is_loaded_once_though_workers_are_killed(tmp_path: Path) -> None:
    folder = copied("nightly_etl", tmp_path)
    *work, load = commands(folder)
    assert len(work) == 3
    assert load.endswith(" 2000")
    work = [command.replace("--max-turns 4", f"--max-turns {TURNS}") for command in work]
    load = f"{load.removesuffix('2000')}{ITEMS}"
    with ExitStack() as stack:
        workers = [stack.enter_context(running(command, folder)) for command in work]
        for worker in workers:
            worker.wait_line("working on")
        nightly = stack.enter_context(running(load, folder))
        for killed, batches in enumerate((2, 4)):
            nightly.wait_line(f"^{batches} of .* batches are loaded")
            workers[killed].kill()
            assert not nightly.lines[-1].startswith(f"{ITEMS} items")
            workers.append(stack.enter_context(running(work[0], folder)))
        ended(nightly, folder, workers)
        # The same night is the same runs: nothing is loaded twice.
        ended(stack.enter_context(running(load, folder)), folder, workers)
        ended(stack.enter_context(running(f"{load} --by-reference", folder)), folder, workers)
        for worker in workers[2:]:
            assert worker.stop() == 0, worker.told


def ended(nightly: Program, folder: Path, workers: list[Program]) -> None:
    """See that it has loaded and checked all, and print what it took."""
    assert nightly.wait() == 0, nightly.told
    assert re.fullmatch(
        rf"{ITEMS} items in .*, each once, as the source has them", nightly.lines[-1]
    )
    database = (folder / ".perdure" / "perdure.db").stat().st_size
    peaks = ", ".join(f"{worker.measure() / 1e6:.0f}" for worker in workers)
    print(f"\n{nightly.lines[-1]}; database {database / 1e6:.0f} MB")
    print(f"peaks in MB: nightly.py {nightly.measure() / 1e6:.0f}, workers {peaks}")
