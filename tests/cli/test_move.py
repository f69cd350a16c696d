"""``perdure move``: what it prints, with what it exits, and what a kill leaves."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from typer.testing import CliRunner, Result

from perdure import Worker, get_run, open_world, step
from perdure.cli import app
from perdure.model import Departure, RunId

pytestmark = pytest.mark.slow

HERE = "sqlite:///.perdure/perdure.db"
THERE = "sqlite:///there.db"
KILLS = 40 if os.environ.get("PERDURE_TIER") == "full" else 2
Call = Callable[..., Result]


@pytest.fixture
def call(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Call the program in this process, in the folder: a new one takes long to begin."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("PERDURE_WORLD", raising=False)

    def invoke(*arguments: str, code: int = 0) -> Result:
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == code, done.output
        return done

    return invoke


def started(call: Call) -> str:
    """A run that no worker has looked at."""
    run_id: str = json.loads(call("start", "flow.ts#flow", "[3]", "--json").stdout)["id"]
    return run_id


def shown(call: Call, run_id: str, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call("inspect", run_id, "--json", *arguments).stdout)
    return found


def departed(run_id: str, there: str) -> None:
    """Have it on its way."""

    async def depart() -> None:
        async with open_world(HERE) as world:
            await world.transfer.depart(Departure(run_id=RunId(run_id), to=there))

    anyio.run(depart)


@step(name="cli_steps:add")
async def add(a: int, b: int) -> int:
    return a + b


@step(name="cli_steps:fail")
async def fail(text: str) -> None:
    raise ValueError(text)


def carried_on(run_id: str, url: str) -> object:
    """What comes of it, with a worker in this world."""

    async def carry_on() -> object:
        async with open_world(url) as world, Worker(world, steps=[add, fail]):
            return await get_run(run_id).result(timeout=30)

    return anyio.run(carry_on)


def test_a_run_goes_on_where_it_was_moved_to(call: Call) -> None:
    run_id = started(call)
    moved = json.loads(call("move", run_id, "--to", THERE, "--json").stdout)
    assert (moved["from"], moved["to"]) == (HERE, THERE)
    assert (moved["run"]["id"], moved["run"]["status"]) == (run_id, "pending")
    here = shown(call, run_id)
    assert (here["run"]["status"], here["run"]["moved_to"]) == ("moved", THERE)
    assert [event["type"] for event in here["events"]] == ["run_created", "run_moved"]
    assert f"moved to: {THERE}\n" in call("inspect", run_id).stdout
    (listed,) = json.loads(call("runs", "--status", "moved", "--json").stdout)
    assert listed["id"] == run_id
    assert "goes on in" in call("move", run_id, "--to", THERE).stdout  # once more

    assert carried_on(run_id, THERE) == 3
    there = shown(call, run_id, "--world", THERE)
    assert there["run"]["moved_to"] is None
    assert [one["attempts"] for one in there["steps"]] == [1, 1, 1]
    assert json.loads(call("verify", run_id, "--world", THERE, "--json").stdout)["passed"]


def test_what_cannot_be_moved_says_why_and_exits_with_2(call: Call) -> None:
    def refused(*arguments: str) -> str:
        return call("move", *arguments, code=2).stderr

    run_id = started(call)
    assert "no run run_none in" in refused("run_none", "--to", THERE)
    assert run_id in refused(run_id[:-2], "--to", THERE)  # did you mean
    assert "name another" in refused(run_id, "--to", HERE)
    same = "sqlite:///./.perdure/perdure.db"  # by another name
    assert "has a run" in refused(run_id, "--to", same)
    unknown = refused(run_id, "--to", "nosuch://there")
    assert "no world is installed for 'nosuch://'" in unknown
    assert "lives in one process" in refused(run_id, "--to", "memory://x")
    call("move", run_id, "--world", HERE, "--to", THERE)
    elsewhere = refused(run_id, "--to", "sqlite:///elsewhere.db")
    assert f"has moved to {THERE}" in elsewhere
    assert f"has moved to {THERE}" in call("cancel", run_id, code=2).stderr
    call("cancel", run_id, "--world", THERE)
    ended = refused(run_id, "--world", THERE, "--to", "sqlite:///elsewhere.db")
    assert "has already ended (cancelled)" in ended


def test_the_former_name_says_the_new_one(call: Call) -> None:
    for arguments in (("copy",), ("copy", "run_a", "--to", THERE), ("--world", HERE, "copy", "-x")):
        told = call("runs", *arguments, code=2).stderr
        assert "perdure move RUN --to URL" in " ".join(told.split())
    assert "copy" not in call("runs", "--help").stdout + call("--help").stdout


def test_a_run_on_its_way_is_shown_with_what_completes_that(call: Call) -> None:
    run_id = started(call)
    departed(run_id, THERE)
    command = f"move {run_id} --to {THERE}"
    assert f"not known to have arrived: perdure {command}\n" in call("inspect", run_id).stdout
    assert f"perdure {command}" in call("cancel", run_id, code=2).stderr
    assert f"perdure {command}" in call("rerun", run_id, code=2).stderr
    call(*command.split())
    assert shown(call, run_id)["run"]["status"] == "moved"


def test_a_run_is_brought_back(call: Call) -> None:
    run_id = started(call)
    call("move", run_id, "--to", THERE)
    back = json.loads(call("move", run_id, "--to", THERE, "--back", "--json").stdout)
    assert (back["from"], back["to"], back["run"]["status"]) == (THERE, HERE, "pending")
    here = shown(call, run_id)
    assert [event["type"] for event in here["events"]] == ["run_created"] + ["run_moved"] * 2
    assert shown(call, run_id, "--world", THERE)["run"]["moved_to"] == HERE
    assert f"goes on in {THERE}" in call("move", run_id, "--to", THERE).stdout
    said = call("move", run_id, "--to", THERE, "--back").stdout
    assert f"goes on in {HERE}" in said
    assert f"perdure worker --world {HERE} " in said
    stays = call("move", started(call), "--to", THERE, "--back", code=2).stderr
    assert f"in {THERE}" in stays


def test_a_run_goes_on_here_if_the_other_world_is_gone_for_good(call: Call, folder: Path) -> None:
    run_id, there = started(call), "sqlite:///lost/there.db"
    departed(run_id, there)
    (folder / "lost").write_text("no folder any more")
    command = ("move", run_id, "--to", there)
    assert "lost" in call(*command, "--back", code=3).stderr
    assert "--keep-here, if that world is gone" in call("cancel", run_id, code=2).stderr
    kept = call(*command, "--keep-here")
    assert f"goes on in {HERE}" in kept.stdout
    assert "not reached: world sqlite:///lost/there.db" in kept.stderr
    assert "the run lives twice" in kept.stderr
    assert f"perdure cancel {run_id} --world {there}" in kept.stderr
    again = json.loads(call(*command, "--keep-here", "--json").stdout)
    assert (again["from"], again["to"], again["run"]["status"]) == (there, HERE, "pending")
    assert carried_on(run_id, HERE) == 3
    here = shown(call, run_id)
    assert [one["attempts"] for one in here["steps"]] == [1, 1, 1]
    assert json.loads(call("verify", run_id, "--json").stdout)["passed"]
    assert (
        "no run run_none"
        in call(*command[:1], "run_none", *command[2:], "--keep-here", code=2).stderr
    )


def test_keeping_a_run_here_is_bringing_it_back_where_the_other_world_answers(
    call: Call, folder: Path
) -> None:
    run_id = started(call)
    departed(run_id, THERE)
    kept = call("move", run_id, "--to", THERE, "--keep-here")  # its file is made anew
    assert f"goes on in {HERE}" in kept.stdout
    assert kept.stderr == ""
    assert shown(call, run_id, "--world", THERE)["run"]["moved_to"] == HERE  # not there as well
    call("move", run_id, "--to", THERE)
    call("move", run_id, "--to", THERE, "--keep-here")
    assert carried_on(run_id, HERE) == 3
    assert not (folder / ".perdure" / "kept.db").exists()


CHILD = """
import anyio, sys
from perdure import move_run
from perdure.worlds import make_world

async def main() -> None:
    async with make_world(sys.argv[2]) as source, make_world(sys.argv[3]) as target:
        print("ready", flush=True)
        await move_run(sys.argv[1], source, target)

anyio.run(main)
"""


def test_a_move_that_is_killed_is_completed_by_the_command(
    call: Call, folder: Path, environment: dict[str, str]
) -> None:
    for kill in range(KILLS):
        run_id, there = started(call), f"sqlite:///there{kill}.db"
        command = [sys.executable, "-c", CHILD, run_id, HERE, there]
        killed = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE)
        with killed:
            assert killed.stdout is not None
            assert killed.stdout.readline() == b"ready\n"
            with contextlib.suppress(subprocess.TimeoutExpired):
                killed.wait(random.random() * 0.04)
            killed.kill()
        call("move", run_id, "--to", there)
        assert shown(call, run_id)["run"]["status"] == "moved"
        found = shown(call, run_id, "--world", there)
        assert found["run"]["status"] == "pending"
        assert [event["type"] for event in found["events"]] == ["run_created", "run_moved"]
