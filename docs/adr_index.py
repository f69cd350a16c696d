"""The index of decisions: docs/adr/README.md from the files beside it; ``nox -s docs``.

A decision's file begins with its number and title, a blank line, and its status with a date, such
as ``Accepted, 2026-11-24.`` or ``Superseded by 31, 2026-12-05.`` A file without the third is given
``Accepted`` and the day of today.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import NamedTuple

__all__ = ("FOLDER", "Decision", "dated", "index", "main", "texts")

FOLDER = Path(__file__).with_name("adr")
HEAD = """\
# Decisions

Why things are as they are. Each page has a decision, what it rests on (often a measurement), and
what was rejected. A decision that no longer holds keeps its page, and its status names the one
that took its place. To add one: take the next number, begin as the others do, and run
`nox -s docs`, which writes this list.

| number | decision | status | date |
| --- | --- | --- | --- |
"""
_FORM = re.compile(r"# (\d+)\. (.+)\n\n(?:([A-Z][\w ]*), (\d{4}-\d\d-\d\d)\.\n\n)?")


class Decision(NamedTuple):
    """One row of the index."""

    number: int
    title: str
    status: str
    day: str
    file: str


def texts() -> dict[str, str]:
    """Each decision's text, by its file's name."""
    return {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("0*.md")}


def dated(text: str, today: date) -> str:
    """The text of a decision with a status."""
    match = _FORM.match(text)
    assert match, f"a decision begins with '# number. title' and a blank line, not {text[:40]!r}"
    if match[3]:
        return text
    return f"{match[0]}Accepted, {today.isoformat()}.\n\n{text[match.end() :]}"


def _decisions(texts: Mapping[str, str]) -> Iterable[Decision]:
    for file, text in sorted(texts.items()):
        match = _FORM.match(text)
        assert match, file
        yield Decision(int(match[1]), match[2], match[3], match[4], file)


def index(texts: Mapping[str, str]) -> str:
    """The page that lists these decisions."""
    rows = [
        f"| {one.number} | [{one.title}]({one.file}) | {one.status} | {one.day} |\n"
        for one in _decisions(texts)
    ]
    return HEAD + "".join(rows)


def main() -> None:
    """Write the index, and a status where there is none."""
    for name, text in texts().items():
        (FOLDER / name).write_text(dated(text, date.today()), encoding="utf-8")
    (FOLDER / "README.md").write_text(index(texts()), encoding="utf-8")


if __name__ == "__main__":
    main()
