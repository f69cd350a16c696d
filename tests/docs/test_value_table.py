"""Each value of the table comes through unchanged, and the page says what a workflow saw."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "values.md").read_text(encoding="utf-8")


def load() -> Any:
    """The script as a module that its own annotations can be looked up in."""
    spec = importlib.util.spec_from_file_location("value_table", DOCS / "value_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = load()


def test_the_page_is_what_the_script_writes() -> None:
    rows = SCRIPT.ROWS
    told = {row.python: kind for row, (kind, _, _) in zip(rows, SCRIPT.crossed(rows), strict=True)}
    assert SCRIPT.updated(PAGE, told) == PAGE, "run: nox -s docs"


@pytest.mark.parametrize("row", SCRIPT.ROWS, ids=lambda row: row.python)
def test_a_value_comes_back_by_itself_and_within_others(row: Any) -> None:
    rows = SCRIPT.nested(row)
    for sent, (_, by_step, by_start) in zip(rows, SCRIPT.crossed(rows), strict=True):
        for back in (by_step, by_start):
            assert back == sent.value, sent.python
            assert type(back) is type(sent.value), sent.python
