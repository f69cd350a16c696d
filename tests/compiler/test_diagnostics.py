"""Diagnostics: the place, the line and what to write instead, for people to read."""

from __future__ import annotations

from hypothesis import given, strategies as st

from perdure._compiler.diagnostics import Diagnostic, diagnose, suggest
from perdure._compiler.parse import parse


def test_a_diagnostic_shows_its_line_and_points_at_its_column() -> None:
    text = "let é = 1;\n\tlet b = é;\r\n"
    root = parse("a.ts", text)[0].root
    statement = root.named_children[1]
    made = diagnose("a.ts", text.encode(), statement, "no b here", hint="write c")
    assert made == Diagnostic(
        file="a.ts",
        line=2,
        column=2,
        message="no b here",
        hint="write c",
        excerpt=" let b = é;",
    )
    assert str(made) == "a.ts:2:2: no b here\n   let b = é;\n   ^\n  write c"


def test_columns_count_letters_not_bytes() -> None:
    text = "let é = 1; let b;"
    statement = parse("a.ts", text)[0].root.named_children[1]
    made = diagnose("a.ts", text.encode(), statement, "m")
    assert made.column == text.index("let b") + 1
    assert str(made).splitlines()[2].index("^") - 2 == text.index("let b")


def test_a_diagnostic_without_a_line_is_one_line() -> None:
    assert str(Diagnostic(file="a.ts", line=1, column=1, message="m")) == "a.ts:1:1: m"


@given(st.text(max_size=6), st.sets(st.text(max_size=6), max_size=5))
def test_a_suggestion_names_something_that_is_there(name: str, known: set[str]) -> None:
    text = suggest(name, known)
    if not known:
        assert text == "there is nothing"
    elif text.startswith("did you mean"):
        assert text.removeprefix("did you mean ").removesuffix("?") in known
    else:
        assert text == f"there is: {', '.join(sorted(known))}"
    if name in known:
        assert text == f"did you mean {name}?"
