"""A service in one file, run as a program, with nothing set up before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from perdure import Workflow, get_run, open_world, start

pytestmark = pytest.mark.slow

SERVICE = """
import anyio
from perdure import Worker, open_world, start, step, workflow

@step
async def greet(name: str) -> str:
    return "hello " + name

async def main() -> None:
    async with open_world() as world, Worker(world):
        run = await start(workflow("hello.ts"), ["Ada"])
        print(await run.result(timeout=20))

if __name__ == "__main__":
    anyio.run(main)
"""
DEFAULT = """
import asyncio
from perdure import get_run, start, workflow

async def main() -> None:
    run = await start(workflow("hello.ts"), ["Ada"])  # no world is opened: the default one is
    print((await get_run(run.id).status()).value)

asyncio.run(main())
"""
WORKFLOW = """
import { greet } from "python:MODULE";
export async function hello(name: string) { "use workflow"; return await greet(name); }
"""


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k != "PERDURE_WORLD"}
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env=kept,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "module"), [(("service.py",), "service"), (("-m", "pkg.service"), "pkg.service")]
)
def test_its_steps_have_the_modules_name(
    tmp_path: Path, arguments: tuple[str, ...], module: str
) -> None:
    (tmp_path / "pkg").mkdir()
    for path in ("service.py", "pkg/service.py"):
        (tmp_path / path).write_text(SERVICE)
    (tmp_path / "hello.ts").write_text(WORKFLOW.replace("MODULE", module))
    done = python(tmp_path, *arguments)
    assert (done.stdout, done.stderr) == ("hello Ada\n", "")


def test_the_default_world_needs_no_opening_and_no_farewell(tmp_path: Path) -> None:
    (tmp_path / "default.py").write_text(DEFAULT)
    (tmp_path / "hello.ts").write_text(WORKFLOW.replace("MODULE", "service"))
    done = python(tmp_path, "default.py")
    assert (done.stdout, done.stderr) == ("pending\n", "")
    assert (tmp_path / ".perdure" / "perdure.db").exists()


@pytest.mark.anyio
async def test_an_open_world_is_used_by_the_calls_in_its_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_WORLD", f"sqlite:///{tmp_path}/default.db")
    flow = Workflow.from_source('export async function w() { "use workflow"; return 1 }')
    async with open_world(f"sqlite:///{tmp_path}/outer.db") as outer:
        async with open_world(f"sqlite:///{tmp_path}/inner.db") as inner:
            run = await start(flow)
            assert (await get_run(run.id, inner).info()).run_id == run.id
        again = await start(flow)
        assert (await get_run(again.id, outer).info()).run_id == again.id
        assert (await get_run(again.id).info()).run_id == again.id
    assert not (tmp_path / "default.db").exists()
