"""Certify: what it prints, what it exits with, and what a soak is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import TypeAlias

import pytest

pytestmark = pytest.mark.slow
Cli: TypeAlias = Callable[..., CompletedProcess[str]]
FOLDER = Path(__file__).parents[1] / "conformance"

BROKEN = """
import sys
sys.path.append({folder!r})
import mutants
from perdure.testing.memory import MemoryWorld

made = {{}}


def broken(url, *, clock):
    if url not in made:
        made[url] = MemoryWorld(clock=clock)
        mutants.MUTANTS["early delivery"](made[url])
    return made[url]
"""


def test_a_broken_world_is_told_with_a_program_that_runs(perdure: Cli, folder: Path) -> None:
    (folder / "broken_world.py").write_text(BROKEN.format(folder=str(FOLDER)), encoding="utf-8")
    arguments = (
        "certify",
        "memory://",
        "--opener",
        "broken_world:broken",
        "--only",
        "queue, random",
        "--tier",
        "full",  # as many programs as it takes
    )
    done = perdure(*arguments, "--seed", "0", "--json", code=1)
    report = json.loads(done.stdout)
    (check,) = report["checks"]
    assert not check["passed"]
    assert check["seed"] == 0
    program = check["failure"][check["failure"].index("from perdure.") :]
    (folder / "again.py").write_text(program, encoding="utf-8")
    again = run(folder, "again.py")
    assert "Difference: queue.claim_messages" in again
    table = perdure(*arguments, "--seed", "0", code=1).stdout
    assert "broken" in table
    assert "replay(store, program)" in table


def run(folder: Path, name: str) -> str:
    """What a script says on stderr."""
    done = subprocess.run(
        [sys.executable, name],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    return done.stderr


def test_a_soak_lasts_as_long_as_it_is_told(perdure: Cli) -> None:
    arguments = ("certify", "memory://", "--tier", "soak", "--duration", "1s", "--only", "text")
    report = json.loads(perdure(*arguments, "--seed", "3", "--json").stdout)
    seeds = [check["seed"] for check in report["checks"]]
    assert report["tier"] == "soak"
    assert seeds == list(range(3, 3 + len(seeds)))
    assert len(seeds) > 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--duration", "5m"], "--duration is for --tier soak"),
        (["--tier", "soak", "--duration", "soon"], "30m or 2h"),
        (["--only", "nothing like it"], "no check has"),
        (["--opener", "nowhere:at_all"], "module:name"),
    ],
)
def test_a_mistake_is_told(perdure: Cli, arguments: list[str], says: str) -> None:
    done = perdure("certify", "memory://", *arguments, code=2)
    assert says in done.stderr
    assert "Traceback" not in done.stderr
