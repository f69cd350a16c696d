"""Sequences: what lands on a row as expected is what lands on the row as it was read.

Histories of commits and of what else happens to their runs are played twice, once with every row
read. Answers, errors and all tables have to be the same after each.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias, cast

import pytest
from hypothesis import event as note, given, strategies as st
from sqlite_values import new_run

from perdure.errors import PerdureError
from perdure.model import (
    Append,
    Committed,
    EntityId,
    Event,
    EventType,
    HookClaim,
    Lease,
    LeaseEnd,
    NewMessage,
    RunId,
    RunOutcome,
    RunStatus,
    Snapshot,
    TurnCommit,
)
from perdure_sqlite._appending import append_event
from perdure_sqlite._messages import MAX_INLINE_BYTES
from perdure_sqlite._owners import Owner
from perdure_sqlite._place import Place
from perdure_sqlite._plan import RunRow
from perdure_sqlite._queue import _claim_messages, _claim_wakes, _extend
from perdure_sqlite._runs import find_run, unpack_committed
from perdure_sqlite._schema import create_tables
from perdure_sqlite._sequences import Sequences
from perdure_sqlite._turn import commit_turn
from perdure_sqlite._writer import Transaction

RUNS = [RunId("a"), RunId("b")]
LEASE_MS = 1000
Work: TypeAlias = "Callable[[Transaction], Any]"


class Never:
    """Expects nothing."""

    def expected(self, commit: TurnCommit, *, now_ms: int) -> None:
        return None

    def note(self, *_: object) -> None:
        return None


class Store:
    """A database in memory."""

    def __init__(self, sequences: Sequences | Never) -> None:
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        create_tables(self.db)
        self.owner = Owner(Place("", Path("none")))
        self.owner.name = "o"
        self.sequences = sequences
        self.leases: list[Lease] = []  # in the order they were given
        self.reads = 0  # of a row by a commit
        self.landed = 0  # commits that read none
        self.db.set_trace_callback(self._trace)

    def _trace(self, statement: str) -> None:
        self.reads += statement.startswith(f"SELECT {RunRow.COLUMNS}")

    def do(self, work: Work, now_ms: int) -> tuple[Any, set[str]]:
        """Run a transaction; gives its answer or its error, and the bells it rings."""
        transaction = Transaction(self.db.cursor(), now_ms)
        self.db.execute("BEGIN IMMEDIATE")
        try:
            answer = work(transaction)
        except PerdureError as exc:
            self.db.execute("ROLLBACK")
            return (type(exc), str(exc)), set()
        self.db.execute("COMMIT")
        return answer, transaction.rings

    def commit(self, commit: TurnCommit, now_ms: int) -> tuple[Any, set[str]]:
        reads = self.reads
        answer, rings = self.do(
            lambda t: commit_turn(commit, self.owner, cast(Any, self.sequences), t), now_ms
        )
        if isinstance(answer, Committed):
            self.leases += answer.leases
            self.landed += self.reads == reads
            answer = self._seen(answer)
        return answer, rings

    def dump(self) -> dict[str, list[dict[str, Any]]]:
        """Every row of every table; tokens by the order in which they were given."""
        found: dict[str, list[dict[str, Any]]] = {}
        for table in ("runs", "events", "hooks", "messages", "snapshots"):
            rows = self.db.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in rows.description]
            found[table] = [dict(zip(names, row, strict=True)) for row in rows]
        for row in found["runs"]:
            if row["committed"] is not None:
                row["committed"] = self._seen(unpack_committed(row["committed"]))
        for row in (*found["runs"], *found["messages"]):
            for name in ("token", "inline_token", "wake_token"):
                if row.get(name) is not None:
                    row[name] = self._rank(row[name])
        return found

    def _seen(self, committed: Committed) -> Any:
        leases = [(le.item, self._rank(le.token), le.expires_at_ms) for le in committed.leases]
        return committed.turn, committed.position, committed.first_position, leases

    def _rank(self, token: str) -> int | str:
        ranks = [lease.token for lease in self.leases]
        return ranks.index(token) if token in ranks else "another"


@dataclass
class Pair:
    """A store that lands quickly what it can, and one that never does."""

    quick: Store = field(default_factory=lambda: Store(Sequences()))
    slow: Store = field(default_factory=lambda: Store(Never()))
    now_ms: int = 1000
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def commit(self, make: Callable[[Store], TurnCommit]) -> None:
        answers = [store.commit(make(store), self.now_ms) for store in (self.quick, self.slow)]
        self._compare(answers)

    def do(self, work: Callable[[Store], Work]) -> None:
        self._compare([store.do(work(store), self.now_ms) for store in (self.quick, self.slow)])

    def _compare(self, answers: list[Any]) -> None:
        assert answers[0] == answers[1]
        assert self.quick.dump() == self.slow.dump()

    def close(self) -> None:
        for store in (self.quick, self.slow):
            store.db.close()

    def record(self, run_id: RunId) -> tuple[int, int] | None:
        """Turn and position of the run."""
        try:
            turn, position = find_run(self.quick.db, run_id, "turn, position")
        except PerdureError:
            return None
        return turn, position


def event(kind: EventType, key: str) -> Event:
    return Event(type=kind, key=key, at_ms=5, entity=EntityId(key.partition("/")[0]), payload=b"p")


@st.composite
def commits(draw: st.DrawFn, pair: Pair) -> Callable[[Store], TurnCommit]:
    """Mostly the next commit of a run with one inline step after another."""
    number, run_id = next(pair.numbers), draw(st.sampled_from(RUNS))
    known = pair.record(run_id)
    odd = draw(st.lists(st.sampled_from(ODD), max_size=2)) if draw(st.booleans()) else []
    turn, position = (0, 1) if known is None else known
    names = _names(number, odd)
    if "same message" in odd or "sent before" in odd:
        names = [draw(st.sampled_from([f"step_{n}" for n in range(1, number + 1)]))]
    lease = _lease_of(pair, run_id, draw(st.integers(1, 3)) if "old lease" in odd else 1)
    hook = HookClaim(hook_id=EntityId(f"hook_{number}"), token="t", metadata=None, is_webhook=False)
    again = replace(hook, hook_id=EntityId(f"hook_{number}x"))
    snapshot = Snapshot(turn=turn + 1, parent_turn=None, consumed=position, data=b"s")
    outcome = RunOutcome(status=RunStatus.COMPLETED, payload=b"o", at_ms=6)
    commit = TurnCommit(
        run_id=run_id,
        commit_id="same" if "same id" in odd else f"c{number}",
        turn=turn + ("turn" in odd),
        expected_position=position + ("position" in odd) - ("stale" in odd),
        consumed=position,
        log_digest=bytes([number % 256]),
        deliveries=() if lease is None else _deliveries(number, odd),
        events=_events(number, names, odd),
        snapshot=snapshot if "snapshot" in odd else None,
        messages=tuple(_message(pair, run_id, name, odd) for name in names),
        hooks_claimed=(hook, *([again] * ("same token" in odd))) if "hook" in odd else (),
        hooks_released=(hook.hook_id,) if "release" in odd else (),
        outcome=outcome if known is not None and draw(st.integers(0, 5)) == 0 else None,
        wake_at_ms=pair.now_ms + 5 if "wake" in odd else None,
        new=new_run(run_id) if known is None or "new" in odd else None,
    )
    if lease is None:
        return lambda _: commit
    return lambda store: replace(commit, leases=(LeaseEnd(lease=store.leases[lease]),))


def _names(number: int, odd: Collection[str]) -> list[str]:
    """Of the messages that are sent."""
    if "no message" in odd:
        return []
    return [f"step_{number}", *([f"step_{number}x"] if "two messages" in odd else ())]


def _message(pair: Pair, run_id: RunId, name: str, odd: Collection[str]) -> NewMessage:
    return NewMessage(
        message_id=f"{run_id}/{name}",
        run_id=run_id,
        topic="t",
        body=b"b" * (MAX_INLINE_BYTES + ("large" in odd)),
        due_ms=pair.now_ms,
        lease_ms=None if "queued" in odd else LEASE_MS // (1 + ("short" in odd)),
    )


def _deliveries(number: int, odd: Collection[str]) -> tuple[Event, ...]:
    if "no delivery" in odd:
        return ()
    ended = "step_1" if "delivered before" in odd else f"step_{number - 1}"
    return (event(EventType.STEP_COMPLETED, f"{ended}/end"),)


def _events(number: int, names: list[str], odd: Collection[str]) -> tuple[Event, ...]:
    if "no event" in odd or "sent before" in odd:
        return ()
    events = [event(EventType.STEP_CREATED, f"{name}/created") for name in names]
    if "attributes" in odd:
        change = event(EventType.ATTRIBUTES_SET, f"attributes_{number}/created")
        events.append(replace(change, facts={"a": "1"}))
    if "event before" in odd:
        events.append(event(EventType.STEP_CREATED, "step_1/created"))
    if "event twice" in odd:
        events += events[-1:]
    if "many events" in odd:
        events += [event(EventType.WAIT_CREATED, f"wait_{number}/{n}") for n in range(9)]
    if "hook" in odd:
        events.append(event(EventType.HOOK_CREATED, f"hook_{number}/created"))
    return tuple(events)


ODD = (
    "two messages",
    "no message",
    "same message",
    "sent before",
    "large",
    "queued",
    "short",
    "old lease",
    "delivered before",
    "no delivery",
    "attributes",
    "event before",
    "event twice",
    "many events",
    "no event",
    "snapshot",
    "hook",
    "same token",
    "release",
    "wake",
    "turn",
    "position",
    "stale",
    "same id",
    "new",
)


def _lease_of(pair: Pair, run_id: RunId, back: int) -> int | None:
    """The place of the run's last lease but so many."""
    found = [k for k, le in enumerate(pair.quick.leases) if le.item.startswith(f"{run_id}/")]
    return found[-back] if len(found) >= back else None


def _others(pair: Pair, what: str, run_id: RunId) -> Callable[[Store], Work]:
    lease, number = _lease_of(pair, run_id, 1), next(pair.numbers)
    happened = event(EventType.STEP_COMPLETED, f"step_{number}/end")

    def work(store: Store) -> Work:
        held = None if lease is None else store.leases[lease]
        if what == "append":
            append = Append(run_id=run_id, event=happened, lease=held)
            return lambda t: append_event(t, append)
        if what == "retry":
            again = Append(
                run_id=run_id, event=happened, lease=held, release_delay_ms=3, wake=False
            )
            return lambda t: append_event(t, again)
        if what == "cancel":
            end = Event(type=EventType.RUN_CANCELLED, key="run/ended", at_ms=7)
            return lambda t: append_event(t, Append(run_id=run_id, event=end))
        if what == "extend":
            return lambda t: bool(_extend(t, () if held is None else (held,), 2 * LEASE_MS))
        if what == "claim wakes":
            return lambda t: len(_claim_wakes(t, store.owner, 9, LEASE_MS)[0])
        return lambda t: [
            (claim.message, claim.claims, claim.losses)
            for claim in _claim_messages(t, store.owner, ["t"], 9, LEASE_MS)[0]
        ]

    return work


@given(st.data())
def test_a_history_is_the_same_however_its_commits_are_landed(data: st.DataObject) -> None:
    with closing(Pair()) as pair:
        for _ in range(data.draw(st.integers(1, 12))):
            _go_on(pair, data)
    note(f"landed quickly: {min(pair.quick.landed, 4)}")


def _go_on(pair: Pair, data: st.DataObject) -> None:
    """Something more happens."""
    kind = data.draw(st.integers(0, 9))
    if kind < 7:
        pair.commit(data.draw(commits(pair)))
    elif kind == 7:
        pair.now_ms += data.draw(st.sampled_from([1, LEASE_MS - 1, LEASE_MS]))
    else:
        whats = ["append", "retry", "cancel", "extend", "claim wakes", "claim messages"]
        what = data.draw(st.sampled_from(whats))
        pair.do(_others(pair, what, data.draw(st.sampled_from(RUNS))))


# --- what is rare in histories --------------------------------------------------------------------


def turn(
    number: int, names: list[str], *, ends: Lease | None = None, run_id: RunId = RUNS[0]
) -> TurnCommit:
    """Turn *number* of a run whose log has one event for each turn, that sends these messages."""
    return TurnCommit(
        run_id=run_id,
        commit_id=f"c{number}",
        turn=number,
        expected_position=number + 1,
        consumed=number,
        log_digest=b"d",
        events=(event(EventType.STEP_CREATED, f"step_{number}/created"),),
        messages=tuple(
            NewMessage(
                message_id=f"{run_id}/{name}",
                run_id=run_id,
                topic="t",
                body=b"",
                due_ms=1000,
                lease_ms=LEASE_MS,
            )
            for name in names
        ),
        leases=() if ends is None else (LeaseEnd(lease=ends),),
        new=None if number else new_run(run_id),
    )


@pytest.fixture
def pair() -> Iterator[Pair]:
    with closing(Pair()) as made:
        yield made


def test_a_sequence_is_landed_quickly_and_sends_no_row(pair: Pair) -> None:
    pair.commit(lambda _: turn(0, ["1"]))
    pair.commit(lambda store: turn(1, ["2"], ends=store.leases[0]))
    pair.commit(lambda store: turn(2, ["3"], ends=store.leases[1]))
    assert pair.quick.landed == 3
    assert pair.quick.dump()["messages"] == []


def test_a_message_that_is_queued_is_not_sent_inline(pair: Pair) -> None:
    pair.commit(lambda _: turn(0, ["1", "2"]))
    pair.commit(lambda store: turn(1, ["2"], ends=store.leases[0]))
    assert [row["name"] for row in pair.quick.dump()["messages"]] == ["2"]
    assert pair.quick.landed == 1  # which created the run


def test_a_message_is_sent_once_though_a_commit_names_it_twice(pair: Pair) -> None:
    pair.commit(lambda _: turn(0, ["1", "1"]))
    assert pair.quick.dump()["messages"] == []
    pair.do(lambda store: lambda t: bool(_extend(t, store.leases, LEASE_MS)))
    assert [row["name"] for row in pair.quick.dump()["messages"]] == ["1"]


def test_a_turn_that_lands_begins_the_count_of_fruitless_claims_anew(pair: Pair) -> None:
    pair.commit(lambda _: turn(0, ["1"]))
    pair.do(lambda _: lambda t: t.db.execute("UPDATE runs SET wake_due_ms = 1") and None)
    pair.do(lambda store: lambda t: len(_claim_wakes(t, store.owner, 9, LEASE_MS)[0]))
    pair.commit(lambda store: turn(1, ["2"], ends=store.leases[0]))
    assert [row["wake_attempt"] for row in pair.quick.dump()["runs"]] == [0]
    assert pair.quick.landed == 1


def test_a_run_that_another_process_made_anew_has_another_number(pair: Pair) -> None:
    assert isinstance(pair.quick.sequences, Sequences)
    known = pair.quick.sequences._messages
    pair.commit(lambda _: turn(0, ["1"]))
    stale = dict(known)
    for store in (pair.quick, pair.slow):
        for table in ("runs", "events"):
            store.db.execute(f"DELETE FROM {table}")
    pair.commit(lambda _: turn(0, ["1"], run_id=RUNS[1]))  # which has the number now
    pair.commit(lambda _: turn(0, ["1"]))
    known.update(stale)
    pair.commit(lambda store: turn(1, ["2"], ends=store.leases[0]))
    assert pair.quick.landed == 3  # not the last: what it wrote to the other's log was taken back


def test_only_so_many_runs_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure_sqlite._sequences._MAX_RUNS", 2)
    sequences = Sequences()
    for number in range(3):
        sequences.note(RunId(f"run_{number}"), number, "token")
    assert repr(sequences) == "<Sequences of 1 runs>"
    sequences.note(RunId("run_2"), 2, None)
    assert repr(sequences) == "<Sequences of 0 runs>"
