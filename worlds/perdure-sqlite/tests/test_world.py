"""What is particular to this world: files, processes, group commit, and owners that die."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from sqlite_values import new_run

from perdure.abc import Capability
from perdure.errors import (
    RunNotFoundError,
    UsageError,
    WorldContractError,
    WorldUnavailableError,
)
from perdure.model import NewMessage, RunFilter, RunId
from perdure.worldkit.files import try_lock
from perdure_sqlite import SqliteWorld, _connection, _handle
from perdure_sqlite._connection import WAL_BYTES
from perdure_sqlite._handle import GROW_AFTER, Handle
from perdure_sqlite._schema import VERSION
from perdure_sqlite._waits import DEFAULT, Waits
from tests.opening import CASES, Case

pytestmark = pytest.mark.anyio


def is_held(lock: Path) -> bool:
    with open(lock, "rb") as file:
        return not try_lock(file.fileno())


CHILD = """
import asyncio, sys
from perdure.model import Digest, NewRun, RunId
from perdure_sqlite import SqliteWorld

async def main(url, deed):
    async with SqliteWorld(url) as world:
        print("open", flush=True)
        sys.stdin.readline()
        if deed == "claim":
            print(len(await world.queue.claim_wakes(limit=9, visibility_ms=600_000)), flush=True)
        else:
            for n in range(1 if deed == "once" else 1_000_000):
                await world.storage.create_run(NewRun(
                    run_id=RunId(f"{deed}{n}"), workflow="flow", bundle=Digest("b"),
                    engine=Digest("e"), input=b"x" * 100, created_at_ms=n))
                print(n, flush=True)
        sys.stdin.readline()

asyncio.run(main(*sys.argv[1:]))
"""


class Child:
    """Another process with the world open."""

    def __init__(self, url: str, deed: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, url, deed],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    async def line(self) -> str:
        assert self.process.stdout is not None
        return (await anyio.to_thread.run_sync(self.process.stdout.readline)).strip()

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> str:
        self.process.kill()
        rest, _ = self.process.communicate(timeout=30)
        return rest


@asynccontextmanager
async def child(url: str, deed: str) -> AsyncGenerator[Child, None]:
    made = Child(url, deed)
    try:
        assert await made.line() == "open"
        yield made
    finally:
        if made.process.returncode is None:
            made.kill()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_it_opens_and_closes(url: str, case: Case) -> None:
    await case(lambda: SqliteWorld(url))


def test_it_can_do_everything(url: str) -> None:
    assert SqliteWorld(url).capabilities == frozenset(Capability)


@pytest.mark.parametrize(
    "wrong",
    [
        "sqlite://",
        "sqlite://host/x.db",
        "sqlite:///:memory:",
        "sqlite:///x?mode=1",
        "mongodb://x/y",
        "sqlite:///x?synchronous=off",
    ],
)
def test_a_wrong_url_says_how_to_write_it(wrong: str) -> None:
    with pytest.raises(UsageError, match=r"sqlite:///|synchronous=full"):
        SqliteWorld(wrong)


@pytest.mark.parametrize(
    "name", ["a#b.db", "a#", "a?b.db", "a?", "a/", "a%00", "a?synchronous=full#"]
)
def test_a_name_that_ends_early_opens_no_other_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        SqliteWorld(f"sqlite:///{tmp_path}/{name}")


async def test_any_name_can_be_written_in_a_url(tmp_path: Path) -> None:
    names = ["a#b.db", "a?b=c.db", "100%.db", "ä @+&.db"]
    for name in names:
        async with SqliteWorld(f"sqlite:///{quote(str(tmp_path / name))}?synchronous=normal"):
            pass
    assert [name for name in names if not (tmp_path / name).is_file()] == []


async def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE precious (x)")
    db.close()
    with pytest.raises(WorldContractError, match="another program"):
        async with SqliteWorld(f"sqlite:///{path}"):
            pass
    path.write_bytes(b"no database at all" * 300)
    with pytest.raises(WorldContractError, match="not a database"):
        async with SqliteWorld(f"sqlite:///{path}"):
            pass


async def test_a_later_schema_asks_for_an_upgrade(url: str, tmp_path: Path) -> None:
    async with SqliteWorld(url):
        pass
    db = sqlite3.connect(tmp_path / "deep/perdure.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(WorldContractError, match="upgrade perdure-sqlite"):
        async with SqliteWorld(url):
            pass


@pytest.mark.parametrize("version", range(1, VERSION))
async def test_a_schema_of_a_trial_version_is_named(url: str, tmp_path: Path, version: int) -> None:
    async with SqliteWorld(url):
        pass
    db = sqlite3.connect(tmp_path / "deep/perdure.db")
    db.execute(f"PRAGMA user_version = {version}")
    db.close()
    with pytest.raises(WorldContractError, match=f"has schema {version} of a trial version"):
        async with SqliteWorld(url):
            pass


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorldUnavailableError, match="file/sub"):
        async with SqliteWorld(f"sqlite:///{tmp_path}/file/sub/x.db"):
            pass


async def test_an_open_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "perdure.db"
    path.write_bytes(b"this is no database, but long enough to be taken for one" * 100)
    before = threading.active_count()
    for _ in range(3):
        with pytest.raises(WorldContractError, match="not a database"):
            await SqliteWorld(f"sqlite:///{path}").open()
    locks = list(path.with_name("perdure.db-owners").iterdir())
    assert [is_held(lock) for lock in locks] == [False] * 3
    with anyio.fail_after(5):
        while threading.active_count() > before + 1:  # one is the pool's that open borrows
            await anyio.lowlevel.checkpoint()


async def test_writes_that_wait_share_a_commit_and_fail_alone(url: str) -> None:
    async with SqliteWorld(url) as world:
        writer = world._handle.writer
        before = writer.commits
        failures: list[BaseException] = []

        async def create(n: int) -> None:
            await world.storage.create_run(new_run(f"run{n}"))

        async def refused() -> None:
            try:
                await world.streams.close(RunId("nobody"), "x")
            except RunNotFoundError as exc:
                failures.append(exc)

        async with anyio.create_task_group() as group:
            for n in range(200):
                group.start_soon(create, n)
                group.start_soon(refused)
        assert len(failures) == 200
        assert writer.commits - before < 100
        page = await world.catalogue.list_runs(RunFilter(), limit=1000)
        assert {record.run_id for record in page.runs} == {f"run{n}" for n in range(200)}


async def test_a_write_in_another_process_wakes_this_one(url: str) -> None:
    # It writes once: a claim that waits for a file that is always being written may wait for long.
    async with SqliteWorld(url) as world, child(url, "once") as other:
        claims: list[float] = []
        written = 0.0

        async def claim() -> None:
            found = await world.queue.claim_wakes(limit=1, visibility_ms=1000, wait_ms=20_000)
            assert found
            claims.append(anyio.current_time())

        async with anyio.create_task_group() as group:
            group.start_soon(claim)
            await anyio.wait_all_tasks_blocked()
            other.go()
            assert await other.line() == "0"
            written = anyio.current_time()
        assert claims[0] - written < 20 * DEFAULT.look_every  # generous: looks may be late


async def test_a_dead_process_loses_its_claims_within_a_second_or_so(url: str) -> None:
    async with SqliteWorld(url) as world, child(url, "claim") as other:
        await world.storage.create_run(new_run("a"))
        other.go()
        assert await other.line() == "1"
        assert not await world.queue.claim_wakes(limit=1, visibility_ms=1000)
        other.kill()
        died = anyio.current_time()
        found = await world.queue.claim_wakes(limit=1, visibility_ms=1000, wait_ms=20_000)
        assert [claim.run_id for claim in found] == ["a"]
        assert anyio.current_time() - died < 5


async def test_a_live_process_keeps_its_claims(url: str) -> None:
    async with SqliteWorld(url) as world, SqliteWorld(url) as other:
        await world.storage.create_run(new_run("a"))
        assert await world.queue.claim_wakes(limit=1, visibility_ms=60_000)
        assert not other._handle.owner.has_dead()
        owner = other._handle.owner
        owner.bury(await other._handle.write(owner.free_dead))
        assert not await other.queue.claim_wakes(limit=1, visibility_ms=1000)


@pytest.mark.slow
@pytest.mark.crash
async def test_kill_9_under_load_loses_no_acknowledged_write(url: str) -> None:
    async with SqliteWorld(url) as world:
        acknowledged: dict[str, int] = {}
        for trial in range(5):
            names = [f"t{trial}p{n}_" for n in range(3)]
            children = [Child(url, name) for name in names]
            for one in children:
                assert await one.line() == "open"
                one.go()
            for one in children:
                await one.line()
            await anyio.sleep(0.05 * trial)  # the moment of the kill is what varies
            for name, one in zip(names, children, strict=True):
                lines = one.kill().split()
                acknowledged[name] = int(lines[-1]) if lines else 0
        for name, last in acknowledged.items():
            for n in range(last):  # the very last line may be torn
                assert await world.storage.get_run(RunId(f"{name}{n}"))
        check = await world._handle.read(lambda db: db.execute("PRAGMA integrity_check").fetchall())
        assert check == [("ok",)]


async def test_a_message_claimed_by_nobody_is_sent_once(url: str) -> None:
    async with SqliteWorld(url) as world:
        await world.storage.create_run(new_run("a"))
        message = NewMessage(message_id="a/1", run_id=RunId("a"), topic="t", body=b"", due_ms=0)
        await world.queue.send([message, message])
        await world.queue.send([message])
        assert (await world.queue.count_waiting())["t"] == 1


async def test_a_world_that_does_not_open_leaves_no_thread(tmp_path: Path) -> None:
    (tmp_path / "folder.db").mkdir()
    before = set(threading.enumerate())
    with pytest.raises(WorldUnavailableError):
        await SqliteWorld(f"sqlite:///{tmp_path}/folder.db").open()
    left = {t.name for t in set(threading.enumerate()) - before}
    assert not any("connection_worker" in name or "sqlite" in name for name in left)


async def test_the_log_gets_its_size_once_the_world_has_been_written_to_a_few_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown = anyio.Event()
    loop, grow = asyncio.get_running_loop(), Handle._grow_wal

    def counted(self: Handle, db: sqlite3.Connection) -> None:
        grow(self, db)
        loop.call_soon_threadsafe(grown.set)

    monkeypatch.setattr(Handle, "_grow_wal", counted)
    async with SqliteWorld(f"sqlite:///{tmp_path}/p.db") as world:
        log = tmp_path / "p.db-wal"
        for number in range(GROW_AFTER):
            assert log.stat().st_size < WAL_BYTES
            await world.storage.create_run(new_run(f"run{number}"))
        with anyio.fail_after(10):
            await grown.wait()
        assert log.stat().st_size >= WAL_BYTES
        await world.storage.create_run(new_run("a"))  # the padding is gone
        assert (await world.storage.get_run(RunId("a"))).position == 1


async def test_a_claim_that_is_made_reaches_its_caller_though_cancelled(tmp_path: Path) -> None:
    """Else the run is leased to nobody until the claim runs out."""
    gate, claimed = threading.Event(), list[RunId]()
    async with SqliteWorld(f"sqlite:///{tmp_path}/p.db") as world:
        await world.storage.create_run(new_run("a"))
        world._handle.writer.submit(lambda _: gate.wait(10), lambda _: None)

        async def claim() -> None:
            claims = await world.queue.claim_wakes(limit=1, visibility_ms=60_000)
            claimed.extend(claim.run_id for claim in claims)

        async with anyio.create_task_group() as group:
            group.start_soon(claim)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
            gate.set()
    assert claimed == ["a"]


@pytest.mark.parametrize(("busy", "opens"), [(3, True), (10**9, False)])
async def test_a_file_that_others_make_just_now_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, busy: int, opens: bool
) -> None:
    """SQLite itself does not wait while two change the journal's mode of one file."""
    asked: list[type[sqlite3.Connection]] = []
    connect = _connection.connect

    def refused(path: Path, *, kind: type[sqlite3.Connection], **named: Any) -> object:
        asked.append(kind)
        if len(asked) <= busy:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        return connect(path, kind=kind, **named)

    monkeypatch.setattr(_handle, "connect", refused)
    waits = Waits(open_within=30.0 if opens else 0.05, open_again=0.001)
    world = SqliteWorld(f"sqlite:///{tmp_path}/new.db", waits=waits)
    if opens:
        async with world:
            assert len(asked) == busy + 2  # for the writer, and for the reader
    else:
        with pytest.raises(WorldUnavailableError, match="locked"):
            await world.open()
        assert len(asked) > 1


async def test_what_others_write_right_after_the_opening_ends_a_wait(tmp_path: Path) -> None:
    """Before the world's first look for what others wrote, with nothing written after."""
    url = f"sqlite:///{tmp_path}/a.db"
    async with SqliteWorld(url) as other:
        await other.storage.create_run(new_run("run_a"))
        looking = SqliteWorld(url, waits=Waits(look_every=0.2))
        async with looking as world, anyio.create_task_group() as group:

            async def wait() -> None:
                with anyio.fail_after(5):
                    page = await world.streams.read(RunId("run_a"), "s", wait_ms=60_000)
                assert page.chunks == (b"x",)

            group.start_soon(wait)
            while "run_a" not in repr(world._handle.bells):
                await anyio.lowlevel.checkpoint()
            await world.streams.info(RunId("run_a"), "s")  # after the wait's own first look
            await other.streams.append(RunId("run_a"), "s", [b"x"], writer="w", sequence=0)
