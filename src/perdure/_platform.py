"""Platform: the features of this operating system, and plain forms of those that it lacks.

The one place that asks, once, and it asks for the thing itself: never for the name of a system.
Linux keeps its fast forms; Windows and macOS go the plain way where they lack one. Nothing here
imports from the package.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # asked for below

__all__ = (
    "after_fork",
    "can_fork",
    "count_processors",
    "has_full_sync",
    "open_bell",
    "processor_here",
    "replace",
    "set_mode",
    "stand_back",
    "sync_file",
    "sync_folder",
    "thread_clock",
    "try_lock",
    "wait_lock",
)

# Seconds between two looks at a lock, at first and at last, where the system does not wait for it.
LOCK_AGAIN, LOCK_AGAIN_MOST = 0.0005, 0.01
_REPLACE_TRIES, _REPLACE_AGAIN = 40, 0.005


def try_lock(descriptor: int) -> bool:
    """Lock the open file *descriptor* for this opening alone; False if another has it.

    The lock goes when the file is closed, and with the process, however that ends. Another opening
    in the same process does not get it either.

    Raises:
        OSError: files of this file system cannot be locked.
    """
    if fcntl is None:
        return _try_portable_lock(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _try_portable_lock(descriptor: int) -> bool:
    import portalocker  # which the package brings along where there is no fcntl

    try:
        portalocker.lock(descriptor, portalocker.LOCK_EX | portalocker.LOCK_NB)
    except portalocker.AlreadyLocked:
        return False
    except portalocker.LockException as exc:
        raise OSError(f"the file cannot be locked: {exc}") from exc
    return True


def wait_lock(descriptor: int) -> None:
    """Lock as ``try_lock`` does, once no other opening has it.

    Raises:
        OSError: files of this file system cannot be locked.
    """
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return
    pause = LOCK_AGAIN
    while not try_lock(descriptor):  # Windows' own wait gives up after ten seconds
        time.sleep(pause)
        pause = min(2 * pause, LOCK_AGAIN_MOST)


def set_mode(descriptor: int, mode: int) -> None:
    """Give the open file *descriptor* the *mode* of chmod; Windows takes that from its folder."""
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, mode)


def has_full_sync() -> bool:
    """Whether a plain sync leaves data in the disk's own cache, and a full one does not: macOS."""
    return hasattr(fcntl, "F_FULLFSYNC")


def sync_file(descriptor: int) -> None:
    """Have the file's content outlive a power cut: macOS asks its disks for that in its own way.

    Raises:
        OSError: the disk refuses.
    """
    full: int | None = getattr(fcntl, "F_FULLFSYNC", None)
    if fcntl is not None and full is not None:
        with contextlib.suppress(OSError):  # a file system that does not know it
            fcntl.fcntl(descriptor, full)
            return
    os.fsync(descriptor)


def sync_folder(path: Path) -> None:
    """Have a folder's names outlive a power cut; Windows opens no folder, nor needs it."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def replace(part: Path, path: Path) -> None:
    """Give *part* the name of *path*, which goes if it is there.

    Windows refuses that while somebody has *path* open, for a moment mostly.

    Raises:
        OSError: it is refused, and still so a fifth of a second later.
    """
    for _ in range(_REPLACE_TRIES):
        with contextlib.suppress(PermissionError):
            part.replace(path)
            return
        time.sleep(_REPLACE_AGAIN)
    part.replace(path)


def can_fork() -> bool:
    """Whether a process can be the copy of another that has all it needs, lines to it included."""
    return hasattr(os, "fork")


def after_fork(call: Callable[[], object]) -> None:
    """Have *call* called in each process that is a fork of this one, where there are forks."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=call)


def open_bell(
    loop: asyncio.AbstractEventLoop, rung: Callable[[asyncio.AbstractEventLoop, int], object]
) -> int | None:
    """An eventfd that has *loop* call *rung* with itself; None: the loop is woken as any other is.

    Where the system has none, or the loop reads no descriptors, as Windows' own does not.
    """
    if not hasattr(os, "eventfd"):
        return None
    bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    try:
        loop.add_reader(bell, rung, loop, bell)
    except NotImplementedError:
        os.close(bell)
        return None
    return bell


def thread_clock() -> int | None:
    """The clock of this thread's processor time, for ``time.clock_gettime`` in any thread.

    None where the system has no such clock: the time that it uses can then only be guessed.
    """
    if not hasattr(time, "pthread_getcpuclockid"):
        return None
    return time.pthread_getcpuclockid(threading.get_ident())


def stand_back() -> None:
    """Have this thread not take the processor from the one that wakes it, if that can be asked."""
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def count_processors() -> int:
    """How many this process may use, or how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _find_asking() -> Callable[[], int] | None:
    try:
        function = ctypes.PyDLL(None).sched_getcpu
    except (AttributeError, OSError, TypeError):  # no such function, or no such library
        return None
    function.argtypes, function.restype = (), ctypes.c_int
    return function


def _nowhere() -> int | None:
    return None


processor_here: Callable[[], int | None] = _find_asking() or _nowhere
"""The processor that this thread runs on just now; None where the system does not tell."""
