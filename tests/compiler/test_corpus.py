"""Sources that once were read wrong, programs made up, and what others make of both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from perdure._compiler.erase import erase
from perdure._compiler.parse import parse
from tests.compiler.corpus import Case, all_cases
from tests.compiler.oracle import Oracle, open_oracle, script_of


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with open_oracle() as asked:
        yield asked


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.title)
def test_a_source_becomes_what_others_make_of_it(case: Case, oracle: Oracle) -> None:
    script = script_of(case.source)
    assert script is not None
    answer = oracle.ask("stored", ours=script, theirs=case.expected)
    assert answer.verdict == "equal", answer.detail
    assert script.count("\n") == case.source.count("\n")
    if case.oracle == "strip":
        assert oracle.ask("strip", source=case.source, ours=script).detail == ""


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.title)
def test_no_source_is_more_than_the_parser_of_javascript_reads(case: Case) -> None:
    erasure = erase("a.ts", case.source)
    assert parse("a.ts", erasure.script, mask=erasure.mask)[1] == []


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.title)
def test_javascript_stays_as_it_is(case: Case) -> None:
    once = erase("a.ts", case.source).script
    assert erase("a.js", once).script == once
    assert erase("a.js", once).problems == []
    again = erase("a.ts", once)
    assert again.problems == []
