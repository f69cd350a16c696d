"""Ignores: each check that is switched off names its code and says why, there or the line above."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "worlds", "tests", "docs", "examples", "benchmarks")
# A code, or for a whole file a setting; whatever follows the last one is the reason.
_SWITCH = re.compile(
    r"#\s*(?:type:\s*ignore(?P<mypy>\[[\w, -]+\])?"
    r"|pyright:\s*ignore(?P<pyright>\[[\w, ]+\])?"
    r"|(?:ruff:\s*)?noqa(?P<ruff>:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?"
    r"|pragma:\s*no\s*(?P<coverage>cover|branch)"
    r"|(?:mypy|pyright):\s*(?P<file>[\w-]+=\w+(?:,\s*[\w-]+=\w+)*))"
)


def _files() -> Iterator[Path]:
    yield from ROOT.glob("*.py")
    for folder in FOLDERS:
        yield from (ROOT / folder).rglob("*.py")


def _unexplained(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    if not _SWITCH.search(text):  # reading tokens takes long
        return
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        switches = list(_SWITCH.finditer(token.string)) if token.type == tokenize.COMMENT else []
        if not switches:
            continue
        where = f"{path}:{token.start[0]}"
        if not all(any(switch.groups()) for switch in switches):
            yield f"{where} names no code"
        above = lines[token.start[0] - 2].strip() if token.start[0] > 1 else ""
        is_told_above = above.startswith("#") and not above.startswith("#!")
        if not token.string[switches[-1].end() :].strip(" #") and not is_told_above:
            yield f"{where} has no reason"


@pytest.mark.slow
def test_each_ignore_has_a_code_and_a_reason() -> None:
    assert [line for path in sorted(_files()) for line in _unexplained(path)] == []


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("x = 1  # type: ignore[misc]\n", ["has no reason"]),
        ("x = 1  # type: ignore  # why\n", ["names no code"]),
        ("x = 1  # noqa\n", ["names no code", "has no reason"]),
        ("x = 1  # pragma: no cover\n", ["has no reason"]),
        ("# pyright: reportUnknownMemberType=false\n", ["has no reason"]),
        ("x = 1  # type: ignore[misc]  # pyright: ignore[reportX]\n", ["has no reason"]),
        ("x = 1  # type: ignore[a, b]  # noqa: E501  # why\n", []),
        ("# why\nx = 1  # noqa: E501, B018\n", []),
        ("# Why.\n# pyright: reportX=false\n# pyright: reportY=false\n", []),
        ("x = '# noqa'\n", []),
    ],
)
def test_an_ignore_without_is_found(tmp_path: Path, text: str, problems: list[str]) -> None:
    (tmp_path / "a.py").write_text(text)
    found = [line.split(" ", 1)[1] for line in _unexplained(tmp_path / "a.py")]
    assert found == problems


# Modules that turn values into bytes or declarations and back, and the kit: values of any type.
_OF_ANY = re.compile(
    r"/_protocol/|/_types/|/testing/|/_core/plain\.py|/(_schema|_packing|_values)\.py$"
)
MOST = 140


@pytest.mark.slow
def test_any_stays_rare() -> None:
    """It switches checks off as well; where a library has no types it is named once."""
    places = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (*ROOT.glob("src/**/*.py"), *ROOT.glob("worlds/*/src/**/*.py"))
        if not _OF_ANY.search(path.relative_to(ROOT).as_posix())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name) and node.id == "Any"
    ]
    assert len(places) <= MOST, places
