"""Cold start: a process that starts one run, and no module that it has no use for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, sys, types
from perdure import Worker, Workflow, open_world, start, step

@step(name="m:add")
async def add(x: int) -> int:
    return x + 1

SOURCE = 'import { add } from "python:m";' \\
    'export async function flow(x) { "use workflow"; return await add(x) }'
steps = types.ModuleType("m")
steps.add = add
sys.modules["m"] = steps

async def main():
    async with open_world(sys.argv[1]) as world, Worker(world, steps=[add]):
        run = await start(Workflow.from_source(SOURCE, filename="m.js"), [1])
        assert await run.result() == 2

asyncio.run(main())
print("\\n".join(sys.modules))
"""

# Each took a millisecond or more, alone or with what it imports.
OF_OTHERS = {
    *("email", "importlib.metadata", "zipfile", "csv", "difflib"),
    *("json", "pydantic", "hypothesis", "pytest", "motor", "pymongo", "boto3", "starlette"),
    *("trio", "rich", "tree_sitter_typescript"),
}
OURS = {
    *("cli", "web", "testing", "_types", "_guest", "_core.book", "_core.mail", "_core.shelf"),
    *("_protocol.json_values", "_protocol.schemas", "_protocol.structure"),
    *("_runtime.cancellation", "_runtime.health", "_runtime.hooks", "_runtime.hook_types"),
    *("_runtime.hook_schema", "_runtime.inspect", "_runtime.move", "_runtime.waits"),
    *("_compiler.shaking", "_compiler.step_form", "_compiler.step_functions"),
    *("_compiler.workflow_form", "_runtime.worker.scripts", "_steps.driver", "_steps.guest"),
    *("_runtime.streams.doors", "_runtime.streams.readable", "_runtime.streams.writable"),
}
MOST = 255  # modules of this package and of the world's; 249 when this was written


def _modules(folder: Path) -> set[str]:
    paths = [path for path in sys.path if path]
    answer = subprocess.run(
        [sys.executable, "-S", "-c", PROGRAM, f"sqlite:///{folder}/a.db"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    return set(answer.stdout.split())


@pytest.mark.slow  # a process
def test_a_first_run_imports_what_it_needs(tmp_path: Path) -> None:
    modules = _modules(tmp_path)
    assert "perdure._runtime.worker.worker" in modules
    assert OF_OTHERS & modules == set()
    assert {name for name in OURS if f"perdure.{name}" in modules} == set()
    ours = {name for name in modules if name.split(".")[0] in ("perdure", "perdure_sqlite")}
    assert len(ours) <= MOST


@pytest.mark.slow  # a process
@pytest.mark.parametrize("way", ["readable", "writable"])
def test_a_stream_that_is_the_first_opens(way: str) -> None:
    """A step may get one as a value in a process that has had to do with none."""
    code = f"from perdure.values import Stream; print(Stream('run', 'out').{way}())"
    answer = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert way.title() in answer.stdout


def test_each_module_that_is_left_out_is_there() -> None:
    for name in OURS:
        path = Path(__file__).parents[1].joinpath("src/perdure", *name.split("."))
        assert path.with_suffix(".py").exists() or path.joinpath("__init__.py").exists(), name
