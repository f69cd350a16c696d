"""Pace: what makes a thread stay awake for its next work, and what ends it."""

from __future__ import annotations

from perdure._vm.pace import QUICK_BEFORE, QUICK_NS, Pace

HERE, THERE = 0, 1


def paced(quick: int, late: int = 0, *, processor: int | None = THERE) -> Pace:
    """A pace after so much quick work, and then so much late work."""
    pace = Pace()
    for _ in range(quick):
        pace.note(idle_ns=QUICK_NS - 1, processor=processor)
    for _ in range(late):
        pace.note(idle_ns=QUICK_NS, processor=processor)
    return pace


def test_more_is_expected_after_enough_quick_work() -> None:
    assert not paced(QUICK_BEFORE - 1).expects_more(HERE)
    assert paced(QUICK_BEFORE).expects_more(HERE)


def test_what_is_late_now_and_then_ends_nothing() -> None:
    assert paced(10 * QUICK_BEFORE, late=1).expects_more(HERE)
    pace = Pace()
    for _ in range(20):
        for _ in range(QUICK_BEFORE):
            pace.note(idle_ns=0, processor=THERE)
        pace.note(idle_ns=QUICK_NS, processor=THERE)
    assert pace.expects_more(HERE)


def test_work_that_is_late_several_times_ends_it() -> None:
    assert not paced(10 * QUICK_BEFORE, late=3).expects_more(HERE)


def test_after_much_late_work_as_much_quick_work_is_asked_for_as_at_first() -> None:
    pace = paced(0, late=100)
    for _ in range(QUICK_BEFORE):
        assert not pace.expects_more(HERE)
        pace.note(idle_ns=0, processor=THERE)
    assert pace.expects_more(HERE)


def test_no_thread_stays_awake_on_the_processor_the_work_comes_from() -> None:
    pace = paced(QUICK_BEFORE, processor=HERE)
    assert not pace.expects_more(HERE)
    assert pace.expects_more(THERE)
    pace.note(idle_ns=0, processor=THERE)
    assert pace.expects_more(HERE)


def test_where_processors_are_not_told_they_are_taken_to_be_two() -> None:
    assert paced(QUICK_BEFORE, processor=None).expects_more(None)
