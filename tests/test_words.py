"""Plain words: how many clauses without a noun and how many participles for names there may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.words import Figures, is_participle, measure, rooms

# Packages that keep to plain words, and the participles left among their names: public ones, such
# as ``StreamPage.done`` and ``StepLostError.lost``. The others come in as they get there.
PARTICIPLES_LEFT = {
    "_compiler": 0,
    "_core": 1,
    "_guest": 0,
    "_model": 1,
    "_protocol": 0,
    "_runtime": 0,
    "_types": 0,
    "_vm": 0,
    "abc": 0,
    "cli": 0,
    "perdure": 3,
    "perdure_mongodb": 0,
    "perdure_s3": 0,
    "perdure_sqlite": 0,
    "testing": 0,
}
HEADLESS_PER_THOUSAND = 1.0
GIVES_PER_THOUSAND = 0.2

BAD = '''
"""What follows a failure. Who holds it."""

def look(given, *, left, right):
    """Whatever was found; gives the row, ``what`` it was; gives up.

    Says what to do.
    """
    for seen_ in given:
        self.held = made_of = seen_
'''


@pytest.mark.parametrize("package", PARTICIPLES_LEFT)
def test_a_package_keeps_to_plain_words(package: str) -> None:
    figures = measure(rooms()[package])
    assert figures.per_thousand(figures.headless) <= HEADLESS_PER_THOUSAND, figures.headless
    assert figures.per_thousand(figures.gives) <= GIVES_PER_THOUSAND, figures.gives
    assert len(figures.participles) <= PARTICIPLES_LEFT[package], figures.participles


def test_the_measure_finds_each_kind(tmp_path: Path) -> None:
    module = tmp_path / "bad.py"
    module.write_text(BAD, encoding="utf-8")
    figures: Figures = measure([module], root=tmp_path)
    assert [place.split(": ")[0] for place in figures.headless] == [
        "bad.py:2",
        "bad.py:2",
        "bad.py:5",
    ]
    assert len(figures.gives) == 1
    names = [place.rpartition(" ")[2] for place in figures.participles]
    assert sorted(names) == ["given", "held", "seen_"]


@pytest.mark.parametrize("name", ["made", "_found", "left_", "read_", "asked"])
def test_a_participle_alone_is_one(name: str) -> None:
    assert is_participle(name)


@pytest.mark.parametrize("name", ["made_of", "read", "leftover", "foundling", "is_held"])
def test_a_word_with_a_noun_is_none(name: str) -> None:
    assert not is_participle(name)
