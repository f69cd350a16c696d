"""Tokens: who holds them, in which order a turn changes them, and how long an end keeps them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perdure._core.book import Book
from perdure._core.hooks import hook_changes, is_blocking, kept_hooks
from perdure.errors import HookConflictError
from perdure.model import (
    Append,
    EntityId,
    Event,
    EventType,
    HookClaim,
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
