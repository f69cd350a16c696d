"""The database's files: whose they are, where they cannot be, what becomes of them meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from elsewhere import mounted, opened_by_nobody
from sqlite_values import new_run

from perdure import Worker
from perdure.errors import WorldReplacedError, WorldUnavailableError
from perdure.model import RunFilter, RunId
from perdure_sqlite import SqliteWorld
from perdure_sqlite._locks import Holder, holder_of
from perdure_sqlite._place import change_since
from perdure_sqlite._waits import Waits
from tests.systems import needs_modes, needs_movable_files, needs_stopping

pytestmark = pytest.mark.anyio


# --- whose they are ---------------------------------------------------------------------------


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def _no_umask() -> Generator[None, None, None]:
    before = os.umask(0)
    yield
    os.umask(before)


@needs_modes
@pytest.mark.usefixtures("_no_umask")
async def test_what_is_made_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "p.db"
    async with SqliteWorld(f"sqlite:///{path}") as world:
        await world.storage.create_run(new_run("a"))
        files = [f for f in (tmp_path / "deep").rglob("*") if f.is_file()]
        folders = [f for f in (tmp_path / "deep").rglob("*") if f.is_dir()]
        assert {file.name for file in files} >= {"p.db", "p.db-wal", "p.db-shm"}
        assert {mode(file) for file in files} == {0o600}
        assert {folder.name for folder in folders} == {"down", "p.db-owners"}
        assert {mode(folder) for folder in (tmp_path / "deep", *folders)} == {0o700}


@needs_modes
@pytest.mark.usefixtures("_no_umask")
async def test_what_is_there_keeps_its_mode_and_what_belongs_to_it_follows(tmp_path: Path) -> None:
    folder, path = tmp_path / "shared", tmp_path / "shared" / "p.db"
    folder.mkdir(mode=0o755)
    path.touch(mode=0o660)
    async with SqliteWorld(f"sqlite:///{path}") as world:
        await world.storage.create_run(new_run("a"))
        assert mode(folder) == 0o755
        files = {f.name: mode(f) for f in folder.rglob("*") if f.is_file()}
        assert set(files.values()) == {0o660}
        assert len(files) == 4
        assert mode(folder / "p.db-owners") == 0o770


@needs_modes
@pytest.mark.usefixtures("_no_umask")
async def test_a_link_into_the_void_makes_a_private_file(tmp_path: Path) -> None:
    (tmp_path / "p.db").symlink_to(tmp_path / "elsewhere.db")
    async with SqliteWorld(f"sqlite:///{tmp_path}/p.db"):
        assert mode(tmp_path / "elsewhere.db") == 0o600
        assert (tmp_path / "elsewhere.db-owners").is_dir()


# --- where they cannot be ---------------------------------------------------------------------


@pytest.fixture
def public() -> Generator[Path, None, None]:
    """A folder into which anybody may look."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def made(path: Path) -> None:
    anyio.run(make_world, path)


async def make_world(path: Path) -> None:
    async with SqliteWorld(f"sqlite:///{path}") as world:
        await world.storage.create_run(new_run("there"))


def read_only_file(folder: Path) -> None:
    folder.chmod(0o777)
    made(folder / "p.db")
    (folder / "p.db").chmod(0o444)


def unreadable_file(folder: Path) -> None:
    folder.chmod(0o777)
    made(folder / "p.db")


def read_only_folder(folder: Path) -> None:
    """In which there is no world yet."""


def closed_folder(folder: Path) -> None:
    made(folder / "p.db")
    folder.chmod(0o700)


def read_only_owners(folder: Path) -> None:
    folder.chmod(0o777)
    made(folder / "p.db")
    (folder / "p.db").chmod(0o666)


@needs_modes
@pytest.mark.slow
@pytest.mark.parametrize(
    "prepare",
    [read_only_file, unreadable_file, read_only_folder, closed_folder, read_only_owners],
)
def test_a_user_who_may_not_is_told_so(public: Path, prepare: Callable[[Path], None]) -> None:
    prepare(public)
    told = opened_by_nobody(f"sqlite:///{public}/p.db")
    assert (told["error"], told["retryable"]) == ("WorldUnavailableError", True), told
    assert str(public) in str(told["message"])
    assert "may not write" in str(told["message"])


@pytest.mark.slow
@pytest.mark.parametrize("is_there", [True, False])
def test_a_file_system_that_is_read_only_is_named(public: Path, is_there: bool) -> None:
    if is_there:
        made(public / "p.db")
    shell = f"mount --bind {public} {public}\nmount -o remount,bind,ro {public}"
    told = mounted(shell, f"sqlite:///{public}/p.db")
    assert (told["error"], told["retryable"]) == ("WorldUnavailableError", True), told
    assert "mounted read-only" in str(told["message"])


@pytest.mark.slow
def test_a_disk_that_is_full_is_named_and_writing_goes_on_once_there_is_room(public: Path) -> None:
    shell = f"mount -t tmpfs -o size=4m tmpfs {public}"
    told = mounted(shell, f"sqlite:///{public}/p.db", "--fill")
    assert (told["error"], told["retryable"]) == ("WorldUnavailableError", True), told
    assert "no room left" in str(told["message"])
    assert told["length"] == 1


@pytest.mark.slow
def test_a_disk_that_is_full_from_the_beginning_is_named(public: Path) -> None:
    shell = (
        f"mount -t tmpfs -o size=64k tmpfs {public}\n"
        f"dd if=/dev/zero of={public}/full bs=4k count=16 2>/dev/null"
    )
    told = mounted(shell, f"sqlite:///{public}/p.db")
    assert (told["error"], told["retryable"]) == ("WorldUnavailableError", True), told
    assert "no room left" in str(told["message"])


@pytest.mark.parametrize("path", ["file/p.db", "file/deep/p.db", "folder.db"])
async def test_what_stands_in_the_way_is_named(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(WorldUnavailableError, match=f"{tmp_path}/{path} cannot be opened") as told:
        await SqliteWorld(f"sqlite:///{tmp_path}/{path}").open()
    assert told.value.__cause__ is not None


# --- what becomes of them ---------------------------------------------------------------------


def deleted(path: Path) -> None:
    path.unlink()


def moved(path: Path) -> None:
    path.rename(path.with_name("backup.db"))


def replaced(path: Path) -> None:
    other = path.with_name("other.db")
    shutil.copy(path, other)
    other.rename(path)


def log_deleted(path: Path) -> None:
    path.with_name(path.name + "-wal").unlink()


def index_deleted(path: Path) -> None:
    path.with_name(path.name + "-shm").unlink()


def all_deleted(path: Path) -> None:
    for part in ("", "-wal", "-shm"):
        path.with_name(path.name + part).unlink()


def folder_deleted(path: Path) -> None:
    shutil.rmtree(path.parent)


RARELY = Waits(look_every=60)
FATES = [deleted, moved, replaced, log_deleted, index_deleted, all_deleted, folder_deleted]


@needs_movable_files
@pytest.mark.parametrize("happen", FATES)
async def test_a_file_that_goes_away_under_a_world_is_noticed(
    tmp_path: Path, happen: Callable[[Path], None]
) -> None:
    path = tmp_path / "folder" / "p.db"
    world = SqliteWorld(f"sqlite:///{path}")
    await world.open()
    await world.storage.create_run(new_run("a"))
    happen(path)
    with anyio.fail_after(10), pytest.raises(WorldReplacedError, match="deleted or replaced"):
        await world.queue.claim_messages(["t"], limit=1, visibility_ms=1, wait_ms=60_000)
    with pytest.raises(WorldReplacedError) as told:
        await world.storage.create_run(new_run("b"))
    assert str(path) in told.value.reason
    with pytest.raises(WorldReplacedError):
        await world.storage.get_run(RunId("a"))
    await world.aclose()
    async with world:  # a file that is new, or that which was put there
        await world.storage.create_run(new_run("c"))


@needs_movable_files
@pytest.mark.parametrize("happen", [fate for fate in FATES if fate is not index_deleted])
async def test_nothing_is_answered_that_is_not_in_the_file(
    tmp_path: Path, happen: Callable[[Path], None]
) -> None:
    """A write that follows at once was acknowledged, and went with the file."""
    path = tmp_path / "folder" / "p.db"
    world = SqliteWorld(f"sqlite:///{path}", waits=RARELY)
    await world.open()
    await world.storage.create_run(new_run("a"))
    happen(path)
    with pytest.raises(WorldReplacedError) as told:
        await world.storage.create_run(new_run("b"))
    assert str(path) in told.value.reason
    with pytest.raises(WorldReplacedError):
        await world.storage.get_run(RunId("a"))
    await world.aclose()


@needs_movable_files
async def test_a_link_that_leads_elsewhere_is_noticed(
    tmp_path: Path,
) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "first.db")
    world = SqliteWorld(f"sqlite:///{link}", waits=RARELY)
    await world.open()
    link.unlink()
    link.symlink_to(tmp_path / "second.db")
    with pytest.raises(WorldReplacedError):
        await world.storage.create_run(new_run("a"))
    await world.aclose()
    async with world:
        await world.storage.create_run(new_run("b"))
    assert (tmp_path / "second.db").stat().st_size


@needs_movable_files
async def test_a_file_that_goes_away_within_a_commit_is_noticed_by_the_next(
    tmp_path: Path,
) -> None:
    path = tmp_path / "p.db"
    async with SqliteWorld(f"sqlite:///{path}", waits=RARELY) as world:
        await world._handle.write(lambda _: path.unlink())
        with pytest.raises(WorldReplacedError):
            await world.storage.create_run(new_run("a"))


@needs_movable_files
async def test_who_closes_a_world_without_a_file_leaves_the_new_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    world = SqliteWorld(f"sqlite:///{path}")
    await world.open()
    await world.storage.create_run(new_run("old"))
    all_deleted(path)
    async with SqliteWorld(f"sqlite:///{path}") as other:
        await other.storage.create_run(new_run("new"))
        await world.aclose()
        await other.storage.create_run(new_run("newer"))
        assert path.with_name("p.db-wal").exists()
    async with SqliteWorld(f"sqlite:///{path}") as again:
        page = await again.catalogue.list_runs(RunFilter())
        assert [record.run_id for record in page.runs] == ["newer", "new"]


async def test_a_process_may_change_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    async with SqliteWorld("sqlite:///here/p.db") as world:
        monkeypatch.chdir(tmp_path / "other")
        await world.storage.create_run(new_run("a"))
        assert change_since(world._handle._identity) is None
        assert not world._handle.owner.has_dead()
    assert not list((tmp_path / "other").iterdir())


# --- who holds the lock -----------------------------------------------------------------------

HOLD = """
import os, signal, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode = WAL" if sys.argv[2] == "world" else "SELECT 1")
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
if "stop" in sys.argv:
    os.kill(os.getpid(), signal.SIGSTOP)
sys.stdin.readline()
db.execute("ROLLBACK")
db.close()
print("free", flush=True)
"""


@contextmanager
def holding(path: Path, *how: str) -> Generator[subprocess.Popen[str], None, None]:
    """A process that has begun to write, and is stopped or not."""
    command = [sys.executable, "-c", HOLD, str(path), *how]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        if "stop" in how:
            os.waitpid(process.pid, os.WUNTRACED)
        try:
            yield process
        finally:
            process.kill()


IMPATIENT = Waits(busy_ms=20, open_within=0.1)


@pytest.mark.parametrize("stopped", [pytest.param(True, marks=needs_stopping), False])
async def test_a_world_opens_and_reads_while_another_process_holds_the_lock(
    tmp_path: Path, stopped: bool
) -> None:
    path = tmp_path / "p.db"
    await make_world(path)
    with holding(path, "world", *["stop"] * stopped) as process:
        async with SqliteWorld(f"sqlite:///{path}", waits=IMPATIENT) as world:
            assert (await world.storage.get_run(RunId("there"))).position == 1
            with pytest.raises(WorldUnavailableError) as told:
                await world.storage.create_run(new_run("b"))
            assert told.value.retryable
            if sys.platform == "linux":
                assert f"process {process.pid}" in str(told.value)
            assert f"the write lock of {path}" in str(told.value)
            assert ("kill -CONT" in str(told.value)) is stopped
            process.kill()
            await anyio.to_thread.run_sync(process.wait)
            await world.storage.create_run(new_run("b"))


@needs_stopping
async def test_making_the_tables_waits_so_long_for_the_lock_and_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    with holding(path, "new", "stop") as process:
        with pytest.raises(WorldUnavailableError) as told, anyio.fail_after(10):
            await SqliteWorld(f"sqlite:///{path}", waits=IMPATIENT).open()
        assert told.value.retryable
        assert f"process {process.pid}, which is stopped," in str(told.value)
        assert f"the write lock of {path}" in str(told.value)


@needs_stopping
async def test_making_the_tables_goes_on_when_the_lock_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often SQLite itself gives up waiting."""
    path, tries = tmp_path / "p.db", 0
    with holding(path, "new", "stop") as process:
        sleep = anyio.sleep

        async def pause(seconds: float) -> None:
            nonlocal tries
            tries += 1
            if tries == 3:
                os.kill(process.pid, signal.SIGCONT)
                process.communicate("\n")
            await sleep(0)

        monkeypatch.setattr(anyio, "sleep", pause)
        async with SqliteWorld(f"sqlite:///{path}", waits=Waits(busy_ms=1)) as world:
            await world.storage.create_run(new_run("a"))
    assert tries >= 3


def test_of_a_lock_that_nobody_holds_there_is_no_holder(tmp_path: Path) -> None:
    assert holder_of(tmp_path / "p.db") is None  # no such file
    made(tmp_path / "p.db")
    assert holder_of(tmp_path / "p.db") is None


def test_a_holder_is_told_with_what_can_be_done() -> None:
    assert "kill 7" in Holder(7, is_stopped=False).remedy
    assert str(Holder(7, is_stopped=True)) == "process 7, which is stopped,"


@pytest.mark.parametrize("code", [sqlite3.SQLITE_ERROR, sqlite3.SQLITE_IOERR])
async def test_other_failures_of_sqlite_are_unavailable_too(tmp_path: Path, code: int) -> None:
    world = SqliteWorld(f"sqlite:///{tmp_path}/p.db")
    error = sqlite3.OperationalError("odd")
    error.sqlite_errorcode = code
    told = world._handle.place.error_of(error)
    assert isinstance(told, WorldUnavailableError)
    assert "odd" in str(told)


@needs_movable_files
async def test_a_worker_ends_when_its_file_is_gone(tmp_path: Path) -> None:
    """It does not go on in silence, nor for ever in vain."""
    path = tmp_path / "p.db"

    async def work() -> None:
        async with SqliteWorld(f"sqlite:///{path}") as world, Worker(world):
            path.unlink()
            await anyio.sleep_forever()

    with anyio.fail_after(20), pytest.raises(BaseExceptionGroup) as told:
        await work()
    assert told.value.split(WorldReplacedError)[1] is None
