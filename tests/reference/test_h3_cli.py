"""H3 of the reference: a conversation with a run from the command line.

H4 (web UI), H5 (traces) and H6 (test kit) are no part of the package so far. H1 and H7 are in
test_h_http.py, H2 in test_h2_health.py; each command has its own tests in tests/cli.
"""

from __future__ import annotations

import json
from typing import Any

import anyio.to_thread
import pytest
from typer.testing import CliRunner

from perdure import Worker, Workflow, start, step, writable
from perdure.cli import app
from perdure.errors import RunCancelledError
from perdure.worlds import open_world
from tests.reference.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.worlds("sqlite", "mongodb", "s3")]

SOURCE = """
import { createHook, setAttributes, sleep } from "workflow";
import { start } from "workflow/api";
import { say } from "python:h3";
export async function child() { "use workflow"; return await say("child"); }
export async function talk() {
  "use workflow";
  await setAttributes({ colour: "red" });
  const { runId } = await start(child);
  const hook = createHook({ token: "h3", metadata: { of: "Ada" } });
  const payload = await hook;
  await say(payload.name);
  await sleep("1 day");
  return [payload, runId];
}
"""


async def test_h3_what_can_be_said_to_a_run_can_be_said_from_the_command_line(url: str) -> None:
    @step(name="h3:say")
    async def say(text: str) -> None:
        async with writable() as out:
            await out.write(text)

    async def call(*arguments: str) -> str:
        command = [*arguments, "--world", url]
        done = await anyio.to_thread.run_sync(lambda: CliRunner().invoke(app, command))
        assert done.exit_code == 0, done.output
        return done.stdout

    async def waiting(status: str, kind: str) -> dict[str, Any] | None:
        shown: dict[str, Any] = json.loads(await call("inspect", run.id, "--json"))
        return shown if [one["status"] for one in shown[kind]][-1:] == [status] else None

    async with open_world(url) as world, Worker(world, steps=[say]):
        run = await start(Workflow.from_source(SOURCE, name="talk"), world=world)
        shown = await until(lambda: waiting("live", "hooks"))
        assert shown["run"]["attributes"] == {"colour": "red"}
        assert [hook["metadata"] for hook in shown["hooks"]] == [{"of": "Ada"}]
        assert [one["status"] for one in shown["children"]] == ["started"]
        assert "h3" in await call("hooks", run.id)
        await call("resume", "h3", '{"name": "Bo"}')
        shown = await until(lambda: waiting("waiting", "waits"))
        assert [stream["chunks"] for stream in shown["streams"]] == [1]
        assert (await call("stream", run.id)).strip() == "Bo"
        await call("wake", run.id)
        result: Any = await run.result(timeout=20)
        assert result[0] == {"name": "Bo"}
        assert "completed" in await call("runs", "--status", "completed")
        other = await start(Workflow.from_source(SOURCE, name="talk"), world=world)
        await call("cancel", other.id, "--yes")
        with pytest.raises(RunCancelledError):
            await other.result(timeout=20)
