"""Parsing: every syntax error has its place, and every node is walked in order."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from perdure._compiler.parse import parse, walk


@pytest.mark.parametrize(
    ("source", "line", "column", "message"),
    [
        ("let a = ;", 1, 7, "syntax error near '='"),
        ("let a = 1;\nlet b = (1;", 2, 11, "syntax error: missing ')'"),
        ("function (", 1, 1, "syntax error near 'function ('"),
        ("\n  }", 2, 3, "syntax error near '}'"),
        ("function (" + "c" * 60, 1, 1, "syntax error near 'function (" + "c" * 30 + "'"),
    ],
)
def test_a_syntax_error_has_its_place(source: str, line: int, column: int, message: str) -> None:
    first = parse("a.js", source)[1][0]
    assert (first.file, first.line, first.column, first.message) == ("a.js", line, column, message)
    assert first.excerpt == source.split("\n")[line - 1]


def test_a_mask_is_read_and_the_script_is_quoted() -> None:
    source, problems = parse("a.ts", "export { a as with }", mask="export { a as xxxx }")
    assert problems == []
    assert [source.of(n) for n in walk(source.root) if n.type == "identifier"] == ["a", "with"]


@given(st.text(max_size=30))
def test_any_text_is_a_tree_or_has_an_error_inside_it(text: str) -> None:
    source, problems = parse("a.js", text.encode(errors="replace").decode())
    lines = source.text.split(b"\n")
    for problem in problems:
        assert 1 <= problem.line <= len(lines)
    assert source.root.has_error or not problems


def test_nodes_come_in_the_order_of_the_source() -> None:
    source, _ = parse("a.js", "let a = [1, f(2)]; b")
    nodes = list(walk(source.root))
    assert [n.start_byte for n in nodes] == sorted(n.start_byte for n in nodes)
    assert [source.of(n) for n in nodes if n.type in {"number", "identifier"}] == [*"a1f2b"]
