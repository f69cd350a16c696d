"""What docs/world-authors.md shows works as it is written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/world-authors.md").read_text(encoding="utf-8")
WORLD = ROOT / "examples/files_world/files_world.py"
TEST = WORLD.with_name("test_files_world.py")  # pytest runs it as it is
NAME = "# test_files_world.py\n"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def test_the_template_is_the_test_that_the_example_has() -> None:
    (template,) = [text for text in blocks("python") if text.startswith(NAME)]
    assert template.removeprefix(NAME) == TEST.read_text(encoding="utf-8").split("\n\n", 1)[1]
    lines = [line for line in template.splitlines()[1:] if line.strip()]
    assert len(lines) <= 10


def test_every_excerpt_is_in_the_example() -> None:
    source = WORLD.read_text(encoding="utf-8")
    excerpts = [text for text in blocks("python") if not text.startswith(NAME)]
    assert len(excerpts) >= 4
    for text in excerpts:
        for part in text.strip("\n").split("\n    ...\n"):
            assert part in source, part


def test_the_example_is_as_short_as_the_page_says() -> None:
    assert len(WORLD.read_text(encoding="utf-8").splitlines()) <= 470


@pytest.mark.slow
def test_the_commands_it_shows_are_those_there_are() -> None:
    commands = [line for text in blocks("sh") for line in text.splitlines() if "certify" in line]
    assert commands
    help_text = subprocess.run(
        [sys.executable, "-m", "perdure", "certify", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"COLUMNS": "200", "PATH": ""},
    ).stdout
    for command in commands:
        for option in re.findall(r"--[a-z]+", command):
            assert option in help_text, option
