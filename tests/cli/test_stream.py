"""perdure stream: what was written, from any index, and until the end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run

pytestmark = pytest.mark.slow

STEPS = """
import asyncio
from perdure import step, step_metadata, writable

@step(name="talk:talk", retry_delay=0.001)
async def talk():
    async with writable() as out, writable("é") as other:
        await out.write_from(["one", b"two \\xff", {"three": 3}, step_metadata().attempt])
        await other.write("\\x1b[31m")
        if step_metadata().attempt == 1:
            raise ValueError("again")

@step(name="talk:slow")
async def slow(path: str):
    async with writable() as out:
        await out.write("first")
        await out.flush()
        while not await asyncio.to_thread(__import__("os").path.exists, path):
            await asyncio.sleep(0.01)
        await out.write("last")
"""
FLOW = """
import { talk, slow } from "python:talk";
export async function talking() { "use workflow"; console.log("hello"); await talk(); }
export async function slowly(path: string) { "use workflow"; await slow(path); }
"""


@pytest.fixture
def talking(folder: Path) -> Path:
    (folder / "talk.py").write_text(STEPS)
    (folder / "talk.ts").write_text(FLOW)
    return folder


def test_a_stream_is_printed_for_people_and_for_scripts(perdure: Run, talking: Path) -> None:
    perdure("run", "talk.ts#talking", "--steps", "talk")
    (run,) = json.loads(perdure("runs", "--json").stdout)
    done = perdure("stream", run["id"])
    assert done.stdout.splitlines() == ["one", "two \\xff", '{"three": 3}', "1", "2"]
    assert done.stderr == "attempt 2: 1 chunk from 3 on void\n"
    lines = perdure("stream", run["id"], "out", "--start", "-4", "--json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"index": 1, "bytes": "dHdvIP8="},
        {"index": 2, "value": {"three": 3}},
        {"index": 3, "value": 1},
        {"index": 4, "rewind": {"attempt": 2, "void": [[3, 4]]}},
        {"index": 5, "value": 2},
    ][-4:]
    assert perdure("stream", run["id"], "é").stdout == "\\x1b[31m\n"
    assert perdure("stream", run["id"], "out/é", "--follow").stdout == "\\x1b[31m\n"
    assert perdure("stream", run["id"], "log").stdout == "hello\n"
    told = perdure("stream", run["id"], "other", code=2).stderr
    assert "has no stream out/other: there is log, out, out/é" in told
    assert "perdure log" in perdure("stream", run["id"], "log", "--follow", code=2).stderr
    assert "did you mean" in perdure("stream", run["id"] + "x", code=2).stderr
    shown = json.loads(perdure("inspect", run["id"], "--json").stdout)
    assert shown["streams"] == [
        {"name": "log", "chunks": 1, "closed": False},
        {"name": "out", "chunks": 6, "closed": False},
        {"name": "out/é", "chunks": 1, "closed": False},
    ]
    assert "out/é" in perdure("inspect", run["id"]).stdout


def test_follow_prints_as_it_comes(
    perdure: Run, talking: Path, environment: dict[str, str]
) -> None:
    path = talking / "go on"
    run_id = json.loads(
        perdure("start", "talk.ts#slowly", json.dumps([str(path)]), "--json").stdout
    )["id"]
    commands = [["worker", "--steps", "talk"], ["stream", run_id, "--follow"]]
    worker, follow = (
        subprocess.Popen(
            [sys.executable, "-m", "perdure", *command],
            cwd=talking,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for command in commands
    )
    try:
        assert follow.stdout is not None
        assert follow.stdout.readline() == "first\n"  # while the step goes on
        path.touch()
        assert follow.communicate(timeout=10)[0] == "last\n"
        assert follow.returncode == 0
    finally:
        for process in (worker, follow):
            process.terminate()
            process.communicate(timeout=30)
