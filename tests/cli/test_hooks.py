"""Hooks on the command line: listed, and resumed by their tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from typer.testing import CliRunner, Result

from perdure import Run, Worker, Workflow, open_world, start
from perdure.cli import app
from tests.reference.waiting import until

TALK = Workflow.from_source("""
import { createHook } from "workflow";
export async function talk(): Promise<unknown> {
  "use workflow";
  const hook = createHook({ token: "approve", metadata: { order: 17 } });
  const other = createHook({ token: "plain" });
  return [await hook, await other];
}
""")


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A world that the commands and the test have open at a time."""
    return f"sqlite:///{tmp_path}/perdure.db"


def call(url: str, *arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, [*arguments, "--world", url])
    assert done.exit_code == code, done.output
    return done


@pytest.mark.anyio
async def test_hooks_are_listed_and_resumed(url: str) -> None:
    async def ask(*arguments: str) -> Any:
        done = await anyio.to_thread.run_sync(lambda: call(url, *arguments, "--json"))
        return json.loads(done.stdout)

    async with open_world(url) as world, Worker(world, steps=[]):
        run = await start(TALK, world=world)
        await until(run.hooks)
        rows = await ask("hooks")
        assert [(row["token"], row["run"], row["metadata"]) for row in rows] == [
            ("approve", run.id, {"order": 17}),
            ("plain", run.id, None),
        ]
        assert await ask("hooks", run.id) == rows
        for _ in range(2):
            assert (await ask("resume", "plain", "--resume-id", "1"))["hook"] == rows[1]["id"]
        assert (await ask("resume", "approve", '{"yes": true}'))["run"] == run.id
        await _ends_with(run, [{"yes": True}, None])


async def _ends_with(run: Run, value: object) -> None:
    assert await run.result(timeout=20) == value


def test_mistakes_are_told_with_what_to_write(url: str) -> None:
    told = call(url, "resume", "nobody", "1", code=2).stderr
    assert "'nobody'" in told
    assert "perdure hooks" in told
    assert "the payload is not JSON" in call(url, "resume", "t", "{", code=2).stderr
    assert "token" in call(url, "hooks").stdout
    assert "lives in one process" in call("memory://", "resume", "t", code=2).stderr
