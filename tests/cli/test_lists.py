"""Lists and inspections: the newest first, what is left out is said, and all fits 80 columns."""

from __future__ import annotations

import importlib.metadata
import json
import shlex
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from perdure import Run
from perdure._protocol.codec import encode
from perdure.cli import app
from perdure.cli._output import counted
from perdure.cli._runs import _end
from perdure.errors import GuestError, RunCancelledError, RunFailedError, RunMovedError
from perdure.model import EntityId, Event, EventType, LoggedEvent, RunId, RunStatus
from perdure.testing.memory import MemoryWorld
from perdure.testing.memory._store import StoredRun
from tests.cli.conftest import Run as Program
from tests.cli.nasty import store
from tests.cli.test_first_hour import await_file, program
from tests.cli.test_text import RECORD

URL = "memory://lists"


@pytest.fixture(autouse=True)
def _terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def world() -> Iterator[MemoryWorld]:
    """What the commands open; emptied afterwards."""
    made = MemoryWorld(URL)
    yield made
    made._store.runs.clear()


def call(*arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == code, done.output
    return done


def fill(world: MemoryWorld, count: int, **changes: Any) -> None:
    runs: dict[RunId, StoredRun] = {}
    for n in range(count):
        store(world, replace(RECORD, run_id=RunId(f"run_{n}"), created_at_ms=n, **changes), [], [])
        runs |= world._store.runs
    world._store.runs.update(runs)


def ids(text: str) -> list[str]:
    return [word for word in text.split() if word.startswith("run_")]


# --- runs ------------------------------------------------------------------------------------


def test_the_newest_runs_are_shown_and_how_to_see_more(world: MemoryWorld) -> None:
    fill(world, 5, workflow="two words")
    command = ["runs", "--limit", "2", "--workflow", "two words", "--world", URL]
    pages: list[list[str]] = []
    while command:
        done = call(*command)
        pages.append(ids(done.stdout))
        *_, told = done.stderr.rpartition("more: perdure ")
        command = shlex.split(told) if "more" in done.stderr else []
        if command:
            assert done.stderr.startswith("2 runs, and there is more: perdure runs ")
    assert pages == [["run_4", "run_3"], ["run_2", "run_1"], ["run_0"]]


def test_a_list_as_json_has_the_same_pages_and_says_so_beside(world: MemoryWorld) -> None:
    fill(world, 3)
    done = call("runs", "--limit", "1", "--json", "--world", URL)
    assert [run["id"] for run in json.loads(done.stdout)] == ["run_2"]
    assert done.stderr.startswith("1 run, and there is more: perdure runs --limit 1 ")
    done = call("runs", "--limit", "3", "--json", "--world", URL)
    assert [run["id"] for run in json.loads(done.stdout)] == ["run_2", "run_1", "run_0"]
    assert done.stderr == ""


@pytest.mark.parametrize("options", [("--limit", "0"), ("--after", "nonsense")])
def test_a_page_that_cannot_be_is_refused(world: MemoryWorld, options: tuple[str, str]) -> None:
    assert call("runs", *options, "--world", URL, code=2).stderr.startswith("error: ")


@pytest.mark.parametrize("workflow", ["flow", "a_workflow_of_a_long_name" * 3])
def test_ids_and_dates_are_whole_in_80_columns(world: MemoryWorld, workflow: str) -> None:
    run_id = "run_" + "q" * 26
    at_ms = 1_796_045_392_200
    record = replace(RECORD, run_id=RunId(run_id), workflow=workflow, created_at_ms=at_ms)
    record = replace(record, status=RunStatus.COMPLETED, ended_at_ms=at_ms)
    wait = Event(
        type=EventType.WAIT_CREATED,
        key="w",
        at_ms=at_ms,
        entity=EntityId("wait_1"),
        facts={"resume_at_ms": at_ms, "at": f"{workflow}.ts:1:1"},
    )
    store(world, record, [LoggedEvent(position=1, event=wait)], [])
    listed = call("runs", "--world", URL).stdout
    shown = call("inspect", run_id, "--world", URL).stdout
    for text in (run_id, "completed", "2026-11-30 13:29:52"):
        assert text in listed
    assert shown.count("2026-11-30 13:29:52") == 2
    for line in (*listed.splitlines(), *shown.splitlines()[2:]):
        assert len(line) <= 80


# --- inspect ---------------------------------------------------------------------------------


def logged(position: int, kind: EventType, entity: str, at_ms: int, **values: Any) -> LoggedEvent:
    payload = encode(values.pop("payload"), where="p") if "payload" in values else None
    event = Event(
        type=kind,
        key=str(position),
        at_ms=at_ms,
        entity=EntityId(entity),
        payload=payload,
        facts=values,
    )
    return LoggedEvent(position=position, event=event)


ERROR = GuestError(name="ValueError", message="card refused\nsecond line", stack="    at f (a:1)")
LOG = [
    logged(1, EventType.STEP_CREATED, "step_1", 10, payload=["card_1", {"n": 3}], step="m:charge"),
    logged(2, EventType.STEP_CREATED, "step_2", 10, payload=["x" * 5000], step="m:long"),
    logged(3, EventType.STEP_CREATED, "step_3", 10, step="m:none"),
    logged(4, EventType.STEP_CREATED, "step_4", 10, payload=[], step="m:odd"),
    logged(5, EventType.STEP_COMPLETED, "step_2", 22, payload=1),
    logged(6, EventType.STEP_RETRYING, "step_3", 30, payload="thrown", attempt=1),
    logged(7, EventType.STEP_RETRYING, "step_1", 40, payload=ERROR, attempt=1),
    logged(8, EventType.STEP_FAILED, "step_1", 90_010, payload=ERROR, attempt=2),
    logged(9, EventType.STEP_FAILED, "step_4", 7_200_010, payload=None, attempt=1),
]


def test_steps_are_shown_with_arguments_durations_and_errors(
    world: MemoryWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    store(world, RECORD, LOG, [])
    shown = call("inspect", "run_a", "--world", URL).stdout
    for text in (
        'm:charge("card_1", {"n": 3})',
        "… (cut, 5,002 characters))",
        "m:none()",
        "12 ms",
        "1.5 min",
        "2.0 h",
        "\nstep_1 m:charge: ValueError: card refused\n",
        '\nstep_3 m:none: "thrown"\n',
        "\nstep_4 m:odd: null\n",
    ):
        assert text in shown
    steps = json.loads(call("inspect", "run_a", "--world", URL, "--json").stdout)["steps"]
    assert steps[0]["arguments"] == ["card_1", {"n": 3}]
    assert (steps[0]["took_ms"], steps[2]["took_ms"]) == (90_000, None)
    assert steps[0]["error"]["message"] == "card refused\nsecond line"
    assert [step["error"] for step in steps[1:]] == [None, "thrown", None]


def test_only_failures_or_the_last_events_are_shown(world: MemoryWorld) -> None:
    store(world, RECORD, LOG, [])
    shown = call("inspect", "run_a", "--failed", "--events", "2", "--world", URL).stdout
    assert "m:long" not in shown
    assert "step_completed" not in shown
    assert "2 earlier events not shown: --events 4" in shown
    found = json.loads(
        call("inspect", "run_a", "--failed", "--events", "3", "--world", URL, "--json").stdout
    )
    assert [step["id"] for step in found["steps"]] == ["step_1", "step_3", "step_4"]
    assert [event["position"] for event in found["events"]] == [7, 8, 9]
    assert "step_created" not in call("inspect", "run_a", "--events", "0", "--world", URL).stdout
    assert "at least 0" in call("inspect", "run_a", "--events", "-1", "--world", URL, code=2).stderr


@pytest.mark.slow
def test_of_many_events_the_last_hundred_are_shown_and_all_as_json(world: MemoryWorld) -> None:
    log = [logged(n, EventType.STEP_CREATED, f"step_{n}", n, step="m:f") for n in range(1, 102)]
    store(world, RECORD, log, [])
    shown = call("inspect", "run_a", "--world", URL).stdout
    assert "1 earlier event not shown: --events 101" in shown
    assert shown.count("step_created") == 100
    shown = call("inspect", "run_a", "--events", "101", "--world", URL).stdout
    assert shown.count("step_created") == 101
    found = json.loads(call("inspect", "run_a", "--world", URL, "--json").stdout)
    assert len(found["events"]) == 101


def test_a_runs_error_is_shown_with_its_causes(world: MemoryWorld) -> None:
    error = GuestError(name="FatalError", message="no", stack="    at w (f.ts:1:2)\n", cause=ERROR)
    record = replace(RECORD, status=RunStatus.FAILED, payload=encode(error, where="e"))
    store(world, record, [], [])
    shown = call("inspect", "run_a", "--world", URL).stdout
    assert "error: FatalError: no\n      at w (f.ts:1:2)\n  caused by ValueError: card" in shown
    store(world, replace(record, payload=encode(["thrown"], where="e")), [], [])
    assert "error: ['thrown']" in call("inspect", "run_a", "--world", URL).stdout


# --- run -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (
            RunFailedError("run_a", error=GuestError(name="E", message="m", stack="s"), code="C"),
            {
                "status": "failed",
                "code": "C",
                "error": {"name": "E", "message": "m", "stack": "s"},
            },
        ),
        (RunFailedError("run_a", error=3), {"status": "failed", "code": None, "error": 3}),
        (RunCancelledError("run_a", reason="so"), {"status": "cancelled", "error": "so"}),
        (RunMovedError("run_a", to="s3://b"), {"status": "moved", "moved_to": "s3://b"}),
        (
            RunMovedError("run_a", to="s3://b", arrived=False),
            {"status": "moving", "moved_to": "s3://b"},
        ),
    ],
)
def test_each_end_has_a_form_in_json(error: Any, shown: dict[str, Any]) -> None:
    assert _end(Run("run_a"), error) == {"id": "run_a", **shown}


@pytest.mark.slow
def test_a_failing_run_prints_its_id_and_error_as_json(perdure: Program) -> None:
    done = perdure("run", "flow.ts#broken", "--steps", "cli_steps", "--json", code=1)
    shown = json.loads(done.stdout)
    (run,) = json.loads(perdure("runs", "--json").stdout)
    assert (shown["id"], shown["status"]) == (run["id"], "failed")
    assert shown["error"] == run["error"]
    assert "it is so" in shown["error"]["message"]
    assert "step failed: cli_steps:fail (step_1), attempt 1: FatalError: " in done.stderr or (
        "step failed" not in done.stderr  # it ended before anybody looked
    )


SLOW = """
from perdure import RetryableError, step

@step(max_retries=1)
async def fail() -> None:
    raise RetryableError("card refused\\nsecond line", retry_after=3600)
"""
SLOW_FLOW = """
import { fail } from "python:slow_steps";
export async function slow() { "use workflow"; await fail(); }
"""


@pytest.mark.slow
def test_a_notice_has_the_steps_name_and_ctrl_c_in_memory_gives_no_advice(
    folder: Path, environment: dict[str, str]
) -> None:
    (folder / "slow_steps.py").write_text(SLOW)
    (folder / "slow.ts").write_text(SLOW_FLOW)
    arguments = ("run", "slow.ts", "--steps", "slow_steps", "--world", "memory://")
    with program(folder, environment, *arguments) as process:
        assert process.stderr is not None
        notice = process.stderr.readline()
        assert notice.startswith("warning: step slow_steps:fail (run_")
        assert "/step_1) failed at attempt 1 and runs again" in notice
        assert notice.endswith("RetryableError: card refused\n")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "is gone: memory:// ends with this process" in said
    assert "perdure worker" not in said
    assert "is kept" not in said


BLOCKING = """
import time
from pathlib import Path
from perdure import step

@step
def block() -> None:
    Path("begun").touch()
    time.sleep(30)
"""


@pytest.mark.slow
def test_the_second_signal_promises_nothing_for_memory(
    folder: Path, environment: dict[str, str]
) -> None:
    (folder / "blocking_steps.py").write_text(BLOCKING)
    (folder / "blocked.ts").write_text(
        SLOW_FLOW.replace("fail", "block").replace("slow", "blocking")
    )
    arguments = ("run", "blocked.ts", "--steps", "blocking_steps", "--world", "memory://")
    with program(folder, environment, *arguments) as process:
        await_file(folder / "begun")
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert "signal again to exit at once" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "exited at once" in said
    assert "another worker" not in said


# --- the rest --------------------------------------------------------------------------------


def test_the_version_is_printed() -> None:
    version = importlib.metadata.version("perdure")
    assert call("--version").stdout == f"perdure {version}\n"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs"), (1234, "1,234 runs")]
)
def test_what_is_counted_has_its_plural(count: int, text: str) -> None:
    assert counted(count, "run") == text


@pytest.mark.slow
def test_one_of_a_kind_is_told_as_one(perdure: Program) -> None:
    run_id = json.loads(perdure("run", "flow.ts#flow", "[0]", "--json").stdout)["id"]
    assert "1 delivery, " in perdure("verify", run_id).stdout


@pytest.mark.parametrize("opener", ["../x:f", ".x:f", "x", "json:nope", "", ":"])
def test_an_opener_that_is_none_is_told(opener: str) -> None:
    done = call("certify", "memory://", "--opener", opener, code=2)
    assert "is not a function, written module:name" in done.stderr
