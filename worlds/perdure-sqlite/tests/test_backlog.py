"""A long queue: claims are answered from the front of an index, however much waits."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import statistics
import time
from collections.abc import Callable, Generator
from heapq import nsmallest
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from sqlite_values import new_run

from perdure.errors import PerdureError
from perdure.model import (
    Append,
    Departure,
    Event,
    EventType,
    NewMessage,
    RunCopy,
    RunFilter,
    RunId,
    RunStatus,
)
from perdure.testing.clock import ManualClock
from perdure.testing.conformance import _edges
from perdure.testing.conformance._edges import calls_of
from perdure.testing.memory import MemoryWorld
from perdure_sqlite import SqliteWorld, _catalogue, _queue
from perdure_sqlite._catalogue import _page
from perdure_sqlite._owners import Owner, _free
from perdure_sqlite._place import Place
from perdure_sqlite._queue import _claim_messages, _claim_wakes
from perdure_sqlite._schema import create_tables
from perdure_sqlite._writer import Transaction

NOW_MS = 1_000_000


@pytest.fixture
def db() -> Generator[sqlite3.Connection, None, None]:
    opened = tables()
    yield opened
    opened.close()


def tables() -> sqlite3.Connection:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    create_tables(opened)
    return opened


def fill(db: sqlite3.Connection, count: int, *, topics: int, due_ms: int, runs: int) -> None:
    """So many messages of so many runs, all due at one time, and as many wakes."""
    db.execute("BEGIN")
    db.executemany(
        "INSERT INTO runs (n, run_id, workflow, bundle, engine, status, turn, position, consumed,"
        " log_digest, created_at_ms, level, secret, base_url, wake_due_ms,"
        " wake_generation)"
        " VALUES (?, ?, 'w', 'b', 'e', 'running', 1, 1, 0, x'', 1, 1, x'', '', ?, 1)",
        ((n, f"run{n:09}", due_ms) for n in range(count)),
    )
    db.executemany(
        "INSERT INTO messages (n, name, id, topic, body, due_ms, attempt)"
        " VALUES (?, ?, ?, ?, x'00', ?, 0)",
        (
            (n % runs, f"s{n:09}", f"run{n % runs:09}/s{n:09}", f"t{n % topics}", due_ms)
            for n in range(count)
        ),
    )
    db.execute("COMMIT")


def plan(db: sqlite3.Connection, statement: str, values: tuple[object, ...]) -> str:
    rows = db.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
    return "\n".join(row[3] for row in rows)


@pytest.mark.parametrize(
    ("statement", "values", "index"),
    [
        (_queue.DUE_WAKES, (1, 1), "wakes"),
        (_queue.FIRST_WAKE, (), "wakes"),
        (_queue.FIRST_LEASE, (), "leases"),
        (_queue.LONGEST_DUE, ("t", 1, 1), "messages_by_topic"),
        (_queue.HEADS.format(asked="(?), (?)"), ("t", "u"), "messages_by_topic"),
        (_catalogue.LAST_LOOKED_AT, (1, "", 1), "runs_by_creation"),
        (_catalogue.PURGED, (1, "moving", 1), "runs_by_end"),
        (_queue.COUNT_WAKES, (1,), "wakes"),
        (_queue.COUNT_MESSAGES, (1,) * 5, "messages_by_topic"),
    ],
)
def test_an_index_gives_the_order(
    db: sqlite3.Connection, statement: str, values: tuple[object, ...], index: str
) -> None:
    steps = plan(db, statement, values)
    assert f"INDEX {index}" in steps, steps
    if statement is not _queue.COUNT_MESSAGES:  # its topics are grouped, in the reader
        assert "TEMP B-TREE" not in steps, steps
    for table in ("runs", "messages"):
        assert f"SCAN {table}\n" not in f"{steps}\n", steps


def instructions(db: sqlite3.Connection, work: Callable[[], object]) -> int:
    """How many instructions of SQLite's machine *work* takes: a measure that no load changes."""
    count = 0

    def tick() -> int:
        nonlocal count
        count += 1
        return 0

    db.set_progress_handler(tick, 1)
    try:
        work()
    finally:
        db.set_progress_handler(None, 1)
    return count


CLAIMS: dict[str, Callable[[Transaction, Owner, list[str]], object]] = {
    "messages": lambda t, owner, topics: _claim_messages(t, owner, topics, 1, 10_000),
    "many messages": lambda t, owner, topics: _claim_messages(t, owner, topics, 20, 10_000),
    "wakes": lambda t, owner, topics: _claim_wakes(t, owner, 1, 10_000),
}


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("runs", [1, 50])
@pytest.mark.parametrize("due_ms", [0, NOW_MS + 1])  # the latter: nothing is due, all wait
@pytest.mark.parametrize("topics", [1, 8])
def test_a_claim_takes_as_much_work_from_a_long_queue_as_from_a_short_one(
    tmp_path: Path, claim: str, topics: int, due_ms: int, runs: int
) -> None:
    asked, counts = [f"t{n}" for n in range(topics)], list[int]()
    for backlog in (100, 5_000):
        db = tables()
        fill(db, backlog, topics=topics, due_ms=due_ms, runs=runs)
        transaction, owner = Transaction(db.cursor(), NOW_MS), Owner(Place("", tmp_path / "x"))
        counts.append(
            # Mypy infers no lambda with a default.
            instructions(db, lambda t=transaction, o=owner: CLAIMS[claim](t, o, asked))  # type: ignore[misc]
        )
        db.close()
    assert counts[1] <= 1.5 * counts[0], counts


# By how many messages of the run are held, and how long yet.
HELD: dict[str, Callable[[int], list[tuple[int, int]]]] = {
    "one was lost": lambda backlog: [(1, -1)],
    "one was renewed": lambda backlog: [(1, 5_000)],
    "all are held": lambda backlog: [(backlog - 10, 5_000)],
    "all are held but one": lambda backlog: [(backlog - 11, 5_000), (1, -1)],
}


@pytest.mark.parametrize("held", HELD)
def test_a_claim_after_a_leases_end_takes_no_more_work_from_a_run_with_many_messages(
    tmp_path: Path, held: str
) -> None:
    counts = list[int]()
    for backlog in (100, 5_000):
        db = tables()
        fill(db, backlog, topics=1, due_ms=0, runs=1)
        transaction, owner = Transaction(db.cursor(), NOW_MS), Owner(Place("", tmp_path / "x"))
        for count, left_ms in HELD[held](backlog):
            claims, _ = _claim_messages(transaction, owner, ["t0"], count, 1)
            db.executemany(
                "UPDATE messages SET expires_ms = ? WHERE id = ?",
                [(NOW_MS + left_ms, claim.lease.item) for claim in claims],
            )
        db.execute("UPDATE runs SET leased_ms = ? WHERE leased_ms IS NOT NULL", (NOW_MS - 1,))
        counts.append(
            instructions(
                db,
                # Likewise.
                lambda t=transaction, o=owner: _claim_messages(t, o, ["t0"], 1, 10_000),  # type: ignore[misc]
            )
        )
        db.close()
    assert counts[1] <= 1.5 * counts[0], counts


def test_what_a_dead_owner_held_is_found_without_looking_through_what_waits(
    tmp_path: Path,
) -> None:
    counts = list[int]()
    for backlog in (100, 5_000):
        db = tables()
        fill(db, backlog, topics=1, due_ms=0, runs=backlog)
        transaction, dead = Transaction(db.cursor(), NOW_MS), Owner(Place("", tmp_path / "x"))
        _claim_messages(transaction, dead, ["t0"], 3, 10_000)
        _claim_wakes(transaction, dead, 3, 10_000)
        # Likewise.
        counts.append(instructions(db, lambda t=transaction, name=dead.name: _free(t, name)))  # type: ignore[misc]
        freed, _ = _claim_messages(
            transaction, Owner(Place("", tmp_path / "x")), ["t0"], backlog, 10_000
        )
        assert sum(claim.losses for claim in freed) == 3
        db.close()
    assert counts[1] <= 1.5 * counts[0], counts


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "a-", "a0", "ab", "b"]),
            st.sampled_from(["x", "y", "-"]),
            st.sampled_from(["t", "u", "v"]),
            st.integers(0, 3),
        ),
        unique_by=lambda message: message[:2],
    ),
    st.sets(st.sampled_from(["t", "u", "w"])),
    st.integers(1, 4),
)
def test_the_longest_due_are_claimed_first_and_equals_by_id(
    messages: list[tuple[str, str, str, int]], topics: set[str], limit: int
) -> None:
    db = tables()
    for n, (run, name, topic, due_ms) in enumerate(messages):
        db.execute(
            "INSERT INTO messages (n, name, id, topic, body, due_ms, attempt)"
            " VALUES (?, ?, ?, ?, x'', ?, 0)",
            (n, name, f"{run}/{name}", topic, due_ms),
        )
    claims, _ = _claim_messages(
        Transaction(db.cursor(), 2),
        Owner(Place("", Path("x"))),
        sorted(topics),
        limit,
        visibility_ms=10,
    )
    due = [
        (due_ms, f"{run}/{name}")
        for run, name, topic, due_ms in messages
        if topic in topics and due_ms <= 2
    ]
    assert [claim.message.message_id for claim in claims] == [
        name for _, name in nsmallest(limit, due)
    ]
    db.close()


@pytest.mark.anyio
async def test_an_empty_claim_waits_until_the_first_that_becomes_due(tmp_path: Path) -> None:
    clock = ManualClock(NOW_MS)
    async with SqliteWorld(f"sqlite:///{tmp_path}/p.db", clock=clock) as world:
        await world.storage.create_run(new_run("a"))
        await world.queue.send(
            [
                NewMessage(
                    message_id=f"a/{due}", run_id=RunId("a"), topic=topic, body=b"", due_ms=due
                )
                for topic, due in (("t", NOW_MS + 70), ("u", NOW_MS + 30), ("v", NOW_MS + 10))
            ]
        )
        owner = world._handle.owner
        _, next_ms = await world._handle.write(
            lambda t: _claim_messages(t, owner, ["t", "u"], 1, 10)
        )
        assert next_ms == NOW_MS + 30


@pytest.mark.slow
def test_a_claim_at_twenty_thousand_due_takes_no_longer_than_at_a_hundred(tmp_path: Path) -> None:
    """By the clock, generously: load on the machine falls on both."""
    times: dict[int, float] = {}
    for backlog in (100, 20_000):
        db = tables()
        fill(db, backlog, topics=8, due_ms=0, runs=50)
        transaction, owner = Transaction(db.cursor(), NOW_MS), Owner(Place("", tmp_path / "x"))
        laps = list[float]()
        for _ in range(60):
            began = time.perf_counter()
            _claim_messages(transaction, owner, [f"t{n}" for n in range(8)], 1, 10_000)
            laps.append(time.perf_counter() - began)
        times[backlog] = statistics.median(laps)
        db.close()
    assert times[20_000] < 3 * times[100], times


NONE_OF_THEM = [
    RunFilter(status=RunStatus.FAILED),
    RunFilter(workflow="other"),
    RunFilter(attributes={"a": "b"}),
]


@pytest.mark.parametrize("where", NONE_OF_THEM)
def test_a_page_of_what_few_are_looks_at_so_many_runs_and_no_more(
    monkeypatch: pytest.MonkeyPatch, where: RunFilter
) -> None:
    monkeypatch.setattr(_catalogue, "LOOKED_AT", 50)
    counts = list[int]()
    for runs in (100, 5_000):
        db = tables()
        fill(db, runs, topics=1, due_ms=0, runs=1)
        # Likewise.
        counts.append(instructions(db, lambda db=db: _page(db, where, (2, ""), 10)))  # type: ignore[misc]
        page = _page(db, where, (2, ""), 10)
        assert (page.runs, page.cursor) == ((), f"1/run{runs - 50:09}")
        db.close()
    assert counts[1] <= 1.5 * counts[0], counts


@pytest.mark.anyio
@pytest.mark.parametrize("looked_at", [1, 3, 10, 11, 1000])
async def test_pages_that_are_short_leave_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    monkeypatch.setattr(_catalogue, "LOOKED_AT", looked_at)
    async with SqliteWorld(f"sqlite:///{tmp_path}/p.db") as world:
        names = [f"r{n}" for n in range(10)]
        for name in names:
            await world.storage.create_run(new_run(name))
        for limit in (1, 3, 20):
            found: list[str] = []
            cursor: str | None = ""
            while cursor is not None:
                page = await world.catalogue.list_runs(
                    RunFilter(), cursor=cursor or None, limit=limit
                )
                found += [record.run_id for record in page.runs]
                cursor = page.cursor
            assert found == names[::-1]


@pytest.mark.anyio
async def test_of_all_statements_none_looks_through_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every method of every contract is traced, and the plan of each statement looked at."""
    monkeypatch.setattr(_edges, "WAIT_MS", 0)
    asked: set[str] = set()
    async with SqliteWorld(f"sqlite:///{tmp_path}/p.db") as world:
        await world._handle.write(lambda t: t.db.set_trace_callback(asked.add))
        await world._handle.read(lambda db: db.set_trace_callback(asked.add))
        async with MemoryWorld() as there:
            await there.storage.create_run(new_run("away"))
            gone = Departure(run_id=RunId("away"), to="memory://here")
            record = await there.transfer.depart(gone)
            events = await there.storage.read_events(RunId("away"))
        await world.storage.create_run(new_run("run_a"))
        copy = RunCopy(record=record, events=events, chain=(), streams=())
        for call in calls_of(world, copy).values():
            with contextlib.suppress(PerdureError):
                await call()
        await _work(world)
        await world._handle.write(lambda t: t.db.set_trace_callback(None))
        await world._handle.read(lambda db: db.set_trace_callback(None))
        queries = {sql for sql in asked if re.match("SELECT|UPDATE|DELETE|INSERT|WITH", sql)}
        # Counting is as long as there is to count; padding gives the log its size, once.
        queries = {sql for sql in queries if not re.search(r"count\(\*\)|padding", sql)}
        assert len(queries) > 50
        plans = await world._handle.read(
            lambda db: {sql: plan(db, sql, ()) for sql in sorted(queries)}
        )
    tables = "runs|messages|events|hooks|snapshots|streams|chunks|stream_writes|blobs"
    through = {
        sql: steps
        for sql, steps in plans.items()
        if re.search(rf"^SCAN ({tables})( USING INDEX|$)", steps, re.MULTILINE)
    }
    assert through == {}


async def _work(world: SqliteWorld) -> None:
    """Messages and wakes that are claimed, lost and freed; a run that ends; retention."""
    run_id = RunId("run_b")
    await world.storage.create_run(new_run(run_id))
    await world.queue.send(
        [NewMessage(message_id="run_b/m", run_id=run_id, topic="t", body=b"", due_ms=0)]
    )
    await world.queue.claim_messages(["t", "u"], limit=2, visibility_ms=-1)
    await world.queue.claim_messages(["t", "u"], limit=2, visibility_ms=60_000)
    await world.queue.claim_wakes(limit=9, visibility_ms=60_000)
    owner = world._handle.owner
    await world._handle.write(lambda t: _free(t, owner.name))
    end = Event(type=EventType.RUN_CANCELLED, key="run/ended", at_ms=1)
    await world.storage.append(Append(run_id=run_id, event=end, wake=False))
    assert await world.catalogue.purge(ended_before_ms=2**40) == 1
