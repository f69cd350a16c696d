"""Cursor: whatever happens to a run, its heap knows where it is, and nothing ever falls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields, replace

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from perdure._core.cursor import Cursor
from perdure._core.landing import fresh_record
from perdure.testing.conformance._case import new_run

COUNTS = st.integers(0, 5)
CURSORS = st.builds(Cursor, **{member.name: st.integers(0, 99) for member in fields(Cursor)})
RECORD = replace(fresh_record(new_run()), turn=0, position=1, consumed=0)


class Run(RuleBasedStateMachine):
    """One run: a log that others write to, and one heap that is lost now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.record = RECORD
        self.cursor = Cursor.start(self.record)
        self.snapshot: Cursor | None = None  # as of which the newest one was taken
        self.past = self.cursor

    def move(self, cursor: Cursor) -> None:
        self.past, self.cursor = self.cursor, cursor

    @rule(count=COUNTS)
    def others_append(self, count: int) -> None:
        self.record = replace(self.record, position=self.record.position + count)

    @rule()
    def read(self) -> None:
        self.move(self.cursor.read(self.record.position))

    @precondition(lambda self: self.cursor.consumed < self.cursor.recorded)
    @rule()
    def tell_again(self) -> None:
        self.move(self.cursor.told(self.cursor.recorded))

    @precondition(lambda self: self.cursor.consumed == self.cursor.recorded)
    @rule(inline=COUNTS, events=COUNTS, freezes=st.booleans())
    def take_turn(self, inline: int, events: int, freezes: bool) -> None:
        start = self.cursor
        end = start.planned(inline)
        assert (end.consumed, end.position) == (start.position + inline, start.position)
        if freezes:
            self.snapshot = end = end.with_snapshot()
        self.record = replace(
            self.record,
            turn=start.turn + 1,
            position=self.record.position + inline + events,
            consumed=end.consumed,
        )
        self.move(end.landed(turn=self.record.turn, position=self.record.position))

    @rule()
    def freeze(self) -> None:
        if self.cursor.consumed == self.cursor.recorded:
            self.snapshot = self.cursor.with_snapshot()
            self.move(self.snapshot)

    @rule()
    def lose_the_heap(self) -> None:
        fresh = Cursor.start(self.record)
        if self.snapshot is not None:
            old = self.snapshot
            fresh = fresh.thawed(turn=old.snapshot_turn, consumed=old.consumed)
            assert fresh.snapshot_turn == old.turn
        self.past = self.cursor = fresh

    @invariant()
    def knows_where_it_is(self) -> None:
        cursor, record = self.cursor, self.record
        assert (cursor.turn, cursor.recorded) == (record.turn, record.consumed)
        assert cursor.consumed <= cursor.recorded <= cursor.position <= record.position
        assert -1 <= cursor.snapshot_turn <= cursor.turn

    @invariant()
    def never_falls(self) -> None:
        for name, value in asdict(self.cursor).items():
            assert value >= getattr(self.past, name), name


Run.TestCase.settings = settings(max_examples=40, stateful_step_count=15)
test_a_heap_knows_where_it_is_whatever_happens_to_its_run = Run.TestCase


MOVES: dict[str, tuple[Callable[[Cursor], Cursor], dict[str, int]]] = {
    "thawed": (lambda c: c.thawed(turn=7, consumed=8), {"snapshot_turn": 7, "consumed": 8}),
    "read": (lambda c: c.read(100), {"position": 100}),
    "told": (lambda c: c.told(7), {"consumed": 7}),
    "landed": (lambda c: c.landed(turn=7, position=8), {"turn": 7, "position": 8}),
}


@pytest.mark.parametrize("move", MOVES)
@given(cursor=CURSORS)
def test_a_move_changes_what_it_is_about_and_nothing_else(cursor: Cursor, move: str) -> None:
    apply, moved = MOVES[move]
    assert asdict(apply(cursor)) == asdict(cursor) | moved


@given(CURSORS, COUNTS)
def test_a_planned_turn_counts_as_recorded_and_its_snapshot_is_of_it(
    cursor: Cursor, inline: int
) -> None:
    consumed = cursor.position + inline
    moved = {"turn": cursor.turn + 1, "consumed": consumed, "recorded": consumed}
    assert asdict(cursor.planned(inline)) == asdict(cursor) | moved
    assert cursor.planned(inline).with_snapshot().snapshot_turn == cursor.turn + 1


@given(CURSORS)
def test_the_log_is_not_read_backwards(cursor: Cursor) -> None:
    assert cursor.read(cursor.position - 1) == cursor
