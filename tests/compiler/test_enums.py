"""Enums: what TypeScript's emit does, on the lines of the source."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from perdure._compiler.erase import erase
from tests.compiler.oracle import Oracle, open_oracle


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with open_oracle() as asked:
        yield asked


def script_of(source: str) -> str:
    erasure = erase("a.ts", source)
    assert erasure.problems == []
    assert erasure.script.count("\n") == source.count("\n")
    return erasure.script


@pytest.mark.parametrize(
    ("source", "script"),
    [
        (
            "enum A { B }",
            'var A; (function (A)   { A[A["B"] = 0] = "B"; })(A || (A = {}));',
        ),
        (
            "export const enum A { B = 'b', }",
            "export       var A; (function (A)   { A[\"B\"] = 'b';  })(A || (A = {}));",
        ),
        (
            "enum A { B = 1 << 2, C = B }",
            'var A; (function (A)   { A[A["B"] = 1 << 2] = "B";  '
            'typeof (A["C"] = A.B) === "string" || (A[A["C"]] = "C"); })(A || (A = {}));',
        ),
        (
            "{ enum A { [`b`] = -1, 'c d' } }",
            "{ let A; (function (A)   { A[A[`b`] = -1] = `b`;  A[A['c d'] = 0] = 'c d'; })"
            "(A || (A = {})); }",
        ),
        (
            "enum A { B } enum A { C = B + 1, D }",
            'var A; (function (A)   { A[A["B"] = 0] = "B"; })(A || (A = {})); '
            ';(function (A)   { typeof (A["C"] = A.B + 1) === "string" || (A[A["C"]] = "C");  '
            'A[A["D"] = A["C"] + 1] = "D"; })(A || (A = {}));',
        ),
    ],
)
def test_an_enum_is_an_object_in_place(source: str, script: str) -> None:
    assert script_of(source) == script


def test_a_member_after_a_string_needs_a_value() -> None:
    (problem,) = erase("a.ts", "enum A { B = 'b', C }").problems
    assert problem.message == "an enum's member after a string has no value"
    assert (problem.column, problem.hint) == (19, "write one: = …")


@pytest.mark.parametrize("source", ["enum A { 1 }", "enum A { `b` }", "enum A { B C }", "enum A"])
def test_what_is_no_enum_is_a_syntax_error(source: str) -> None:
    (problem,) = erase("a.ts", source).problems
    assert problem.message.startswith("syntax error near ")


@pytest.mark.parametrize(
    ("members", "entries"),
    [
        ('A = "a" + "b"', {"A": "ab"}),
        ('A = "a", B = A', {"A": "a", "B": "a"}),
        ('A = "a", B = `${A}!`, C = E.B + 1', {"A": "a", "B": "a!", "C": "a!1"}),
        ('A = "abc".length, B', {"3": "A", "4": "B", "A": 3, "B": 4}),
        ("A = word", {"A": "w"}),
        ("A = three, B = A << 1", {"3": "A", "6": "B", "A": 3, "B": 6}),
    ],
)
def test_only_numbers_lead_back(oracle: Oracle, members: str, entries: dict[str, object]) -> None:
    source = f"const word = 'w', three = 3; enum E {{ {members} }}; out.push(E)"
    assert json.loads(oracle.ask("outcome", ours=script_of(source)).detail) == [entries]


NUMBERS = (
    "",
    " = 0",
    " = -3",
    " = 1.5",
    " = 0x1f",
    " = 1 << 3",
    " = (2 + 3) * 4",
    " = ~1",
    " = 1e3",
)
STRINGS = (' = "s"', " = 't'", " = `u`")
REFERENCES = (" = E.A", " = A", " = A | 4", " = E['A']", " = -A", " = f(7)!", " = f(A) as number")
SPACES = st.sampled_from([" ", "\n", " // a\n", " /* b */ "])


@st.composite
def enums(draw: st.DrawFn) -> str:
    """An enum in one to three declarations; what follows a string has a value."""
    declarations: list[list[str]] = [[f"A{draw(st.sampled_from(NUMBERS))}"]]
    value = ""
    for name in draw(st.lists(st.sampled_from("BCDFG$"), unique=True, max_size=5)):
        is_first = draw(st.booleans()) and len(declarations) < 3
        needs_one = is_first or value in STRINGS or "f(" in value
        value = draw(st.sampled_from((*NUMBERS[needs_one:], *STRINGS, *REFERENCES)))
        declarations[len(declarations) - (not is_first) :] = (
            [[f"{name}{value}"]] if is_first else [[*declarations[-1], f"{name}{value}"]]
        )
    space = draw(SPACES)
    return "\n".join(f"enum E {{{space}{(',' + space).join(d)}{space}}}" for d in declarations)


@pytest.mark.slow
@given(enums())
def test_an_enum_does_what_nodes_does(oracle: Oracle, source: str) -> None:
    source = f"const f = (n: number) => n;\n{source}\nout.push(Object.entries(E), E.A, E[0]);"
    answer = oracle.ask("run", source=source, ours=script_of(source))
    assert answer.verdict == "equal", answer.detail
