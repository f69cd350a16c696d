"""Hooks on the command line: listed, and resumed by their tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from perdure import Run, Worker, open_world, start, workflow
from tests.cli.conftest import Run as Command
from tests.reference.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
TALK = """
import { createHook } from "workflow";
export async function talk(): Promise<unknown> {
  "use workflow";
  const hook = createHook({ token: "approve", metadata: { order: 17 } });
  const other = createHook({ token: "plain" });
  return [await hook, await other];
}
"""


async def test_hooks_are_listed_and_resumed(perdure: Command, folder: Path) -> None:
    async def ask(*arguments: str) -> Any:
        done = await anyio.to_thread.run_sync(lambda: perdure(*arguments, "--json"))
        return json.loads(done.stdout)

    (folder / "talk.ts").write_text(TALK)
    url = f"sqlite:///{folder}/.perdure/perdure.db"
    async with open_world(url) as world, Worker(world, steps=[]):
        run = await start(workflow(folder / "talk.ts"), world=world)
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


def test_mistakes_are_told_with_what_to_write(perdure: Command) -> None:
    told = perdure("resume", "nobody", "1", code=2).stderr
    assert "'nobody'" in told
    assert "perdure hooks" in told
    assert "the payload is not JSON" in perdure("resume", "t", "{", code=2).stderr
    assert "token" in perdure("hooks").stdout
