"""What a newcomer meets in the first hour: each mistake is told, with what mends it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run

pytestmark = pytest.mark.slow

BLOCKING = """
import time
from pathlib import Path
from perdure import step

@step(max_retries=0)
def block() -> str:
    Path("begun").touch()
    until = time.monotonic() + 30
    while not Path("end").exists() and time.monotonic() < until:
        time.sleep(0.01)
    return "ended"
"""
BLOCKED = """
import { block } from "python:blocking";
export async function blocked() { "use workflow"; return await block(); }
"""


@contextlib.contextmanager
def program(
    folder: Path, environment: dict[str, str], *arguments: str
) -> Generator[subprocess.Popen[str], None, None]:
    """The program at work, ended by its process id whatever happens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "perdure", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def await_file(path: Path) -> None:
    for _ in range(3000):
        if path.exists():
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} did not come")


@pytest.fixture
def blocking(folder: Path) -> Path:
    (folder / "blocking.py").write_text(BLOCKING)
    (folder / "blocked.ts").write_text(BLOCKED)
    return folder


def test_what_the_workflow_writes_is_shown_while_it_runs_and_later(perdure: Run) -> None:
    done = perdure("run", "flow.ts#flow", "[2]", "--steps", "cli_steps", "--json")
    assert "adding 2\n[warn] carefully\n" in done.stderr
    made = json.loads(done.stdout)
    assert made["output"] == 1
    assert perdure("log", made["id"]).stdout == "adding 2\n[warn] carefully\n"
    assert json.loads(perdure("log", made["id"], "--json").stdout) == [
        "adding 2",
        "[warn] carefully",
    ]
    assert "no run run_x" in perdure("log", "run_x", code=2).stderr


def test_a_runs_id_can_be_copied_from_a_narrow_terminal(
    perdure: Run, environment: dict[str, str]
) -> None:
    environment["COLUMNS"] = "80"
    run_id = json.loads(perdure("start", "flow.ts#patient", "--json").stdout)["id"]
    assert run_id in perdure("runs").stdout
    assert run_id in perdure("inspect", run_id).stdout
    shown = json.loads(perdure("cancel", run_id, "--json").stdout)
    assert (shown["id"], shown["status"]) == (run_id, "cancelled")


@pytest.mark.parametrize("command", [["start", "flow.ts#flow"], ["worker"]])
def test_a_world_of_one_process_is_no_place_to_meet(perdure: Run, command: list[str]) -> None:
    done = perdure(*command, "--world", "memory://", code=2)
    assert "lives in one process" in done.stderr
    assert "perdure run" in done.stderr
    assert json.loads(
        perdure("run", "flow.ts#flow", "[3]", "--steps", "cli_steps", "--world", "memory://").stdout
    )


def test_a_step_that_is_not_here_is_told_at_once(folder: Path, environment: dict[str, str]) -> None:
    (folder / "other.ts").write_text(
        'import { f } from "python:shop.steps";\n'
        'export async function other() { "use workflow"; await f(); }\n'
    )
    with program(folder, environment, "run", "other.ts", "--steps", "cli_steps") as process:
        assert process.stderr is not None
        said = process.stderr.readline()
    assert said == "warning: step shop.steps:f is not here: give --steps shop.steps\n"


@pytest.mark.parametrize("command", ["run", "compile"])
def test_a_misspelt_step_is_an_error_with_its_place(
    perdure: Run, folder: Path, command: str
) -> None:
    (folder / "typo.ts").write_text(
        'import { ad } from "python:cli_steps";\n'
        'export async function typo() { "use workflow"; await ad(1, 2); }\n'
    )
    done = perdure(command, "typo.ts", "--steps", "cli_steps", code=1)
    assert "typo.ts:1:10: Python module 'cli_steps' has no step 'ad'" in done.stderr
    assert "did you mean add?" in done.stderr
    assert done.stdout == ""
    if command == "compile":  # without --steps no module is imported, and nothing known
        shown = json.loads(perdure("compile", "typo.ts", "--json").stdout)
        assert shown["steps"] == ["cli_steps:ad"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("syntax(", "SyntaxError"),
        ("import gone_module", "gone_module"),
        ("def f():\n    1 / 0\nf()", "broken.py:2: 1 / 0"),
    ],
)
def test_a_module_that_cannot_be_imported_names_its_line(
    perdure: Run, folder: Path, text: str, says: str
) -> None:
    (folder / "broken.py").write_text(text)
    done = perdure("worker", "--steps", "broken", code=2)
    assert "module broken cannot be imported" in done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("what", ["a folder", "another file", "another database"])
def test_a_file_that_is_no_world_is_told(perdure: Run, folder: Path, what: str) -> None:
    path = folder / "world.db"
    if what == "a folder":
        path.mkdir()
    elif what == "another file":
        path.write_text("not a database, but long enough to be taken for something " * 20)
    else:
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE theirs (x)")
            db.commit()
    done = perdure("runs", "--world", "sqlite:///world.db", code=3)
    assert "sqlite:///world.db" in done.stderr or "another program's database" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_workers_share_a_database(
    perdure: Run,
    folder: Path,
    environment: dict[str, str],
) -> None:
    arguments = ("worker", "--steps", "cli_steps")
    with (
        program(folder, environment, *arguments) as one,
        program(folder, environment, *arguments) as two,
    ):
        for process in (one, two):
            assert process.stderr is not None
            assert "working on" in process.stderr.readline()
        ids = [json.loads(perdure("start", "flow.ts#flow", "[5]", "--json").stdout)["id"]]
        done = perdure("run", "flow.ts#flow", "[6]", "--steps", "cli_steps")
        assert json.loads(done.stdout) == 15
        shown: dict[str, Any] = {}
        for _ in range(100):
            shown = json.loads(perdure("inspect", ids[0], "--json").stdout)
            if shown["run"]["status"] == "completed":
                break
        assert shown["run"]["output"] == 10
        assert [step["attempts"] for step in shown["steps"]] == [1] * 5
        for process in (one, two):
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0


@pytest.mark.parametrize("command", ["worker", "run"])
def test_the_second_signal_leaves_at_once(
    blocking: Path, environment: dict[str, str], command: str
) -> None:
    (blocking / ".perdure").mkdir()
    environment["PERDURE_WORLD"] = "sqlite:///.perdure/mine.db"
    arguments = [command, "--steps", "blocking"]
    if command == "run":
        arguments.insert(1, "blocked.ts")
    else:
        start = [sys.executable, "-m", "perdure", "start", "blocked.ts"]
        subprocess.run(start, cwd=blocking, env=environment, check=True, capture_output=True)
    with program(blocking, environment, *arguments) as process:
        assert process.stderr is not None
        await_file(blocking / "begun")
        process.send_signal(signal.SIGINT)
        while "signal again to exit at once" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(timeout=10) == 130
    assert "exited at once" in said
    if command == "run":
        assert "carry it on: perdure worker --steps blocking" in said


def test_a_step_in_a_thread_is_drained(blocking: Path, environment: dict[str, str]) -> None:
    with program(blocking, environment, "run", "blocked.ts", "--steps", "blocking") as process:
        assert process.stderr is not None
        await_file(blocking / "begun")
        process.send_signal(signal.SIGTERM)
        assert "interrupted" in process.stderr.readline()
        (blocking / "end").touch()
        assert process.wait(timeout=20) == 130
    assert not os.environ.get("PERDURE_WORLD")


def test_the_exit_codes_are_in_the_help(perdure: Run) -> None:
    assert "Exit codes" in perdure("--help").stdout
