"""The kit tells every mutant from a world that keeps its promises."""

from __future__ import annotations

import re
from pathlib import Path

import killing
import pytest

from perdure.testing.conformance import _bytes, _edges, _races, certify, check_names

pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[2] / "docs/mutants.md"


def kills() -> dict[str, tuple[str, int, float]]:
    """What the page says told each mutant: the check, the seed, the seconds."""
    rows = re.findall(
        r"^\| (.+?) \| .+? \| (.+?) \| .*? \| ([\d.]+) \| (\d+) \|$",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    return {name: (check, int(seed), float(seconds)) for name, check, seconds, seed in rows}


KILLS = kills()


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for ever is told after two seconds rather than ten."""
    monkeypatch.setattr(_bytes, "WAIT_MS", 6000)
    monkeypatch.setattr(_races, "WAIT_MS", 6000)
    monkeypatch.setattr(_edges, "ENDS_S", 2.0)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("name", killing.NAMES)
def test_the_mutant_is_killed_as_the_page_says(name: str) -> None:
    check, seed, _ = KILLS[name]
    store, opener = killing.ALL[name]
    for again in range(8):  # real threads and processes race differently each time
        report = certify(
            store,
            seed=seed + again,
            only=lambda other: other == check,
            shrink=False,
            in_time=False,
            opener=opener,
        )
        if not report.passed:
            return
    pytest.fail(f"{name} was not noticed by: {check}")


def test_the_page_has_every_mutant_and_each_died_within_a_minute() -> None:
    assert set(KILLS) == set(killing.NAMES)
    assert len(KILLS) >= 25
    assert all(seconds <= killing.LIMIT_S for _, _, seconds in KILLS.values())
    assert {check for check, _, _ in KILLS.values()} <= set(check_names())


def test_no_program_on_the_page_has_more_than_ten_calls() -> None:
    calls = re.findall(r"random programs \| (\d+) \|", PAGE.read_text(encoding="utf-8"))
    assert len(calls) >= 5
    assert all(0 < int(count) <= 10 for count in calls)


def test_every_kind_of_check_tells_some_mutant() -> None:
    told = {check for check, _, _ in KILLS.values()}
    for kind in ("histories, ", "faults, ", "processes ", "declared truly", "random programs"):
        assert any(kind in check for check in told), kind
