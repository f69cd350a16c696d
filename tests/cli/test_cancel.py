"""Cancel and wake: runs chosen by filters are counted and confirmed before anything ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from typer.testing import CliRunner, Result

from perdure.cli import app
from perdure.model import EntityId, Event, EventType, LoggedEvent, RunId, RunStatus
from perdure.testing.memory import MemoryWorld
from perdure.testing.memory._store import StoredRun
from tests.cli.nasty import store
from tests.cli.test_text import RECORD

URL = "memory://cancel"


@pytest.fixture
def world() -> Iterator[MemoryWorld]:
    """What the commands open: three runs that go on, and one that has ended."""
    world = MemoryWorld(URL)
    world._store.runs.clear()
    runs: dict[RunId, StoredRun] = {}
    for n in range(4):
        tier = {"tier": "gold" if n else "tin"}
        status = RunStatus.COMPLETED if n == 3 else RunStatus.RUNNING
        record = replace(
            RECORD, run_id=RunId(f"run_{n}"), created_at_ms=n, attributes=tier, status=status
        )
        store(world, record, [], [])
        runs |= world._store.runs
    world._store.runs.update(runs)
    yield world
    world._store.runs.clear()


def call(*arguments: str, code: int = 0, answer: str = "") -> Result:
    done = CliRunner().invoke(app, [*arguments, "--world", URL], input=answer)
    assert done.exit_code == code, done.output
    return done


def cancelled(world: MemoryWorld) -> set[str]:
    runs = world._store.runs.values()
    return {run.record.run_id for run in runs if run.record.status is RunStatus.CANCELLED}


def test_runs_that_a_filter_chooses_are_ended_once_that_is_confirmed(world: MemoryWorld) -> None:
    told = call("cancel", "--attribute", "tier=gold", code=2).stderr
    assert "2 runs to cancel: run_2, run_1" in told
    assert "add --yes" in told
    assert cancelled(world) == set()
    rows = json.loads(call("cancel", "--attribute", "tier=gold", "--yes", "--json").stdout)
    assert [(row["id"], row["cancelled"]) for row in rows] == [("run_2", True), ("run_1", True)]
    assert cancelled(world) == {"run_1", "run_2"}


@pytest.mark.parametrize(("answer", "ended"), [("y\n", 3), ("n\n", 0)])
def test_who_is_at_a_terminal_is_asked(
    world: MemoryWorld, monkeypatch: pytest.MonkeyPatch, answer: str, ended: int
) -> None:
    monkeypatch.setattr("perdure.cli._cancel._is_terminal", lambda: True)
    call("cancel", "--status", "running", answer=answer, code=0 if ended else 1)
    assert len(cancelled(world)) == ended


def test_named_runs_each_have_an_answer(world: MemoryWorld) -> None:
    done = call("cancel", "run_0", "run_3", "run_9", code=1)
    assert "cancelled run_0" in done.stdout
    assert "run run_3 has already ended (completed)" in done.stdout
    assert "run run_9 is not in this world" in done.stdout
    assert "1 run cancelled" in done.stderr
    assert call("cancel", "--workflow", "none", "--yes").stderr.startswith("0 runs cancelled")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "name runs, or choose them"),
        (["run_0", "--status", "running"], "name runs, or choose them"),
        (["--attribute", "tier"], "write NAME=TEXT"),
        (["--status", "failed"], "it is running or pending"),
        (["run_0", "--reason", "x" * 513], "at most 512"),
        (["run_0", "--graceful", "soon"], "it is a time such as 30s"),
        (["run_0", "--graceful", "-1s"], "it is a time such as 30s"),
    ],
)
def test_mistakes_say_what_to_write(world: MemoryWorld, arguments: list[str], text: str) -> None:
    assert text in call("cancel", *arguments, code=2).stderr
    assert cancelled(world) == set()


def test_runs_are_asked_to_end_within_a_time(world: MemoryWorld) -> None:
    assert call("cancel", "run_0", "--graceful", "1h 30m").stdout == "asked to end: run_0\n"
    rows = json.loads(call("runs", "--json").stdout)
    assert [row["id"] for row in rows if row["cancel_at"]] == ["run_0"]
    assert "asked to end: it is cancelled at" in call("inspect", "run_0").stdout
    done = call("cancel", "run_1", "run_2", "--graceful", "5 minutes")
    assert (done.stdout, done.stderr) == (
        "asked to end: run_1\nasked to end: run_2\n",
        "2 runs asked to end\n",
    )
    assert cancelled(world) == set()


def test_a_family_is_cancelled_by_choice(world: MemoryWorld) -> None:
    parent, child = (world._store.runs[RunId(f"run_{n}")] for n in (0, 1))
    facts = {"run_id": "run_1"}
    event = Event(type=EventType.CHILD_CREATED, key="child_1/created", at_ms=1, facts=facts)
    for choice, ended in (("leave", {"run_0"}), ("cancel", {"run_0", "run_1"})):
        parent.events = [LoggedEvent(position=1, event=event)]
        parent.positions = {event.key: 1}
        parent.record = replace(parent.record, position=1, status=RunStatus.RUNNING)
        child.record = replace(child.record, attributes={"$parentRunId": "run_0"})
        call("cancel", "run_0", "--children", choice)
        assert cancelled(world) == ended


def test_runs_are_listed_by_attribute(world: MemoryWorld) -> None:
    rows = json.loads(call("runs", "--attribute", "tier=tin", "--json").stdout)
    assert [row["id"] for row in rows] == ["run_0"]
    more = call("runs", "--attribute", "tier=gold", "--limit", "1").stderr
    assert "--attribute tier=gold" in more


def test_sleeps_are_ended(world: MemoryWorld) -> None:
    event = Event(
        type=EventType.WAIT_CREATED, key="wait_1/created", at_ms=1, entity=EntityId("wait_1")
    )
    run = world._store.runs[RunId("run_0")]
    run.events, run.record = [LoggedEvent(position=1, event=event)], replace(run.record, position=1)
    assert "has no wait 'wait_2'" in call("wake", "run_0", "wait_2", code=2).stderr
    assert json.loads(call("wake", "run_0", "--json").stdout) == {"id": "run_0", "waits": 1}
    assert call("wake", "run_0").stdout == "0 sleeps ended\n"
