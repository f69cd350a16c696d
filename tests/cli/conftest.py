"""A folder as a new user would have it, and the program in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

STEPS = """
from perdure import step

@step(name="cli_steps:add")
async def add(a: int, b: int) -> int:
    return a + b

@step(name="cli_steps:fail", max_retries=0)
async def fail(text: str) -> None:
    raise ValueError("it is " + text)
"""
FLOW = """
import { add, fail } from "python:cli_steps";
import { sleep } from "workflow";

async function helper(text: string) {
  await fail(text);
}

export async function flow(n: number): Promise<number> {
  "use workflow";
  console.log("adding", n);
  console.warn("carefully");
  let total = 0;
  for (let i = 0; i < n; i++) total = await add(total, i);
  return total;
}

export async function broken(): Promise<void> {
  "use workflow";
  await helper("so");
}

export async function patient(): Promise<void> {
  "use workflow";
  await sleep("1 hour");
}
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a workflow and its steps."""
    (tmp_path / "cli_steps.py").write_text(STEPS)
    (tmp_path / "empty_steps.py").write_text("")
    (tmp_path / "flow.ts").write_text(FLOW)
    return tmp_path


@pytest.fixture
def environment() -> dict[str, str]:
    """This process's environment, with plain output and the default world."""
    kept = {k: v for k, v in os.environ.items() if k != "PERDURE_WORLD"}
    return {**kept, "NO_COLOR": "1", "COLUMNS": "200"}


@pytest.fixture
def perdure(folder: Path, environment: dict[str, str]) -> Run:
    """Run the program in the folder."""

    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "perdure", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stderr + done.stdout
        return done

    return run
