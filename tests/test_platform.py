"""What a system lacks is done without: each door in its fast form and in its plain one."""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import perdure._platform as module
from perdure._platform import (
    after_fork,
    count_processors,
    open_bell,
    processor_here,
    replace,
    set_mode,
    stand_back,
    sync_file,
    sync_folder,
    thread_clock,
    try_lock,
    wait_lock,
)
from tests.systems import needs_eventfd, needs_forks, needs_modes, needs_movable_files

HOLDER = """
import os, sys
from perdure._platform import try_lock
held = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)
print(try_lock(held), flush=True)
sys.stdin.readline()
"""


@pytest.fixture(params=["flock", "portalocker"])
def locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which form of lock this process uses; another one may use the other."""
    if request.param == "portalocker":
        monkeypatch.setattr(module, "fcntl", None)
    return str(request.param)


@pytest.mark.usefixtures("locks")
def test_a_lock_is_of_one_opening_and_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("ab") as one, path.open("rb") as two:
        assert try_lock(one.fileno())
        assert not try_lock(two.fileno())
        one.close()
        assert try_lock(two.fileno())


@pytest.mark.usefixtures("locks")
def test_a_lock_goes_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"True"
        with path.open("rb") as file:
            assert not try_lock(file.fileno())
            holder.kill()
            holder.wait()
            wait_lock(file.fileno())


@pytest.mark.usefixtures("locks")
def test_who_waits_for_a_lock_has_it_once_it_is_free(tmp_path: Path) -> None:
    path, had, events = tmp_path / "lock", threading.Event(), list[str]()

    def hold() -> None:
        with path.open("ab") as file:
            wait_lock(file.fileno())
            had.set()
            time.sleep(module.LOCK_AGAIN * 3)
            events.append("let go")

    thread = threading.Thread(target=hold)
    thread.start()
    had.wait()
    with path.open("ab") as file:
        wait_lock(file.fileno())
        events.append("taken")
    thread.join()
    assert events == ["let go", "taken"]


@pytest.mark.usefixtures("locks")
def test_what_cannot_be_locked_is_an_error_of_the_system(tmp_path: Path) -> None:
    closed = os.open(tmp_path, os.O_RDONLY)
    os.close(closed)
    with pytest.raises(OSError, match=r"Bad file descriptor"):
        try_lock(closed)


@needs_modes
def test_a_mode_is_set_where_files_have_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "file").open("wb") as file:
        set_mode(file.fileno(), 0o640)
        assert os.fstat(file.fileno()).st_mode & 0o777 == 0o640
        monkeypatch.delattr(os, "fchmod")
        set_mode(file.fileno(), 0o600)
        assert os.fstat(file.fileno()).st_mode & 0o777 == 0o640


class Fcntl:
    """As of macOS."""

    F_FULLFSYNC = 51

    def __init__(self, *, knows: bool) -> None:
        self.knows = knows
        self.asked = 0

    def fcntl(self, descriptor: int, command: int) -> int:
        self.asked += command == self.F_FULLFSYNC
        if not self.knows:
            raise OSError(25, "Inappropriate ioctl for device")
        return 0


@pytest.mark.parametrize("knows", [True, False])
def test_the_disk_itself_syncs_where_that_is_asked_for_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knows: bool
) -> None:
    mac, plain = Fcntl(knows=knows), list[int]()
    monkeypatch.setattr(module, "fcntl", mac)
    assert module.has_full_sync()
    monkeypatch.setattr(os, "fsync", plain.append)
    with (tmp_path / "file").open("wb") as file:
        sync_file(file.fileno())
        assert (mac.asked, plain) == (1, [] if knows else [file.fileno()])


@pytest.mark.parametrize("opens_folders", [pytest.param(True, marks=needs_movable_files), False])
def test_a_folder_is_synced_where_it_can_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opens_folders: bool
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    if not opens_folders:
        monkeypatch.delattr(os, "O_DIRECTORY")
    sync_folder(tmp_path)
    assert len(synced) == opens_folders


@pytest.mark.parametrize("refusals", [0, 3])
def test_a_file_is_replaced_once_nobody_has_it_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    """As Windows has it: another may not replace it while it is open."""
    real, left = os.replace, [refusals]

    def refuse(source: Any, target: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise PermissionError(13, "used by another process")
        real(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "old").write_bytes(b"old")
    replace(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old").read_bytes() == b"new"


def test_a_file_that_stays_open_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    def refuse(*_: object) -> None:
        raise PermissionError(13, "used by another process")

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(time, "sleep", pauses.append)
    with pytest.raises(PermissionError):
        replace(tmp_path / "new", tmp_path / "old")
    assert 0.1 < sum(pauses) < 1


def rung(loop: asyncio.AbstractEventLoop, bell: int) -> None:
    """Nobody rings."""


def hearing(loop: asyncio.AbstractEventLoop) -> bool:
    bell = open_bell(loop, rung)
    if bell is None:
        return False
    loop.remove_reader(bell)
    os.close(bell)
    return True


def refuse_readers(*_: object) -> None:
    raise NotImplementedError


@needs_eventfd
def test_a_bell_is_given_to_a_loop_that_hears_it(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.new_event_loop()
    try:
        assert hearing(loop)
        monkeypatch.setattr(loop, "add_reader", refuse_readers)
        before = len(os.listdir("/proc/self/fd"))
        assert not hearing(loop)
        assert len(os.listdir("/proc/self/fd")) == before
        monkeypatch.undo()
        monkeypatch.delattr(os, "eventfd")
        assert not hearing(loop)
    finally:
        loop.close()


def test_a_thread_is_asked_what_its_system_knows_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = thread_clock()
    assert clock is None or time.clock_gettime(clock) >= 0
    for owner, name in ((time, "pthread_getcpuclockid"), (os, "SCHED_BATCH")):
        monkeypatch.delattr(owner, name, raising=False)
    assert thread_clock() is None
    stand_back()


@pytest.mark.parametrize("name", ["sched_getaffinity", "cpu_count"])
def test_the_processors_are_counted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "sched_getaffinity":
        monkeypatch.delattr(os, name, raising=False)
    assert count_processors() >= 1


@needs_forks
def test_forks_are_told_of_where_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Callable[[], object]] = []

    def register(*, after_in_child: Callable[[], object]) -> None:
        told.append(after_in_child)

    monkeypatch.setattr(os, "register_at_fork", register, raising=False)
    after_fork(stand_back)
    monkeypatch.delattr(os, "register_at_fork")
    after_fork(thread_clock)
    assert told == [stand_back]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux tells it")
def test_the_processor_of_this_thread_is_one_that_it_may_use() -> None:
    assert processor_here() in os.sched_getaffinity(0)


def test_a_system_that_does_not_tell_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise OSError

    monkeypatch.setattr(ctypes, "PyDLL", refuse)
    assert module._find_asking() is None
    assert module._nowhere() is None
