"""Writer and reader: threads of their own, and what becomes of those who wait for them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from perdure.errors import WorldClosedError, WorldContractError, WorldUnavailableError
from perdure_sqlite._connection import connect
from perdure_sqlite._place import Place
from perdure_sqlite._reader import Reader, ReadingConnection
from perdure_sqlite._writer import Transaction, Writer

pytestmark = pytest.mark.anyio


def place(tmp_path: Path) -> Place:
    return Place("sqlite:///p.db", tmp_path / "p.db")


def opened(tmp_path: Path) -> sqlite3.Connection:
    db = connect(tmp_path / "p.db", synchronous="full", kind=sqlite3.Connection)
    db.execute("CREATE TABLE t (x UNIQUE)")
    return db


def hold(writer: Writer, gate: threading.Event) -> None:
    """Keep the writer at work until the gate is open: what follows shares a commit."""
    begun = threading.Event()

    def run(_: Transaction) -> bool:
        begun.set()
        return gate.wait(10)

    writer.submit(run, lambda _: None)
    assert begun.wait(10)


@asynccontextmanager
async def writing(tmp_path: Path) -> AsyncGenerator[Writer, None]:
    writer = Writer(
        opened(tmp_path), place=place(tmp_path), now_ms=lambda: 7, landed=lambda _: None
    )
    try:
        yield writer
    finally:
        await writer.aclose()


@asynccontextmanager
async def reading(tmp_path: Path) -> AsyncGenerator[Reader, None]:
    db = connect(tmp_path / "p.db", synchronous="full", kind=ReadingConnection)
    reader = await Reader.begin(db, place(tmp_path))
    try:
        yield reader
    finally:
        await reader.aclose()


def numbers(db: sqlite3.Connection) -> list[int]:
    return [row[0] for row in db.execute("SELECT x FROM t ORDER BY x")]


async def test_an_answer_that_cannot_be_handed_over_keeps_nobody_from_theirs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = threading.Event()

    def broken(answer: object) -> None:
        raise RuntimeError(f"no room for {answer}")

    async with writing(tmp_path) as writer:
        hold(writer, gate)
        writer.submit(lambda _: 1, broken)
        writer.submit(lambda _: 2, broken)
        gate.set()
        assert await writer.run(lambda transaction: transaction.now_ms) == 7
    assert [str(record.exc_info and record.exc_info[1]) for record in caplog.records] == [
        "no room for 1",
        "no room for 2",
    ]


async def test_a_look_that_fails_in_an_odd_way_is_told_and_not_the_last(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def odd(db: sqlite3.Connection) -> None:
        raise LookupError("odd")

    def usual(db: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("the next look will tell")

    async with writing(tmp_path) as writer:
        writer.look(odd)
        writer.look(usual)
        assert await writer.run(lambda _: 1) == 1
    assert [type(r.exc_info[1]) for r in caplog.records if r.exc_info] == [LookupError]


async def test_closing_lands_what_was_handed_over_and_refuses_what_follows(tmp_path: Path) -> None:
    gate, answers = threading.Event(), list[object]()
    db = opened(tmp_path)
    writer = Writer(db, place=place(tmp_path), now_ms=lambda: 7, landed=lambda _: None)
    hold(writer, gate)
    writer.submit(lambda t: t.db.execute("INSERT INTO t VALUES (1)").rowcount, answers.append)
    async with anyio.create_task_group() as group:
        group.start_soon(writer.aclose)
        await anyio.wait_all_tasks_blocked()
        writer.submit(lambda _: 3, answers.append)
        writer.land(lambda _: 4, answers.append)
        writer.look(answers.append)
        gate.set()
    assert [type(answer) for answer in answers[:2]] == [WorldClosedError] * 2
    assert answers[2:] == [1]
    with pytest.raises(WorldClosedError):
        await writer.run(lambda _: 5)
    assert not writer._thread.is_alive()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        numbers(db)
    async with reading(tmp_path) as reader:
        assert await reader.read(numbers) == [1]


async def test_one_of_several_fails_alone_and_a_bell_of_its_is_not_rung(tmp_path: Path) -> None:
    gate, rung = threading.Event(), list[set[str]]()
    writer = Writer(opened(tmp_path), place=place(tmp_path), now_ms=lambda: 7, landed=rung.append)
    answers: list[object] = []

    def inserted(x: int, transaction: Transaction) -> int:
        transaction.rings.add(f"{x} of {transaction.db.total_changes}")
        transaction.cursor.execute("INSERT INTO t VALUES (?)", (x,))
        return x

    hold(writer, gate)
    for x in (1, 2, 1, 3):
        writer.submit(partial(inserted, x), answers.append)
    gate.set()
    await writer.aclose()
    assert [a if isinstance(a, int) else type(a) for a in answers] == [
        *(1, 2),
        *(WorldContractError, 3),
    ]
    assert [{bell.partition(" ")[0] for bell in bells} for bells in rung] == [{"1", "2", "3"}]
    assert writer.commits == 2


async def test_a_thread_that_may_block_lands_its_own(tmp_path: Path) -> None:
    threads: list[int] = []
    async with writing(tmp_path) as writer:

        def land() -> None:
            writer.land(lambda _: threads.append(threading.get_ident()), lambda _: None)
            threads.append(threading.get_ident())

        await anyio.to_thread.run_sync(land)
        assert threads[0] == threads[1]
        other = await writer.run(lambda _: threading.get_ident())
        assert other not in (threads[0], threading.get_ident())


async def test_a_reading_function_takes_one_hop_and_fails_as_itself(tmp_path: Path) -> None:
    async with writing(tmp_path) as writer, reading(tmp_path) as reader:
        await writer.run(lambda t: t.db.execute("INSERT INTO t VALUES (1)").rowcount)
        assert await reader.read(numbers) == [1]
        assert await reader.read(lambda db: db.isolation_level) is None
        thread = await reader.read(lambda db: threading.current_thread())
        assert thread.daemon
        with pytest.raises(ValueError, match="of the function"):
            await reader.read(_fail)
        with pytest.raises(WorldUnavailableError, match="no such table"):
            await reader.read(lambda db: db.execute("SELECT 1 FROM missing"))
    with pytest.raises(WorldClosedError):
        await reader.read(numbers)


def _fail(db: sqlite3.Connection) -> None:
    raise ValueError("of the function")


async def test_sqlite_has_no_statement_of_that_name() -> None:
    db = sqlite3.connect(":memory:")
    with pytest.raises(sqlite3.OperationalError, match="syntax error"):
        db.execute("CALL ?", (None,))
    db.close()


FORGETFUL = """
import asyncio, sys
from perdure_sqlite import SqliteWorld

async def main():
    world = SqliteWorld(sys.argv[1])
    await world.open()
    await world.settle()
    print("left", flush=True)

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_process_ends_though_nobody_closed_its_world(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORGETFUL, f"sqlite:///{tmp_path}/p.db"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert (done.stdout, done.stderr) == ("left\n", "")
