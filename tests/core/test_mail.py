"""Mail: letters between books arrive, in order, once, and only in the life they are for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from perdure._core.book import Book
from perdure._core.children import (
    end_of_missing,
    end_of_run,
    fenced_notice,
    unfenced,
    watcher_of,
)
from perdure._core.outbox import OUTBOX_MS, Letter, outbox_due_ms
from perdure._core.post import start_child, take_letter
from perdure._core.transfer import depart
from perdure.errors import RunWatchedError
from perdure.model import (
    Append,
    ChildStart,
    Departure,
    Digest,
    EntityId,
    Event,
    EventType,
    HookClaim,
    NewRun,
    RunId,
    RunOutcome,
    RunRecord,
    RunStatus,
    TurnCommit,
    Watch,
)

NOW = 1_000
PARENT, CHILD = RunId("run_p"), RunId("run_c")
DONE = RunOutcome(status=RunStatus.COMPLETED, payload=b"done", at_ms=NOW)
Books = dict[RunId, Book]


def new_run(run_id: RunId, *, token: str | None = None, payload: bytes = b"i") -> NewRun:
    return NewRun(
        run_id=run_id,
        workflow="w",
        bundle=Digest("b"),
        engine=Digest("e"),
        input=payload,
        created_at_ms=NOW,
        secret=run_id.encode(),
        hook=None if token is None else HookClaim(hook_id=EntityId("hook_0"), token=token),
    )


def books(*run_ids: RunId) -> Books:
    return {run_id: Book.create(new_run(run_id), due_ms=None) for run_id in run_ids}


def start(n: int = 1, *, run_id: RunId = CHILD, asks: bool = False, **kind: str) -> ChildStart:
    new = new_run(run_id, token=kind.get("token"), payload=kind.get("payload", "i").encode())
    return ChildStart(entity=EntityId(f"child_{n}"), new=new, asks=asks)


def watch(n: int = 2, *, run_id: RunId = CHILD) -> Watch:
    return Watch(entity=EntityId(f"watch_{n}"), run_id=run_id, at_ms=NOW)


def commit(
    book: Book,
    *,
    starts: tuple[ChildStart, ...] = (),
    watches: tuple[Watch, ...] = (),
    outcome: RunOutcome | None = None,
) -> None:
    record = book.record
    turn = TurnCommit(
        run_id=record.run_id,
        commit_id=f"c{record.turn}",
        turn=record.turn,
        expected_position=record.position,
        consumed=record.position,
        log_digest=b"",
        starts=starts,
        watches=watches,
        outcome=outcome,
    )
    book.commit(turn, now_ms=NOW, holder=lambda token: None, new_token=str)


def cancel(book: Book) -> None:
    event = Event(type=EventType.RUN_CANCELLED, key="run/ended", at_ms=NOW)
    book.append(Append(run_id=book.record.run_id, event=event), now_ms=NOW)


def bring(store: Books, sender: Book, letter: Letter) -> Event | None:
    """Bring a letter where it belongs, as a store does. Returns the answer."""
    if isinstance(letter, ChildStart):
        return start_child(letter, lambda new: _create(store, new), now_ms=NOW)
    target = store.get(letter.run_id)
    if target is None:
        return end_of_missing(letter, now_ms=NOW) if isinstance(letter, Watch) else None
    return take_letter(target, letter, sender=sender.record, now_ms=NOW)


def _create(store: Books, new: NewRun) -> tuple[RunRecord, bool]:
    if new.run_id in store:
        store[new.run_id].check_same(new)
        return store[new.run_id].record, False
    holders = {hook.token: hook for book in store.values() for hook in book.hooks.values()}
    store[new.run_id] = Book.create(new, due_ms=NOW, holder=holders.get)
    return store[new.run_id].record, True


def drain(store: Books) -> None:
    while any(book.letters for book in store.values()):
        for sender in list(store.values()):
            for letter in list(sender.letters):
                sender.settle(letter, bring(store, sender, letter), now_ms=NOW)


def told(book: Book) -> list[tuple[str, EventType]]:
    kinds = (EventType.CHILD_STARTED, EventType.CHILD_CONFLICT, EventType.CHILD_ENDED)
    events = [logged.event for logged in book.written]
    return [(event.key, event.type) for event in events if event.type in kinds]


def test_a_child_is_created_watched_and_its_end_told() -> None:
    store = books(PARENT)
    parent = store[PARENT]
    commit(parent, starts=(start(),), watches=(watch(),))
    assert [type(letter) for letter in parent.letters] == [ChildStart, Watch]
    drain(store)
    assert (told(parent), parent.family, store[CHILD].family) == ([], (CHILD,), (PARENT,))
    commit(store[CHILD], outcome=DONE)
    drain(store)
    assert told(parent) == [("watch_2/end", EventType.CHILD_ENDED)]
    event = parent.written[-1].event
    assert (event.payload, event.facts) == (b"done", {"run_id": CHILD, "status": "completed"})
    assert parent.is_due(NOW)
    assert (parent.family, store[CHILD].family) == ((), ())


def test_a_watch_that_is_brought_twice_is_one() -> None:
    store = books(PARENT, CHILD)
    watcher = watcher_of(store[PARENT].record, watch())
    assert [store[CHILD].watch(watcher, now_ms=NOW) for _ in range(2)] == [None, None]
    assert store[CHILD].watchers == [watcher]


def test_a_cancel_is_told_too() -> None:
    store = books(PARENT, CHILD)
    commit(store[PARENT], watches=(watch(), watch(3)))
    drain(store)
    cancel(store[CHILD])
    drain(store)
    assert told(store[PARENT]) == [
        ("watch_2/end", EventType.CHILD_ENDED),
        ("watch_3/end", EventType.CHILD_ENDED),
    ]


def test_an_end_that_has_come_answers_the_watch() -> None:
    store = books(PARENT, CHILD)
    commit(store[CHILD], outcome=DONE)
    commit(store[PARENT], watches=(watch(), watch(3, run_id=RunId("nobody"))))
    drain(store)
    ends = [logged.event.facts["status"] for logged in store[PARENT].written[-2:]]
    assert (ends, store[PARENT].family) == (["completed", "missing"], ())


def test_each_start_that_asks_is_answered() -> None:
    store = books(PARENT, CHILD)
    holder = RunId("run_h")
    store[holder] = Book.create(new_run(holder, token="t"), due_ms=None)
    commit(
        store[PARENT],
        starts=(
            start(1, asks=True),
            start(2, payload="other"),
            start(3, run_id=RunId("run_n"), token="t", asks=True),
            start(4, run_id=RunId("run_m"), token="u", asks=True),
            start(5, run_id=RunId("run_o")),
        ),
    )
    drain(store)
    assert told(store[PARENT]) == [
        ("child_1/end", EventType.CHILD_STARTED),
        ("child_2/end", EventType.CHILD_CONFLICT),
        ("child_3/end", EventType.CHILD_CONFLICT),
        ("child_4/end", EventType.CHILD_STARTED),
    ]
    assert set(store) == {PARENT, CHILD, holder, "run_m", "run_o"}


def test_a_run_that_ends_starts_others_and_is_answered_nothing() -> None:
    store = books(PARENT)
    commit(store[PARENT], starts=(start(asks=True),), watches=(watch(),), outcome=DONE)
    drain(store)
    assert CHILD in store
    assert (told(store[PARENT]), store[PARENT].family) == ([], ())


def test_a_watcher_that_has_ended_is_told_nothing() -> None:
    store = books(PARENT, CHILD)
    commit(store[PARENT], watches=(watch(),))
    drain(store)
    cancel(store[PARENT])
    commit(store[CHILD], outcome=DONE)
    drain(store)
    assert told(store[PARENT]) == []


def test_another_life_is_not_told_what_the_former_waited_for() -> None:
    store = books(PARENT, CHILD)
    commit(store[PARENT], watches=(watch(),))
    drain(store)
    store[PARENT] = Book.create(replace(new_run(PARENT), secret=b"another"), due_ms=None)
    commit(store[CHILD], outcome=DONE)
    drain(store)
    assert told(store[PARENT]) == []


def test_a_notice_without_an_entity_is_for_nobody() -> None:
    (book,) = books(PARENT).values()
    event = replace(end_of_run(EntityId("watch_2"), book.record, now_ms=NOW), entity=None)
    assert unfenced(event, book.record) is None


def test_a_notice_is_logged_without_its_fence() -> None:
    (book,) = books(PARENT).values()
    watcher = watcher_of(book.record, watch())
    notice = fenced_notice(watcher, book.record, now_ms=NOW)
    assert unfenced(notice.event, book.record) == end_of_run(
        watcher.entity, book.record, now_ms=NOW
    )


@pytest.mark.parametrize("run_id", [PARENT, CHILD])
def test_a_family_does_not_depart(run_id: RunId) -> None:
    store = books(PARENT, CHILD)
    commit(store[PARENT], watches=(watch(),))
    drain(store)
    with pytest.raises(RunWatchedError) as caught:
        depart(store[run_id], Departure(run_id=run_id, to="m://b"), url="m://a", now_ms=NOW)
    (other,) = {PARENT, CHILD} - {run_id}
    assert caught.value.others == (other,)


def test_a_run_departs_once_nobody_waits_for_it() -> None:
    store = books(PARENT, CHILD)
    commit(store[PARENT], watches=(watch(), watch(3)))
    drain(store)
    child = store[CHILD]
    child.drop_watchers([])
    assert len(child.watchers) == 2
    child.drop_watchers(child.watchers[:1])
    assert child.family == (PARENT,)
    child.drop_watchers(child.watchers)
    record = depart(child, Departure(run_id=CHILD, to="m://b"), url="m://a", now_ms=NOW)
    assert record.status is RunStatus.MOVING


def test_the_outbox_is_due_by_its_oldest_letter() -> None:
    letters: list[Letter] = [start(), replace(watch(), at_ms=7)]
    letters.append(Append(run_id=PARENT, event=Event(type=EventType.CHILD_ENDED, key="k", at_ms=9)))
    assert outbox_due_ms(letters) == 7 + OUTBOX_MS
    assert outbox_due_ms([]) is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.booleans()), max_size=12))
def test_letters_that_are_brought_again_change_nothing(
    program: list[tuple[bool, int, bool]],
) -> None:
    """Bringers die between bringing and forgetting, and the child ends at any moment."""
    store = books(PARENT)
    parent = store[PARENT]
    commit(parent, starts=(start(asks=True),), watches=(watch(), watch(3)))
    for is_parent, n, is_forgotten in program:
        sender = parent if is_parent else store.get(CHILD)
        if sender is None or not sender.letters:
            if CHILD in store and not store[CHILD].record.status.is_ended:
                commit(store[CHILD], outcome=DONE)
            continue
        # In order: one that is not forgotten holds up all that follow.
        letter = sender.letters[0]
        answer = bring(store, sender, letter)
        if n % 3 == 0:
            bring(store, sender, letter)
        if is_forgotten:
            sender.settle(letter, answer, now_ms=NOW)
            sender.settle(letter, answer, now_ms=NOW)
    drain(store)
    if not store[CHILD].record.status.is_ended:
        commit(store[CHILD], outcome=DONE)
    drain(store)
    assert sorted(told(parent)) == [
        ("child_1/end", EventType.CHILD_STARTED),
        ("watch_2/end", EventType.CHILD_ENDED),
        ("watch_3/end", EventType.CHILD_ENDED),
    ]
    assert parent.family == store[CHILD].family == ()
