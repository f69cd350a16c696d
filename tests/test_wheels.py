"""Installed from wheels into an empty environment, a world is its package and a URL."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from perdure.errors import WorldNotFoundError
from perdure.worlds import make_world
from tests.worlds import EVERY_WORLD

pytestmark = [pytest.mark.slow, EVERY_WORLD]

ROOT = Path(__file__).parents[1]
STEPS = """
from perdure import step

@step
async def add(a: int, b: int) -> int:
    return a + b
"""
FLOW = """
import { sleep } from "workflow";
import { add } from "python:shop";

export async function flow(n: number): Promise<number> {
  "use workflow";
  const parts = await Promise.all([add(n, 1), add(n, 2)]);
  await sleep(10);
  return await add(parts[0], parts[1]);
}
"""


def uv(*arguments: str) -> None:
    """Run uv; what it says is shown if it fails."""
    done = subprocess.run(["uv", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Every package of this repository, by name, as it would be published."""
    if shutil.which("uv") is None:
        pytest.skip("there is no uv on the path to build wheels with")
    folder = tmp_path_factory.mktemp("wheels")
    uv("build", "--quiet", "--all-packages", "--wheel", "--out-dir", str(folder))
    return {path.name.partition("-")[0]: str(path) for path in folder.glob("*.whl")}


class Environment:
    """A virtual environment that nothing is installed in, and a folder with a workflow.

    In the same place each time, where what Python has compiled for the last one still holds.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.binaries = folder / "venv" / "bin"
        uv("venv", "--quiet", "--clear", "--python", sys.executable, str(folder / "venv"))
        (folder / "shop.py").write_text(STEPS)
        (folder / "flow.ts").write_text(FLOW)

    def install(self, *wheels: str) -> None:
        """Install these, and what they need."""
        uv("pip", "install", "--quiet", "--python", str(self.binaries / "python"), *wheels)

    def perdure(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the program as installed there; nothing of this environment is in sight."""
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        done = subprocess.run(
            [str(self.binaries / "perdure"), *arguments],
            cwd=self.folder,
            env={
                **kept,
                "NO_COLOR": "1",
                "COLUMNS": "300",
                "CC": "false",
                "PYTHONPYCACHEPREFIX": str(self.folder / "compiled"),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stderr + done.stdout
        return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the environments are, one after another."""
    return tmp_path_factory.mktemp("installed")


@pytest.fixture
def environment(folder: Path, wheels: dict[str, str]) -> Environment:
    """One with Perdure, and the world that Perdure comes with."""
    made = Environment(folder)
    made.install(wheels["perdure"], wheels["perdure_sqlite"])
    return made


@pytest.mark.reopened
def test_only_the_url_names_the_world(
    environment: Environment, wheels: dict[str, str], world_name: str, url: str
) -> None:
    """The same files and the same command; a world that is missing says what to install."""
    command = ("run", "flow.ts", "[3]", "--steps", "shop", "--world", url)
    if world_name != "sqlite":
        refused = environment.perdure(*command, code=2).stderr
        assert f"no world is installed for '{world_name}://'" in refused
        assert "(installed: memory, sqlite)" in refused
        assert f"pip install perdure-{world_name}" in refused
        environment.install(wheels[f"perdure_{world_name}"])
    assert json.loads(environment.perdure(*command).stdout) == 9
    (run,) = json.loads(environment.perdure("runs", "--world", url, "--json").stdout)
    assert (run["status"], run["output"]) == ("completed", 9)


def test_a_scheme_that_nobody_knows_says_what_there_is() -> None:
    with pytest.raises(
        WorldNotFoundError, match=r"installed: .*sqlite.*; try .*perdure-s3 \(s3://"
    ):
        make_world("redis://x")
