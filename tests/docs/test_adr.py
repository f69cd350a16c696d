"""Decisions: each has a number, a title, a status and a date, and stands in the index."""

from __future__ import annotations

import runpy
from datetime import date
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
SCRIPT = runpy.run_path(str(DOCS / "adr_index.py"))
TEXTS: dict[str, str] = SCRIPT["texts"]()


def test_the_index_is_what_the_script_writes() -> None:
    page = (DOCS / "adr" / "README.md").read_text(encoding="utf-8")
    assert page == SCRIPT["index"](TEXTS), "run: nox -s docs"


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_a_decision_says_when_and_whether_it_holds(name: str) -> None:
    text = TEXTS[name]
    assert SCRIPT["dated"](text, date.today()) == text, "run: nox -s docs"
    assert text.startswith(f"# {int(name[:4])}. ")


def test_no_number_is_taken_twice() -> None:
    numbers = [name[:4] for name in TEXTS]
    assert len({*numbers}) == len(numbers)


def test_a_decision_without_a_status_is_accepted_today() -> None:
    dated = SCRIPT["dated"]("# 7. Title\n\nText\n", date(2026, 12, 1))
    assert dated == "# 7. Title\n\nAccepted, 2026-12-01.\n\nText\n"
    with pytest.raises(AssertionError, match="begins with"):
        SCRIPT["dated"]("Title\n", date(2026, 12, 1))
