"""Interval: short while somebody works on something large, and as it was after that."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from perdure._vm.interval import SHORT_S, short_interval


@pytest.fixture(autouse=True)
def usual() -> Iterator[float]:
    before = sys.getswitchinterval()
    yield before
    sys.setswitchinterval(before)


def test_it_is_short_until_the_last_one_is_done(usual: float) -> None:
    with short_interval():
        with short_interval():
            assert sys.getswitchinterval() == pytest.approx(SHORT_S)
        assert sys.getswitchinterval() == pytest.approx(SHORT_S)
    assert sys.getswitchinterval() == usual


def test_it_is_as_before_after_an_error(usual: float) -> None:
    with pytest.raises(ValueError, match="its own"), short_interval():
        raise ValueError("its own")
    assert sys.getswitchinterval() == usual


@pytest.mark.parametrize("own", [SHORT_S / 5, 0.02])
def test_what_the_application_sets_meanwhile_stays(own: float) -> None:
    with short_interval():
        sys.setswitchinterval(own)
    assert sys.getswitchinterval() == pytest.approx(own)


def test_a_shorter_one_stays() -> None:
    sys.setswitchinterval(SHORT_S / 5)
    with short_interval():
        assert sys.getswitchinterval() == pytest.approx(SHORT_S / 5)
    assert sys.getswitchinterval() == pytest.approx(SHORT_S / 5)
