"""Many books at once: the longest due first, pages in order, streams that repeat."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from perdure.errors import UsageError
from perdure.model import (
    Digest,
    NewMessage,
    NewRun,
    RunFilter,
    RunId,
    RunState,
    RunStatus,
    Snapshot,
)
from perdure.worldkit.pure import (
    Book,
    claim_due_messages,
    claim_due_wakes,
    count_due,
    ended_before,
    list_page,
    run_state,
)

TOKENS = (f"t{n}" for n in itertools.count())


def book(name: str, *, due_ms: int, created_ms: int = 1) -> Book:
    new = NewRun(
        run_id=RunId(name),
        workflow="w",
        bundle=Digest("b"),
        engine=Digest("e"),
        input=b"",
        created_at_ms=created_ms,
    )
    return Book.create(new, due_ms=due_ms)


def message(book: Book, name: str, due_ms: int) -> None:
    run_id = book.record.run_id
    new = NewMessage(
        message_id=f"{run_id}/{name}", run_id=run_id, topic=name, body=b"", due_ms=due_ms
    )
    book.send(new, now_ms=0)


def test_the_longest_due_wake_is_claimed_first_and_equals_by_id() -> None:
    books = [book("c", due_ms=5), book("b", due_ms=5), book("a", due_ms=7), book("z", due_ms=99)]
    found = claim_due_wakes(books, limit=9, now_ms=10, until_ms=20, new_token=lambda: next(TOKENS))
    assert [claim.run_id for _, claim in found] == ["b", "c", "a"]
    assert all(owner.record.run_id == claim.run_id for owner, claim in found)
    again = claim_due_wakes(books, limit=9, now_ms=10, until_ms=20, new_token=lambda: "t")
    assert again == []
    late = claim_due_wakes(books, limit=1, now_ms=20, until_ms=30, new_token=lambda: next(TOKENS))
    assert [claim.fruitless_claims for _, claim in late] == [2]


def test_messages_are_claimed_by_topic_and_counted() -> None:
    books = [book("a", due_ms=0), book("b", due_ms=50)]
    message(books[0], "one", 3)
    message(books[1], "one", 2)
    message(books[1], "two", 1)
    assert count_due(books, None, now_ms=10) == {"": 1, "one": 2, "two": 1}
    assert count_due(books, ["two"], now_ms=10) == {"": 1, "two": 1}
    found = claim_due_messages(
        books, ["one"], limit=1, now_ms=10, until_ms=20, new_token=lambda: "t"
    )
    assert [claim.message.message_id for _, claim in found] == ["b/one"]
    assert count_due(books, ["one"], now_ms=10) == {"": 1, "one": 1}


def test_the_newest_comes_first_and_pages_go_on_where_the_last_one_ended() -> None:
    records = [book(name, due_ms=0, created_ms=ms).record for name, ms in (("a", 2), ("b", 1))]
    first = list_page(records, RunFilter(), cursor=None, limit=1)
    assert [r.run_id for r in first.runs] == ["a"]
    last = list_page(records, RunFilter(), cursor=first.cursor, limit=1)
    assert ([r.run_id for r in last.runs], last.cursor) == (["b"], None)
    with pytest.raises(UsageError):
        list_page(records, RunFilter(), cursor="nonsense", limit=1)


def test_what_ended_longest_ago_is_purged_first_but_nothing_on_its_way() -> None:
    records = [
        replace(book(name, due_ms=0).record, status=status, ended_at_ms=ended)
        for name, status, ended in (
            ("a", RunStatus.COMPLETED, 7),
            ("b", RunStatus.MOVED, 5),
            ("c", RunStatus.MOVING, 1),
            ("d", RunStatus.RUNNING, None),
            ("e", RunStatus.FAILED, 10),
        )
    ]
    assert ended_before(records, 10, limit=9) == ["b", "a"]
    assert ended_before(records, 11, limit=2) == ["b", "a"]
    assert ended_before(records, 11, limit=3) == ["b", "a", "e"]


def test_a_state_has_the_log_above_the_newest_snapshot() -> None:
    made = book("a", due_ms=0)
    events, chain = made.written, [Snapshot(turn=1, parent_turn=None, consumed=1, data=b"")]
    assert run_state(made.record, chain, events, after=None).events == ()
    assert run_state(made.record, [], events, after=None).events == tuple(events)
    whole = run_state(made.record, chain, events, after=0)
    assert (whole.chain, whole.events) == ((), tuple(events))
    ended = replace(made.record, status=RunStatus.COMPLETED)  # who carries it needs no more
    assert run_state(ended, chain, events, after=0) == RunState(record=ended, chain=(), events=())
