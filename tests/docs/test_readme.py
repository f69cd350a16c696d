"""What the README shows works as it is written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from perdure.cli.demo import _play

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def blocks(page: Path) -> dict[str, str]:
    """Code blocks that begin with a comment naming their file."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"```(?:python|ts)\n(?:#|//) (\S+)\n(.*?)```", text, re.DOTALL)
    return dict(found)


def test_the_readmes_service_runs(tmp_path: Path) -> None:
    files = blocks(ROOT / "README.md")
    assert set(files) == {"shop.py", "checkout.ts"}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    script = "import anyio, shop; print(anyio.run(shop.main))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "{'card': 'card_1', 'paid': 1299}"


@pytest.mark.crash
def test_the_demo_loses_and_doubles_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "perdure", "demo", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["workers"], told["killed"]) == (5, 4)
    assert (told["lost"], told["doubled"], told["problems"]) == ([], [], [])
    assert told["executed"] >= told["recorded"] >= told["suspensions"] - 10 > 0
    assert told["result"]["looks"] == 4
    _play._print(told, "sqlite:///demo.db")
    said = dict(
        re.findall(r"^[│|] (.+?) +[│|] (.+?) +[│|]$", capsys.readouterr().out, re.MULTILINE)
    )
    assert said[f"workers, {_play._KILLED}"] == "5, 4"
    assert said["results lost"] == said["results doubled"] == "0"
    assert said["replay of the log"] == "gives what was stored"


def test_the_demo_leaves_a_strangers_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "perdure-demo").mkdir()
    (tmp_path / "perdure-demo" / "precious").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "perdure", "demo"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "choose another --folder" in done.stderr
    assert (tmp_path / "perdure-demo" / "precious").exists()
