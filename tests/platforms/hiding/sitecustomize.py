"""Hiding: what Windows lacks is not there for our code, in each process that has this on its path.

Python reads this file before anything else: no module of ours is imported yet. Modules that Windows
has not cannot be imported any more; attributes of ``os``, ``signal`` and others are hidden from our
modules alone, as the standard library of this system needs them; loops hear no descriptors and no
signals; an open file can be neither renamed nor removed. In return there is an ``msvcrt`` that
locks files, so that portalocker's Windows form runs.
"""

from __future__ import annotations

import asyncio
import asyncio.selector_events
import asyncio.unix_events
import contextlib
import ctypes
import fcntl
import importlib.abc
import importlib.machinery
import mmap
import multiprocessing.util  # uses what is hidden below, as the others do
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

__all__ = ("HIDDEN", "MODULES")

OURS = ("perdure", "tests", "worlds", "examples", "files_world", "__main__")
MODULES = ("fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty")
EARLY = (multiprocessing.util, shutil, subprocess, tarfile, tempfile)
HIDDEN = {
    os: (
        *("EFD_", "O_", "PRIO_", "P_", "RWF_", "SCHED_", "SPLICE_", "ST_", "W", "XATTR_", "POSIX_"),
        *("chown", "chroot", "confstr", "ctermid", "copy_file_range", "eventfd", "fchdir"),
        *("fchmod", "fchown", "fdatasync", "fork", "forkpty", "fpathconf", "fstatvfs", "getegid"),
        *("geteuid", "getgid", "getgrouplist", "getgroups", "getloadavg", "getpgid", "getpgrp"),
        *("getpriority", "getrandom", "getres", "getsid", "getuid", "getxattr", "initgroups"),
        *("killpg", "lchown", "lockf", "login_tty", "major", "makedev", "memfd_create", "minor"),
        *(
            "mkfifo",
            "mknod",
            "nice",
            "openpty",
            "pathconf",
            "pidfd_open",
            "pipe2",
            "posix_",
            "pread",
        ),
        *("preadv", "pwrite", "pwritev", "readv", "register_at_fork", "sched_", "sendfile", "set"),
        *("splice", "statvfs", "sync", "sysconf", "tcgetpgrp", "tcsetpgrp", "ttyname", "uname"),
        *("unshare", "wait", "writev"),
    ),
    signal: (
        *("SIG_BLOCK", "SIG_SETMASK", "SIG_UNBLOCK", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCLD"),
        *("SIGCONT", "SIGHUP", "SIGIO", "SIGIOT", "SIGKILL", "SIGPIPE", "SIGPOLL", "SIGPROF"),
        *("SIGPWR", "SIGQUIT", "SIGRT", "SIGSTKFLT", "SIGSTOP", "SIGSYS", "SIGTRAP", "SIGTSTP"),
        *("SIGTTIN", "SIGTTOU", "SIGURG", "SIGUSR", "SIGVTALRM", "SIGWINCH", "SIGXCPU", "SIGXFSZ"),
        *("ITIMER_", "alarm", "getitimer", "pause", "pidfd_", "pthread_", "setitimer"),
        *("siginterrupt", "sigpending", "sigtimedwait", "sigwait"),
    ),
    time: ("CLOCK_", "clock_", "pthread_", "tzset"),
    socket: ("AF_UNIX", "CMSG_", "SCM_", "recv_fds", "send_fds", "sethostname"),
    select: ("EPOLL", "POLL", "epoll", "poll"),
    mmap: ("MADV_", "MAP_", "PROT_"),
}
SHOWN = {  # which Windows has all the same
    *("O_APPEND", "O_CREAT", "O_EXCL", "O_RDONLY", "O_RDWR", "O_TRUNC", "O_WRONLY"),
    *("P_DETACH", "P_NOWAIT", "P_NOWAITO", "P_OVERLAY", "P_WAIT", "W_OK", "WEXITSTATUS"),
    *(
        "set_blocking",
        "set_handle_inheritable",
        "set_inheritable",
        "waitpid",
        "waitstatus_to_exitcode",
    ),
}


class Partly(ModuleType):
    """A module, less what is hidden from those of ours."""

    def __getattribute__(self, name: str) -> Any:
        if _is_hidden(ModuleType.__getattribute__(self, "__name__"), name) and _is_ours(2):
            raise AttributeError(f"hidden: Windows has no {name}", name=name, obj=self)
        return ModuleType.__getattribute__(self, name)


_hidden = {module.__name__: names for module, names in HIDDEN.items()}


def _is_hidden(module: str, name: str) -> bool:
    return name not in SHOWN and name.startswith(_hidden.get(module, ()))


def _is_ours(depth: int) -> bool:
    name = str(sys._getframe(depth).f_globals.get("__name__", ""))
    return name.startswith(OURS)


def refused(call: Callable[..., Any]) -> Callable[..., Any]:
    """A loop's method that Windows' own loop has not; asyncio itself needs it here."""

    def asked(*arguments: Any, **more: Any) -> Any:
        if not str(sys._getframe(1).f_globals.get("__name__")).startswith("asyncio."):
            raise NotImplementedError
        return call(*arguments, **more)

    return asked


def hide_loops() -> None:
    """As Windows' own loop, which reads completions and nothing else."""
    selector = asyncio.selector_events.BaseSelectorEventLoop
    for name in ("add_reader", "add_writer", "remove_reader", "remove_writer"):
        setattr(selector, name, refused(getattr(selector, name)))
    unix = asyncio.unix_events._UnixSelectorEventLoop
    for name in (
        *("add_signal_handler", "remove_signal_handler"),
        *("create_unix_connection", "create_unix_server"),
    ):
        setattr(unix, name, refused(getattr(unix, name)))


def _is_open(path: Any) -> bool:
    """Whether this process has the file open."""
    with contextlib.suppress(OSError, TypeError, ValueError):
        found = os.lstat(path)
        for number in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                other = os.stat(f"/proc/self/fd/{number}")
                if (other.st_dev, other.st_ino) == (found.st_dev, found.st_ino):
                    return True
    return False


def closed_only(call: Callable[..., Any]) -> Callable[..., Any]:
    """A call that Windows refuses for files that are open."""

    def checked(*paths: Any, **more: Any) -> Any:
        for path in () if more else paths:
            if _is_open(path):
                raise PermissionError(13, "hidden: the file is open", str(path))
        return call(*paths, **more)

    return checked


class Msvcrt(ModuleType):
    """The part of it that locks files."""

    LK_UNLCK, LK_LOCK, LK_NBLCK, LK_RLCK, LK_NBRLCK = range(5)

    def locking(self, descriptor: int, mode: int, count: int) -> None:
        """Lock or unlock *count* bytes, here the whole file."""
        assert count > 0
        if mode == self.LK_UNLCK:
            flock(descriptor, UNLOCK)
            return
        tries = 1 if mode in (self.LK_NBLCK, self.LK_NBRLCK) else 10
        for n in range(tries):
            try:
                flock(descriptor, LOCK_NOW)
                return
            except BlockingIOError:
                time.sleep(1 if n + 1 < tries else 0)
        raise PermissionError(13, "Permission denied")

    def get_osfhandle(self, descriptor: int) -> int:
        """The system's number of the file."""
        return descriptor


flock, UNLOCK, LOCK_NOW = fcntl.flock, fcntl.LOCK_UN, fcntl.LOCK_EX | fcntl.LOCK_NB


class OnWindows(importlib.abc.MetaPathFinder):
    """Imports portalocker's two modules that ask for the system's name as Windows would."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module's own, with another loader."""
        if name not in ("portalocker.constants", "portalocker.portalocker"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = RenamingLoader(name, spec.origin)
        return spec


class RenamingLoader(importlib.machinery.SourceFileLoader):
    """Runs a module where the system's name is Windows'."""

    def exec_module(self, module: ModuleType) -> None:
        """Run it."""
        before, os.name = os.name, "nt"
        try:
            super().exec_module(module)
        finally:
            os.name = before


class Library(ctypes.PyDLL):
    """A library of functions, less one."""

    def __getattr__(self, name: str) -> Any:
        if name == "sched_getcpu":
            raise AttributeError(f"hidden: {name}")
        return super().__getattr__(name)


def hide() -> None:
    """Everything."""
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]  # as the import system has it
    sys.modules["msvcrt"] = Msvcrt("msvcrt")
    sys.meta_path.insert(0, OnWindows())
    ctypes.PyDLL = Library  # type: ignore[misc]  # as all that is hidden here
    hide_loops()
    for name in ("remove", "rename", "replace", "unlink"):
        setattr(os, name, closed_only(getattr(os, name)))
    for module in HIDDEN:
        module.__class__ = Partly


hide()
