"""Tokens: who holds them, in which order a turn changes them, and how long an end keeps them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perdure._core.book import Book
from perdure._core.hooks import hook_changes, is_blocking, kept_hooks, revocation
from perdure._core.outbox import OUTBOX_MS, outbox_due_ms
from perdure._core.transfer import depart
from perdure.errors import HookConflictError, WorldUnavailableError
from perdure.model import (
    Append,
    Departure,
    EntityId,
    Event,
    EventType,
    HookClaim,
    HookRecord,
    RunId,
    RunStatus,
    TurnCommit,
)
from perdure.worldkit.pure import fresh_record
from tests.core.test_book import NOW, commit_of, new_run, nobody, someone, tokens

KEYED = replace(
    new_run(), hook=HookClaim(hook_id=EntityId("hook_0"), token="t", metadata=b"m", keep_until_ms=9)
)


def claim(hook: str, token: str = "t") -> HookClaim:
    return HookClaim(hook_id=EntityId(hook), token=token)


def event(step: str) -> Event:
    kind = EventType.HOOK_CREATED if step[0] == "+" else EventType.HOOK_DISPOSED
    return Event(type=kind, key=step, at_ms=1, entity=EntityId(step[1:]))


def turn(*steps: str, claimed: str = "", released: str = "") -> TurnCommit:
    """A commit whose events are these, and whose claims and releases are of these hooks."""
    return commit_of(
        events=tuple(map(event, steps)),
        hooks_claimed=tuple(claim(f"hook_{n}") for n in claimed),
        hooks_released=tuple(EntityId(f"hook_{n}") for n in released),
    )


@pytest.mark.parametrize(
    ("commit", "order"),
    [
        (turn(), ""),
        (turn("+hook_1", "-hook_1", "+hook_2", claimed="12", released="1"), "+1-1+2"),
        (turn("+hook_2", "-hook_1", "+hook_1", claimed="12", released="1"), "+2-1+1"),
        (turn("-hook_3", "+hook_1", claimed="1", released="3"), "-3+1"),
        (turn("+hook_1", "-hook_3", claimed="1", released="3"), "+1-3"),
        (turn(claimed="12", released="31"), "-3+1+2-1"),  # no event says
        (turn("+hook_1", claimed="12", released="13"), "-3+1+2-1"),
        (turn(released="31"), "-3-1"),
        (turn(claimed="21"), "+2+1"),
    ],
)
def test_claims_and_releases_are_in_the_order_of_their_events(
    commit: TurnCommit, order: str
) -> None:
    changes = [
        f"+{one.hook_id[-1]}" if isinstance(one, HookClaim) else f"-{one[-1]}"
        for one in hook_changes(commit)
    ]
    assert "".join(changes) == order


def test_a_run_that_is_started_with_a_token_holds_it_from_its_second_event_on() -> None:
    book = Book.create(KEYED, due_ms=5, holder=nobody)
    assert [logged.event.key for logged in book.written] == ["run/created", "hook_0/created"]
    created = book.written[1].event
    assert (created.payload, created.facts) == (b"m", {"token": "t", "webhook": False})
    assert book.record.position == fresh_record(KEYED).position == 2
    hook = book.hooks["t"]
    assert (hook.hook_id, hook.created_at_ms, hook.keep_until_ms) == (
        "hook_0",
        KEYED.created_at_ms,
        9,
    )
    assert Book.create(KEYED, due_ms=None).hooks == book.hooks, "without a look at others"


def test_a_token_that_another_holds_refuses_the_start() -> None:
    with pytest.raises(HookConflictError, match="held by run run_b; nothing was started") as caught:
        Book.create(KEYED, due_ms=5, holder=someone)
    assert (caught.value.token, caught.value.run_id) == ("t", "run_b")


@pytest.mark.parametrize("keep_until_ms", [None, NOW - 1, NOW, NOW + 1])
def test_an_end_keeps_a_token_whose_time_has_not_come(keep_until_ms: int | None) -> None:
    kept = keep_until_ms is not None and keep_until_ms > NOW
    made = replace(claim("hook_1"), keep_until_ms=keep_until_ms)
    book = Book.create(new_run(), due_ms=1)
    book.commit(commit_of(hooks_claimed=(made,)), now_ms=1, holder=nobody, new_token=tokens())
    hook = book.hooks["t"]
    assert is_blocking(hook, has_ended=False, now_ms=NOW)
    assert is_blocking(hook, has_ended=True, now_ms=NOW) is kept
    assert bool(kept_hooks(book.hooks, now_ms=NOW)) is kept
    end = Event(type=EventType.RUN_CANCELLED, key="run/ended", at_ms=NOW)
    book.append(Append(run_id=RunId("run_a"), event=end), now_ms=NOW)
    assert book.record.status is RunStatus.CANCELLED
    assert bool(book.hooks) is kept
    assert book.blocking("t", now_ms=NOW) is (hook if kept else None)
    assert book.blocking("t", now_ms=NOW + 1) is None
    assert book.blocking("u", now_ms=NOW) is None


def test_a_claim_of_the_same_hook_again_keeps_the_first() -> None:
    book = Book.create(KEYED, due_ms=5, holder=nobody)
    first = book.hooks["t"]
    again = commit_of(expected_position=2, hooks_claimed=(claim("hook_0"),))
    answer = book.commit(again, now_ms=NOW, holder=nobody, new_token=tokens())
    assert (answer.conflicts, book.hooks["t"]) == ((), first)


def forced(hook: str = "hook_1") -> HookClaim:
    return replace(claim(hook), force=True)


def taken_from(holder: HookRecord | None, *claims: HookClaim, released: str = "") -> Book:
    """A run after a turn with these claims, where *holder* has the token."""
    book = Book.create(new_run(), due_ms=1)
    events = tuple(event(f"+{one.hook_id}") for one in claims)
    events += tuple(event(f"-{hook}") for hook in released.split())
    commit = commit_of(
        events=events,
        hooks_claimed=claims,
        hooks_released=tuple(EntityId(hook) for hook in released.split()),
    )
    book.commit(commit, now_ms=NOW, holder=lambda _: holder, new_token=tokens())
    return book


def test_a_forced_claim_is_an_event_for_the_run_that_loses_its_token() -> None:
    book = taken_from(someone("t"), claim("hook_1"), forced("hook_2"), forced("hook_2"))
    assert book.hooks["t"].hook_id == "hook_2"
    assert [logged.event.key for logged in book.written][1:3] == [
        "hook_1/conflict",
        "+hook_2",
    ]
    (notice,) = book.outbox
    assert (notice.run_id, notice.wake) == ("run_b", True)
    revoked = notice.event
    assert (revoked.type, revoked.key, revoked.entity, revoked.at_ms) == (
        EventType.HOOK_REVOKED,
        "hook_9/revoked",
        "hook_9",
        NOW,
    )
    assert revoked.facts == {"token": "t", "run_id": "run_a"}
    assert outbox_due_ms(book.outbox) == NOW + OUTBOX_MS
    assert outbox_due_ms([]) is None


def test_a_token_that_is_taken_and_freed_in_one_turn_is_taken_once() -> None:
    book = taken_from(someone("t"), forced("hook_1"), released="hook_1")
    assert (book.hooks, len(book.outbox)) == ({}, 1)
    free = taken_from(None, forced())
    assert (free.hooks["t"].hook_id, free.outbox) == ("hook_1", [])


@pytest.mark.parametrize(
    "holder", [replace(someone("t"), level=0), replace(someone("t"), run_id=RunId("run_a"))]
)
def test_force_takes_nothing_from_an_older_run_nor_from_the_run_itself(holder: HookRecord) -> None:
    book = Book.create(new_run(), due_ms=1)
    if holder.run_id == "run_a":
        book.hooks["t"] = holder
    commit = commit_of(events=(event("+hook_1"),), hooks_claimed=(forced(),))
    answer = book.commit(commit, now_ms=NOW, holder=lambda _: holder, new_token=tokens())
    assert (answer.conflicts, book.outbox) == (("hook_1",), [])
    assert ("refused" in book.written[-1].event.facts) is (holder.level == 0)


def test_a_run_absorbs_that_its_token_was_taken() -> None:
    notice = revocation(Book.create(KEYED, due_ms=None).hooks["t"], RunId("run_b"), now_ms=NOW)
    book = Book.create(KEYED, due_ms=None)
    for _ in range(2):  # again changes nothing
        book.absorb(notice, now_ms=NOW)
        assert (book.hooks, book.record.position) == ({}, 3)
        assert book.wake is not None
        assert (book.wake.due_ms, book.wake.generation) == (NOW, 2)
    disposed = Book.create(new_run(), due_ms=None)
    disposed.absorb(notice, now_ms=NOW)  # it holds no such hook
    assert disposed.record.position == 1


def test_an_ended_run_lets_a_kept_token_go_without_an_event() -> None:
    book = Book.create(KEYED, due_ms=None)
    end = Event(type=EventType.RUN_CANCELLED, key="run/ended", at_ms=2)
    notice = revocation(book.hooks["t"], RunId("run_b"), now_ms=4)
    book.append(Append(run_id=RunId("run_a"), event=end), now_ms=2)
    assert book.blocking("t", now_ms=4)
    book.absorb(replace(notice, event=replace(notice.event, type=EventType.STEP_FAILED)), now_ms=4)
    assert book.blocking("t", now_ms=4)
    book.absorb(notice, now_ms=4)
    assert (book.blocking("t", now_ms=4), book.record.position) == (None, 3)


def test_a_run_does_not_leave_before_its_outbox_is_empty() -> None:
    book = taken_from(someone("t"), forced())
    departure = Departure(run_id=RunId("run_a"), to="there://")
    with pytest.raises(WorldUnavailableError, match="something for other runs"):
        depart(book, departure, url="here://", now_ms=NOW)
    book.outbox.clear()
    depart(book, departure, url="here://", now_ms=NOW)
