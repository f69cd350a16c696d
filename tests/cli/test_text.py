"""Text from workflows, steps and stores is data: it gives no orders and forges no line."""

from __future__ import annotations

import ast
import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from typer.testing import CliRunner, Result

from perdure import cli
from perdure.cli import app
from perdure.model import (
    Digest,
    EntityId,
    Event,
    EventType,
    LoggedEvent,
    RunId,
    RunRecord,
    RunStatus,
)
from perdure.testing.memory import MemoryWorld
from tests.cli.nasty import LONG, NASTY, TEXTS, assert_displayable, events, parsed, records, store

pytestmark = pytest.mark.slow

URL = "memory://nasty"
UNHURRIED = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large)
RECORD = RunRecord(
    run_id=RunId("run_a"),
    workflow="flow",
    bundle=Digest("b"),
    engine=Digest("e"),
    status=RunStatus.RUNNING,
    turn=1,
    position=2,
    consumed=1,
    log_digest=b"",
    created_at_ms=1,
)
COMMANDS = (
    ("runs",),
    ("runs", "--error", "E"),
    ("inspect", "RUN"),
    ("inspect", "another"),
    ("log", "RUN"),
    ("verify", "RUN"),
    ("cancel", "RUN", "--reason", "RUN"),
    ("hooks",),
    ("hooks", "RUN"),
    ("resume", "RUN"),
    ("wake", "RUN"),
    ("rerun", "RUN"),
    ("move", "RUN", "--to", "memory://elsewhere"),
    ("move", "RUN", "--to", "sqlite:///RUN"),
)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")


@pytest.fixture
def world() -> Iterator[MemoryWorld]:
    """What the commands open; emptied afterwards."""
    made = MemoryWorld(URL)
    yield made
    made._store.runs.clear()


def call(*arguments: str, codes: tuple[int, ...] = (0,)) -> Result:
    """Call a command in this process; check that it ends as documented and what it prints."""
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code in codes, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert "Traceback" not in done.output
    assert_displayable(done.stdout)
    assert_displayable(done.stderr)
    return done


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@settings(max_examples=25, suppress_health_check=UNHURRIED)
@given(record=records(), log=events(), console=st.lists(TEXTS, max_size=4))
def test_any_run_is_shown(
    world: MemoryWorld,
    command: tuple[str, ...],
    record: RunRecord,
    log: list[LoggedEvent],
    console: list[str],
) -> None:
    store(world, record, log, [line.encode("utf-8", "surrogatepass") for line in console])
    named = [
        record.run_id if part == "RUN" else part.replace("RUN", record.run_id) for part in command
    ]
    arguments = (
        [*named[:1], "--world", URL, *named[1:]] if named[0] == "runs" else [*named, "--world", URL]
    )
    if any(part.startswith("-") for part in named[1:2]):
        arguments = [*arguments[:1], "--world", URL, "--", *named[1:]]
    call(*arguments, codes=(0, 1, 2, 3))
    shown = call(*arguments[:1], "--json", *arguments[1:], codes=(0, 1, 2, 3))
    if shown.exit_code == 0:
        parsed(shown.stdout)


def event(kind: EventType, entity: str | None = None, /, **facts: object) -> LoggedEvent:
    # Facts of any kind.
    made = Event(type=kind, key="k", at_ms=1, entity=entity and EntityId(entity), facts=facts)  # type: ignore[arg-type]
    return LoggedEvent(position=1, event=made)


def test_a_wait_in_the_year_275760_is_shown(world: MemoryWorld) -> None:
    last_ms = 8_640_000_000_000_000
    store(world, RECORD, [event(EventType.WAIT_CREATED, "wait_1", resume_at_ms=last_ms)], [])
    assert "+275760-09-13" in call("inspect", "run_a", "--world", URL).stdout
    shown = parsed(call("inspect", "run_a", "--world", URL, "--json").stdout)
    assert shown["waits"][0]["resume_at"] == "+275760-09-13T00:00:00+00:00"


@pytest.mark.parametrize("text", NASTY)
def test_a_step_is_shown_by_the_letter(world: MemoryWorld, text: str) -> None:
    store(world, RECORD, [event(EventType.STEP_CREATED, f"{text}e", step=f"<{text}>", at=text)], [])
    shown = call("inspect", "run_a", "--world", URL).stdout
    if text.isprintable() and text.isascii():
        assert f"<{text}>" in shown
    assert (
        parsed(call("inspect", "run_a", "--world", URL, "--json").stdout)["steps"][0]["at"] == text
    )


@settings(max_examples=50, suppress_health_check=UNHURRIED)
@given(name=TEXTS, run_id=TEXTS)
def test_no_name_adds_a_line_to_a_table(world: MemoryWorld, name: str, run_id: str) -> None:
    store(world, replace(RECORD, run_id=RunId(run_id), workflow=name), [], [])
    lines = call("runs", "--world", URL).stdout.splitlines()
    assert {line[0] for line in lines} <= set("┏┃┡│└")
    assert len([line for line in lines if "running" in line]) == 1


def test_what_is_long_is_cut_with_a_word(world: MemoryWorld) -> None:
    store(
        world,
        replace(RECORD, workflow=LONG),
        [event(EventType.STEP_CREATED, LONG, step=LONG)],
        [b"x" * 10_000_000],
    )
    shown = call("inspect", "run_a", "--world", URL).stdout
    assert len(shown) < 200_000
    head, *table = shown.splitlines()
    assert head.endswith(f"… (cut, {len(LONG):,} characters)  running")
    assert any(f"(cut, {len(LONG):,} characters)" in line for line in table)
    logged = call("log", "run_a", "--world", URL).stdout
    assert "(cut, 10,000,000 characters)" in logged
    assert len(logged) < 30_000
    assert parsed(call("log", "run_a", "--world", URL, "--json").stdout) == ["x" * 10_000_000]


def test_lines_of_a_console_line_are_indented(world: MemoryWorld) -> None:
    store(world, RECORD, [], [b"first\nsecond\r\n\tthird", b"last"])
    assert call("log", "run_a", "--world", URL).stdout == "first\n  second\n      third\nlast\n"


FLOW = """
const text = TEXT;

export async function flow(): Promise<string> {
  "use workflow";
  console.log(text);
  console.error(text);
  return text;
}

export async function broken(): Promise<void> {
  "use workflow";
  const error = new Error(text, { cause: new TypeError(text) });
  error.name = text;
  throw error;
}
"""


@settings(max_examples=10, suppress_health_check=UNHURRIED)
@given(text=TEXTS)
def test_what_a_workflow_prints_returns_and_throws_is_shown(text: str) -> None:
    Path("flow.ts").write_text(FLOW.replace("TEXT", json.dumps(text)))
    done = call("run", "flow.ts#flow", "--world", "memory://", codes=(0, 1))
    assert done.exit_code == 1 or isinstance(parsed(done.stdout), str)
    failed = call("run", "flow.ts#broken", "--world", "memory://", codes=(1,))
    assert failed.stdout == ""
    assert failed.stderr.startswith("error: run run_")
    lines = failed.stderr.splitlines()
    assert all(line.startswith(("error: run", "caused by", "  ")) or not line for line in lines)


@settings(max_examples=50, suppress_health_check=UNHURRIED)
@given(text=TEXTS, name=TEXTS)
def test_a_mistake_is_told_by_the_letter(text: str, name: str) -> None:
    usage = (0, 1, 2, 3)
    Path("bad.ts").write_text(
        f"import {{ x }} from {json.dumps(text)};\nexport const a = '{name}", errors="replace"
    )
    call("compile", "bad.ts", codes=usage)
    call("compile", f"bad.ts#{text}", codes=usage)
    call("run", f"./{name}.ts", "--world", "memory://", codes=usage)
    call("run", "bad.ts", text or "[", "--world", "memory://", codes=usage)
    call("types", f"x{text}", codes=usage)
    call("inspect", "run_a", "--world", f"x{text}", codes=usage)
    call("inspect", "run_a", "--world", f"{text}://{name}", codes=usage)
    call("runs", "--limit", f"1{text}", "--world", "memory://", codes=usage)
    call("runs", "--status", text, "--world", "memory://", codes=usage)
    call(f"x{text}", codes=usage)
    call(f"--x{text}", codes=usage)
    call("certify", "memory://", "--only", f"{text}!", codes=usage)
    call("certify", "memory://", "--tier", f"{text}!", codes=usage)
    call("certify", "memory://", "--opener", f"{text}!", codes=usage)


def test_all_that_is_printed_goes_through_one_module() -> None:
    folder = Path(cli.__file__).parent
    for path in folder.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path.name == "_output.py":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("print", "typer.echo", "typer.secho"), path.name
                assert not called.startswith(("sys.stdout", "sys.stderr")), path.name
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert "rich" not in ast.unparse(node), path.name


def test_a_damaged_file_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("PERDURE_WORLD", raising=False)
    run_id = parsed(call("start", "flow.ts#flow", "--json").stdout)["id"]
    damages = (
        "type = 99",
        "type = 'x'",
        "facts = x'ff'",
        "facts = x'62ff'",
        "key = x''",
        "key = 1",
    )
    for damage in damages:
        with contextlib.closing(sqlite3.connect(".perdure/perdure.db")) as db:
            db.execute(f"UPDATE events SET {damage}")
            db.commit()
        shown = call("inspect", run_id, codes=(0, 3))
        assert shown.exit_code == 0 or "later version of perdure-sqlite" in shown.stderr
        assert shown.exit_code == 3 or damage != damages[0]
        with contextlib.closing(sqlite3.connect(".perdure/perdure.db")) as db:
            db.execute("UPDATE events SET type = 0, facts = NULL, key = x'00'")
            db.commit()


@pytest.mark.parametrize(
    "damage",
    ["status = 'later'", "attributes = x'ff'", "payload = x'ff'", "workflow = x'ff'", "turn = 'x'"],
)
def test_a_damaged_record_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("PERDURE_WORLD", raising=False)
    run_id = parsed(call("start", "flow.ts#flow", "--json").stdout)["id"]
    with contextlib.closing(sqlite3.connect(".perdure/perdure.db")) as db:
        db.execute(f"UPDATE runs SET {damage}")
        db.commit()
    call("inspect", run_id, codes=(0, 3))
    call("runs", codes=(0, 3))
