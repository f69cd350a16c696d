"""The diagrams of the design tour are those the tables give."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from perdure._core.transitions import TABLES, EntityKind, is_ended

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "design.md").read_text(encoding="utf-8")
SCRIPT = runpy.run_path(str(DOCS / "diagrams.py"))


def test_the_page_is_what_the_script_writes() -> None:
    assert SCRIPT["updated"](PAGE) == PAGE, "run: nox -s docs"


@pytest.mark.parametrize("kind", EntityKind)
def test_a_diagram_has_every_row_of_its_table_and_no_other(kind: EntityKind) -> None:
    block = (
        PAGE.partition(f"### {kind.value}\n")[2].partition("```mermaid\n")[2].partition("```")[0]
    )
    arrows = re.findall(r"(\S+) --> (\S+): (.+)", block)
    drawn = {
        ("absent" if before == "[*]" else before, event, after)
        for before, after, events in arrows
        for event in events.split(", ")
    }
    assert drawn == {
        (state, event.value, after)
        for state, row in TABLES[kind].items()
        for event, after in row.items()
    }
    ended = set(re.findall(r"(\S+) --> \[\*\]", block))
    assert ended == {state for state in TABLES[kind] if is_ended(kind, state)}


def test_a_page_whose_tables_have_changed_is_noticed() -> None:
    assert SCRIPT["updated"](PAGE.replace("step_retrying", "step_repeating")) == PAGE
