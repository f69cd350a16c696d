"""Book: each call does what the contracts say, and one that is refused changes nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import given, strategies as st

from perdure._core.book import Book
from perdure.errors import (
    HookNotFoundError,
    IdempotencyConflictError,
    LeaseLostError,
    PerdureError,
    RunEndedError,
    StaleTurnError,
)
from perdure.model import (
    Append,
    Digest,
    EntityId,
    Event,
    EventType,
    HookClaim,
    HookRecord,
    Lease,
    LeaseEnd,
    NewMessage,
    NewRun,
    RunId,
    RunOutcome,
    RunStatus,
    Snapshot,
    TurnCommit,
)

RUN = RunId("run_a")
HOOK = EntityId("hook_1")
NOW = 1_000


def new_run(workflow: str = "w", payload: bytes = b"i") -> NewRun:
    return NewRun(
        run_id=RUN,
        workflow=workflow,
        bundle=Digest("b"),
        engine=Digest("e"),
        input=payload,
        created_at_ms=NOW,
    )


def event(kind: EventType, key: str, entity: str | None = None, **changes: Any) -> Event:
    return Event(
        type=kind,
        key=key,
        at_ms=changes.pop("at_ms", NOW),
        entity=None if entity is None else EntityId(entity),
        **changes,
    )


ENDED = event(EventType.STEP_COMPLETED, "step_1/end", "step_1", payload=b"r")


def commit_of(turn: int = 0, **changes: Any) -> TurnCommit:
    values: dict[str, Any] = {
        "run_id": RUN,
        "commit_id": f"c{turn}",
        "turn": turn,
        "expected_position": 1,
        "consumed": 1,
        "log_digest": b"d",
    }
    return TurnCommit(**{**values, **changes})


def message(name: str = "m", **changes: Any) -> NewMessage:
    values: dict[str, Any] = {
        "message_id": f"{RUN}/{name}",
        "run_id": RUN,
        "topic": "t",
        "body": b"b",
        "due_ms": NOW,
    }
    return NewMessage(**{**values, **changes})


def lease_on(item: str, token: str, *, until_ms: int = NOW + 100) -> Lease:
    return Lease(item=item, token=token, is_wake=item == RUN, expires_at_ms=until_ms)


def tokens() -> Callable[[], str]:
    numbers = count()
    return lambda: f"token{next(numbers)}"


def nobody(token: str) -> HookRecord | None:
    return None


def someone(token: str) -> HookRecord:
    return HookRecord(
        run_id=RunId("run_b"),
        hook_id=EntityId("hook_9"),
        token=token,
        metadata=None,
        is_webhook=False,
        created_at_ms=3,
    )


def commit(book: Book, made: TurnCommit, holder: Any = nobody, now_ms: int = NOW) -> Any:
    return book.commit(made, now_ms=now_ms, holder=holder, new_token=tokens())


@pytest.fixture
def book() -> Book:
    return Book.create(new_run(), due_ms=NOW)


def keys(book: Book) -> list[tuple[int, str]]:
    return [(logged.position, logged.event.key) for logged in book.written]


def test_a_new_run_has_its_first_event_and_is_due(book: Book) -> None:
    assert keys(book) == [(1, "run/created")]
    assert (book.record.position, book.record.turn, book.record.status) == (
        1,
        0,
        RunStatus.PENDING,
    )
    assert book.wake is not None
    assert book.wake.is_claimable(NOW)
    assert not book.wake.is_claimable(NOW - 1)


def test_a_run_asked_for_again_is_the_same_or_a_conflict(book: Book) -> None:
    book.check_same(new_run())
    for other in (new_run(workflow="v"), new_run(payload=b"j")):
        with pytest.raises(IdempotencyConflictError):
            book.check_same(other)


def test_an_append_lands_wakes_and_is_idempotent(book: Book) -> None:
    assert book.wake is not None
    before = book.wake.generation
    first = book.append(Append(run_id=RUN, event=ENDED), now_ms=NOW)
    again = book.append(Append(run_id=RUN, event=ENDED), now_ms=NOW)
    assert (first.position, first.duplicate) == (2, False)
    assert (again.position, again.duplicate) == (2, True)
    assert book.wake.generation == before + 2
    quiet = replace(ENDED, key="other")
    book.append(Append(run_id=RUN, event=quiet, wake=False), now_ms=NOW)
    assert book.wake.generation == before + 2


def test_an_append_ends_its_lease_or_gives_it_back(book: Book) -> None:
    book.send(message(), now_ms=NOW)
    item = f"{RUN}/m"
    claim = book.claim_message(lease_on(item, "one"))
    assert (claim.claims, claim.losses, claim.returned) == (1, 0, 0)
    retry = event(EventType.STEP_RETRYING, "step_1/retry/1", "step_1")
    book.append(Append(run_id=RUN, event=retry, lease=claim.lease, release_delay_ms=50), now_ms=NOW)
    assert book.messages[item].claimable_ms == NOW + 50
    assert book.messages[item].returned == 0  # it ran
    second = book.claim_message(lease_on(item, "two", until_ms=NOW + 200))
    with pytest.raises(LeaseLostError):
        book.append(Append(run_id=RUN, event=ENDED, lease=claim.lease), now_ms=NOW)
    book.append(Append(run_id=RUN, event=ENDED, lease=second.lease), now_ms=NOW)
    assert not book.messages
    # A repeated append finds its lease ended by the first.
    book.append(Append(run_id=RUN, event=ENDED, lease=second.lease), now_ms=NOW)


def test_an_append_may_end_the_wakes_lease(book: Book) -> None:
    assert book.wake is not None
    claim = book.claim_wake(lease_on(RUN, "one"))
    assert (claim.run_id, claim.fruitless_claims, claim.generation) == (
        RUN,
        1,
        book.wake.generation,
    )
    book.append(Append(run_id=RUN, event=ENDED, wake=False, lease=claim.lease), now_ms=NOW)
    assert book.wake.lease is None
    assert book.wake.claimable_ms is None


def test_another_runs_lease_is_not_live_here(book: Book) -> None:
    for item in ("run_b/m", "run_b"):
        stranger = Lease(item=item, token="x", is_wake=item == "run_b", expires_at_ms=NOW + 9)
        with pytest.raises(LeaseLostError):
            book.finish(LeaseEnd(lease=stranger), now_ms=NOW)


def test_a_lease_is_dead_at_its_expiry_and_a_lost_claim_counts(book: Book) -> None:
    book.send(message(), now_ms=NOW)
    item = f"{RUN}/m"
    lost = book.claim_message(lease_on(item, "one", until_ms=NOW + 10)).lease
    longer = book.extend(lost, now_ms=NOW + 9, until_ms=NOW + 20)
    assert longer.expires_at_ms == NOW + 20
    with pytest.raises(LeaseLostError):
        book.extend(longer, now_ms=NOW + 20, until_ms=NOW + 30)
    claim = book.claim_message(lease_on(item, "two", until_ms=NOW + 50))
    assert (claim.claims, claim.losses) == (2, 1)
    book.release(claim.lease, now_ms=NOW + 30, delay_ms=5, ran=False)
    assert book.messages[item].returned == 1
    assert book.messages[item].due_ms == NOW + 35


def test_a_wake_that_is_given_back_or_finished_is_due_again(book: Book) -> None:
    assert book.wake is not None
    claim = book.claim_wake(lease_on(RUN, "one"))
    book.release(claim.lease, now_ms=NOW, delay_ms=7, ran=False)
    assert book.wake.claimable_ms == NOW + 7
    claim = book.claim_wake(lease_on(RUN, "two"))
    end = LeaseEnd(lease=claim.lease, generation=claim.generation)
    book.arm(NOW + 40)  # during the claim: it is not swallowed
    book.finish(end, now_ms=NOW + 8, next_due_ms=NOW + 90)
    assert book.wake.claimable_ms == NOW + 40


def test_cancelling_ends_the_run_and_frees_what_it_has(book: Book) -> None:
    commit(
        book,
        commit_of(hooks_claimed=(HookClaim(hook_id=HOOK, token="t"),), messages=(message(),)),
    )
    cancel = event(EventType.RUN_CANCELLED, "run/ended", payload=b"why")
    first = book.append(Append(run_id=RUN, event=cancel), now_ms=NOW)
    assert book.record.status is RunStatus.CANCELLED
    assert (book.record.payload, book.record.ended_at_ms) == (b"why", NOW)
    assert (book.wake, book.hooks, book.messages) == (None, {}, {})
    again = book.append(Append(run_id=RUN, event=cancel), now_ms=NOW)
    assert (again.position, again.duplicate) == (first.position, True)
    with pytest.raises(RunEndedError):
        book.append(Append(run_id=RUN, event=ENDED), now_ms=NOW)
    with pytest.raises(RunEndedError):
        commit(book, commit_of(1))
    book.arm(NOW)  # passed over
    assert book.send(message(), now_ms=NOW) is None
    with pytest.raises(LeaseLostError):
        book.finish(LeaseEnd(lease=lease_on(RUN, "x")), now_ms=NOW)


def test_events_for_a_hook_need_a_live_one(book: Book) -> None:
    received = event(EventType.HOOK_RECEIVED, "hook_1/received/1", HOOK)
    disposed = event(EventType.HOOK_DISPOSED, "hook_1/end", HOOK)
    homeless = event(EventType.HOOK_RECEIVED, "k")
    for wrong in (received, homeless):
        with pytest.raises(HookNotFoundError):
            book.append(Append(run_id=RUN, event=wrong), now_ms=NOW)
    commit(book, commit_of(hooks_claimed=(HookClaim(hook_id=HOOK, token="t"),)))
    book.append(Append(run_id=RUN, event=received), now_ms=NOW)
    assert list(book.hooks) == ["t"]
    book.append(Append(run_id=RUN, event=disposed), now_ms=NOW)
    assert not book.hooks


def test_a_commit_lands_everything_it_has(book: Book) -> None:
    claim = book.claim_wake(lease_on(RUN, "one"))
    book.send(message("old"), now_ms=NOW)
    done = book.claim_message(lease_on(f"{RUN}/old", "two"))
    attributes = event(EventType.ATTRIBUTES_SET, "attributes_2/created", facts={"colour": "red"})
    made = commit_of(
        deliveries=(ENDED,),
        events=(attributes, attributes),
        snapshot=Snapshot(turn=1, parent_turn=None, consumed=2, data=b"heap"),
        messages=(message(lease_ms=30), message("later", due_ms=NOW + 5)),
        wake_at_ms=NOW + 60,
        leases=(
            LeaseEnd(lease=claim.lease, generation=claim.generation, next_due_ms=NOW + 70),
            LeaseEnd(lease=done.lease),
            LeaseEnd(lease=lease_on(f"{RUN}/gone", "x")),  # passed over
        ),
    )
    committed = commit(book, made)
    assert (committed.turn, committed.first_position, committed.position) == (1, 2, 3)
    assert [(one.item, one.expires_at_ms) for one in committed.leases] == [(f"{RUN}/m", NOW + 30)]
    assert book.record.attributes == {"colour": "red"}
    assert (book.record.status, book.record.started_at_ms) == (RunStatus.RUNNING, NOW)
    assert set(book.messages) == {f"{RUN}/m", f"{RUN}/later"}
    assert [snapshot.turn for snapshot in book.snapshots] == [1]
    assert book.wake is not None
    assert book.wake.claimable_ms == NOW + 60
    assert book.wake.claims == 0
    assert commit(book, made) is committed  # asked for again
    book.check_commit(made)


def test_a_commit_without_events_starts_the_run_now(book: Book) -> None:
    commit(book, commit_of(), now_ms=NOW + 5)
    assert book.record.started_at_ms == NOW + 5
    assert book.wake is not None
    commit(book, commit_of(1, wake_at_ms=NOW - 5))
    assert book.wake.due_ms == NOW - 5


@pytest.mark.parametrize(
    "changes",
    [
        {"turn": 1},
        {"deliveries": (ENDED,), "expected_position": 1},
        {"deliveries": (ENDED,), "expected_position": 2},
        {"outcome": RunOutcome(status=RunStatus.FAILED, payload=None, at_ms=NOW)},
        {"new": new_run()},
    ],
)
def test_a_stale_commit_changes_nothing(book: Book, changes: dict[str, Any]) -> None:
    book.append(Append(run_id=RUN, event=ENDED), now_ms=NOW)
    before = copy.deepcopy(book)
    asks: list[Callable[[TurnCommit], object]] = [
        book.check_commit,
        lambda made: commit(book, made),
    ]
    for ask in asks:
        with pytest.raises(StaleTurnError):
            ask(commit_of(**changes))
    assert book == before


@pytest.mark.parametrize("status", [RunStatus.COMPLETED, RunStatus.FAILED])
def test_an_outcome_ends_the_run(book: Book, status: RunStatus) -> None:
    outcome = RunOutcome(status=status, payload=b"out", at_ms=NOW + 1)
    committed = commit(book, commit_of(outcome=outcome, messages=(message(lease_ms=5),)))
    assert committed.leases == ()
    assert (book.record.status, book.record.payload, book.wake) == (status, b"out", None)
    assert keys(book)[-1] == (2, "run/ended")


def test_a_token_of_another_run_is_a_conflict_that_wakes(book: Book) -> None:
    claim = book.claim_wake(lease_on(RUN, "one"))
    created = event(EventType.HOOK_CREATED, "hook_1/created", HOOK)
    committed = commit(
        book,
        commit_of(
            events=(created,),
            hooks_claimed=(HookClaim(hook_id=HOOK, token="t"),),
            leases=(LeaseEnd(lease=claim.lease, generation=claim.generation),),
        ),
        holder=someone,
    )
    assert committed.conflicts == (HOOK,)
    assert keys(book)[-1] == (2, "hook_1/conflict")
    assert book.written[-1].event.facts == {"token": "t", "run_id": "run_b"}
    assert book.wake is not None
    assert book.wake.claimable_ms == NOW
    assert not book.hooks


def test_claiming_a_token_again_is_benign_and_releasing_frees_it(book: Book) -> None:
    claims = (HookClaim(hook_id=HOOK, token="t", metadata=b"m", is_webhook=True),)
    created = event(EventType.HOOK_CREATED, "hook_1/created", HOOK)
    commit(book, commit_of(events=(created,), hooks_claimed=claims))
    assert commit(book, commit_of(1, hooks_claimed=claims)).conflicts == ()
    other = (HookClaim(hook_id=EntityId("hook_2"), token="t"),)
    assert commit(book, commit_of(2, hooks_claimed=other)).conflicts == ("hook_2",)
    assert book.hooks["t"].metadata == b"m"
    commit(book, commit_of(3, hooks_claimed=other, hooks_released=(HOOK, other[0].hook_id)))
    assert not book.hooks  # what was claimed just now, too


def test_a_token_that_is_released_can_be_claimed_in_the_same_commit(book: Book) -> None:
    commit(book, commit_of(hooks_claimed=(HookClaim(hook_id=HOOK, token="t"),)))
    stored = dict(book.hooks)  # what a store says that has not seen this commit yet
    other = HookClaim(hook_id=EntityId("hook_2"), token="t")
    made = commit_of(1, hooks_claimed=(other,), hooks_released=(HOOK,))
    assert commit(book, made, holder=stored.get).conflicts == ()
    assert book.hooks["t"].hook_id == "hook_2"


def test_a_commit_may_create_its_run() -> None:
    made = commit_of(new=new_run(), messages=(message(lease_ms=10),), wake_at_ms=NOW + 3)
    book, committed = Book.begin(made, now_ms=NOW, holder=nobody, new_token=tokens())
    assert (committed.turn, committed.position, len(committed.leases)) == (1, 1, 1)
    assert book.wake is not None
    assert book.wake.claimable_ms == NOW + 3
    assert commit(book, made) is committed
    with pytest.raises(StaleTurnError, match="there already"):
        commit(book, replace(made, commit_id="other"))
    with pytest.raises(StaleTurnError):
        Book.begin(replace(made, turn=1), now_ms=NOW, holder=nobody, new_token=tokens())


def test_snapshots_are_never_overwritten_by_older_ones(book: Book) -> None:
    def keep(turn: int, parent: int | None) -> list[int]:
        book.keep_snapshot(Snapshot(turn=turn, parent_turn=parent, consumed=1, data=b""))
        return [snapshot.turn for snapshot in book.snapshots]

    assert keep(2, None) == [2]
    assert keep(1, None) == [2]
    assert keep(4, 3) == [2]
    assert keep(5, 2) == [2, 5]
    assert keep(6, None) == [6]


def test_a_message_is_sent_once(book: Book) -> None:
    assert book.send(message(lease_ms=9), now_ms=NOW, token="x") == lease_on(
        f"{RUN}/m", "x", until_ms=NOW + 9
    )
    assert book.send(message(), now_ms=NOW, token="y") is None
    assert book.send(message("n"), now_ms=NOW, token="y") is None  # it asks for no lease
    assert book.messages[f"{RUN}/m"].claims == 1


# --- whatever is called: one log, and nothing changed by what is refused -----------------------

STEPS = st.sampled_from(["step_1", "step_2"])
HOOKS = st.sampled_from([HOOK, EntityId("hook_2")])


def step_ended(step: str, held: bool) -> tuple[object, ...]:
    return "append", event(EventType.STEP_COMPLETED, f"{step}/end", step), held


def hook_received(hook: EntityId) -> tuple[object, ...]:
    return "append", event(EventType.HOOK_RECEIVED, f"{hook}/1", hook), False


CALLS: st.SearchStrategy[tuple[object, ...]] = st.one_of(
    st.builds(step_ended, STEPS, st.booleans()),
    st.builds(hook_received, HOOKS),
    st.just(("append", event(EventType.RUN_CANCELLED, "run/ended"), False)),
    st.tuples(
        st.just("commit"),
        st.sampled_from([0, 0, 1]),
        st.sampled_from([0, 1]),
        st.none() | STEPS,
        st.none() | HOOKS,
        st.sampled_from([False, False, False, True]),
    ),
    st.sampled_from([("claim",), ("finish",), ("release",), ("extend",), ("arm",), ("send",)]),
)


def call(book: Book, held: Lease, now_ms: int, what: Any) -> None:
    match what:
        case ("append", made, with_lease):
            book.append(
                Append(run_id=RUN, event=made, lease=held if with_lease else None), now_ms=now_ms
            )
        case ("commit", off, behind, step, hook, end):
            done = event(EventType.STEP_COMPLETED, f"{step}/end", step)
            made = commit_of(
                book.record.turn + off,
                expected_position=book.record.position - behind,
                deliveries=() if step is None else (done,),
                hooks_claimed=() if hook is None else (HookClaim(hook_id=hook, token="t"),),
                messages=(message(lease_ms=10),),
                leases=(LeaseEnd(lease=held),),
                outcome=RunOutcome(status=RunStatus.FAILED, payload=None, at_ms=now_ms)
                if end
                else None,
            )
            commit(book, made, now_ms=now_ms)
        case ("claim",) if book.wake is not None and book.wake.is_claimable(now_ms):
            book.claim_wake(lease_on(RUN, "w", until_ms=now_ms + 10))
        case ("finish",):
            book.finish(LeaseEnd(lease=held), now_ms=now_ms)
        case ("release",):
            book.release(held, now_ms=now_ms, delay_ms=1, ran=False)
        case ("extend",):
            book.extend(held, now_ms=now_ms, until_ms=now_ms + 5)
        case ("arm",):
            book.arm(now_ms)
        case ("send",):
            book.send(message(lease_ms=10), now_ms=now_ms, token="w")
        case _:
            pass


@given(st.lists(st.tuples(CALLS, st.sampled_from([RUN, f"{RUN}/m"]), st.integers(0, 15))))
def test_a_call_that_raises_has_changed_nothing(
    program: list[tuple[Any, str, int]],
) -> None:
    book, now_ms = Book.create(new_run(), due_ms=NOW), NOW
    for what, item, passed in program:
        now_ms += passed
        before = copy.deepcopy(book)
        try:
            call(book, lease_on(item, "w"), now_ms, what)
        except PerdureError:
            assert book == before
        assert [logged.position for logged in book.written] == list(
            range(1, book.record.position + 1)
        )
        assert {key: at for at, key in keys(book)} == dict(book.positions)
        ended = book.record.status.is_ended
        assert ended == (book.wake is None)
        assert not (ended and (book.hooks or book.messages))
        assert book.record.turn >= before.record.turn
