"""When a snapshot is due: as a run parks, and before a crash would cost too many turns."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from perdure._core.cursor import Cursor, SnapshotDue, snapshot_due

LAGS = st.integers(0, 9)
NOT_YET, NOW, BESIDE_STEPS = SnapshotDue.NOT_YET, SnapshotDue.NOW, SnapshotDue.BESIDE_STEPS


def cursor_at(turn: int, snapshot_turn: int = -1) -> Cursor:
    return Cursor(
        turn=turn, consumed=5 * turn, recorded=5 * turn, position=99, snapshot_turn=snapshot_turn
    )


@pytest.mark.parametrize(
    ("turn", "snapshot_turn", "chains", "due"),
    [
        (1, -1, False, NOT_YET),  # a run that never had one is as old as its turns
        (3, -1, False, NOT_YET),
        (4, -1, False, BESIDE_STEPS),
        (5, -1, False, NOW),  # while the steps of turn 4 ran there was no time
        (4, -1, True, NOW),
        (3, -1, True, NOT_YET),
        (10, 7, False, NOT_YET),
        (11, 7, False, BESIDE_STEPS),
        (12, 7, False, NOW),
        (11, 7, True, NOW),
        (5000, -1, False, NOW),  # it was built from its log
    ],
)
def test_while_steps_run_a_lag_of_three_turns_is_allowed(
    turn: int, snapshot_turn: int, chains: bool, due: SnapshotDue
) -> None:
    cursor = cursor_at(turn, snapshot_turn)
    assert snapshot_due(cursor, parks=False, chains=chains, lag=3) is due


@given(st.integers(0, 20), st.integers(-1, 20), st.booleans(), LAGS)
def test_a_run_that_parks_has_a_snapshot_of_its_last_turn(
    turn: int, snapshot_turn: int, chains: bool, lag: int
) -> None:
    cursor = cursor_at(turn, min(turn, snapshot_turn))
    has_none = max(cursor.snapshot_turn, 0) < turn
    assert snapshot_due(cursor, parks=True, chains=chains, lag=lag) is (
        NOW if has_none else NOT_YET
    )


@given(st.integers(1, 20), LAGS)
def test_a_heap_that_is_not_where_its_record_is_makes_no_snapshot_as_it_parks(
    turn: int, lag: int
) -> None:
    cursor = replace(cursor_at(turn), consumed=5 * turn - 1)
    assert snapshot_due(cursor, parks=True, chains=False, lag=lag) is NOT_YET


@given(
    LAGS,
    st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=40),
)
def test_whatever_its_turns_are_like_a_crash_costs_one_turn_more_than_the_lag_at_most(
    lag: int, turns: list[tuple[bool, bool, bool]]
) -> None:
    """Of each turn: does it park, do its steps leave time to freeze, do snapshots chain by now?"""
    cursor, saved = cursor_at(0), 0  # turn of the newest snapshot in the world
    for parks, is_slow, chains in turns:
        unsaved = max(cursor.snapshot_turn, 0)
        cursor = cursor.planned(1)
        due = snapshot_due(cursor, parks=parks, chains=chains, lag=lag)
        if due is NOW:
            cursor = cursor.with_snapshot()
            saved = cursor.turn
        else:
            saved = unsaved  # the turn's commit takes it along
        if due is BESIDE_STEPS and is_slow:
            cursor = cursor.with_snapshot()
        assert cursor.turn - saved <= (0 if parks else lag + 1)
