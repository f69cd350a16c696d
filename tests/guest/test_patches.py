"""Patches: each place in the engine's source is there once, or nothing is built."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "src/perdure/_guest/patches.py"
SOURCE = """static int twice(int a)
{
    return a + a;
}

int f(int a);
int f(int a)
{
    return twice(a);
}
"""


@pytest.fixture(scope="module")
def patches() -> dict[str, Any]:
    """What the script defines."""
    return runpy.run_path(str(SCRIPT))


def test_a_function_is_found_by_its_definition(patches: dict[str, Any]) -> None:
    start, end = patches["_body"](SOURCE, "f")
    assert SOURCE[start:end] == "    return twice(a);\n}\n"
    with pytest.raises(ValueError, match="there are 0 functions named g"):
        patches["_body"](SOURCE, "g")
    with pytest.raises(ValueError, match="there are 2 functions named f"):
        patches["_body"](SOURCE + SOURCE, "f")


def test_an_edit_stays_within_its_function(patches: dict[str, Any]) -> None:
    edited = patches["_edited"](SOURCE, "f", "return", "again: return")
    assert edited == SOURCE.replace("return twice", "again: return twice")
    for before in ("a + a", "(a)\n"):
        with pytest.raises(ValueError, match="f has no one place for"):
            patches["_edited"](SOURCE, "f", before, "")


def test_another_version_of_the_engine_is_refused(patches: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="functions named"):
        patches["patch"](SOURCE)
