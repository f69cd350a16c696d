"""``perdure serve``: worker and HTTP app as one process, as a user starts and stops it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from perdure.cli import app
from tests.examples.programs import Program, running

pytestmark = pytest.mark.slow

STEPS = """
from perdure import step

@step
async def add(a: int, b: int) -> int:
    return a + b

def authorize(request, action, run_id):
    return request.headers.get("authorization") == "Bearer key"

word = "no function"
"""
FLOW = """
import { add } from "python:shop";
export async function total(a: number, b: number) {
  "use workflow";
  return await add(a, b);
}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with a step and a workflow."""
    (tmp_path / "shop.py").write_text(STEPS)
    (tmp_path / "total.ts").write_text(FLOW)
    return tmp_path


def _url_of(program: Program) -> str:
    return program.wait_line(r"working on sqlite:\S+, answering at (http://127\.0\.0\.1:\d+)$")[1]


def test_it_serves_until_it_is_told_to_stop(folder: Path) -> None:
    command = (
        "perdure serve --steps shop --port 0 --workflow sum=total.ts --authorize shop:authorize"
    )
    with running(command, folder) as program:
        headers = {"authorization": "Bearer key"}
        url = _url_of(program)
        with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
            run = client.post("/api/runs", json={"workflow": "sum", "args": [1, 2]}).json()
            ended = client.get(f"/api/runs/{run['id']}", params={"wait": 20}).json()
            assert ended["output"] == 3
            assert client.get("/api/runs", headers={"authorization": ""}).status_code == 403
        assert program.stop() == 0
        assert "draining" in program.told


def test_without_authorize_there_is_health_alone(folder: Path) -> None:
    with running("perdure serve --port 0", folder) as program:
        with httpx.Client(base_url=_url_of(program), timeout=30, trust_env=False) as client:
            assert client.get("/.well-known/workflow/v1/health").json()["healthy"] is True
            assert client.get("/api/runs").status_code == 404
        assert program.stop() == 0


def test_a_name_that_is_no_function_is_told(folder: Path) -> None:
    with running("perdure serve --port 0 --authorize shop:word", folder) as program:
        assert program.wait() == 2
        assert "no such function" in program.told


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--workflow total.ts", "NAME=FILE"),
        ("--authorize shop", "MODULE:FUNCTION"),
        ("--port 70000", "cannot listen"),
        ("--base-url shop", "public URL"),
        ("--world memory://", "lives in one process"),
    ],
)
def test_wrong_options_are_told(
    options: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["serve", "--port", "0", *options.split()])
    assert (result.exit_code, words in result.output) == (2, True), result.output
