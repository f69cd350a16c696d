"""Nursery: a process with everything imported, of which those that share a store are forks.

It opens no world and starts no thread, so that a fork is as good as a process begun anew, and comes
without the second that the import of a store's client takes. It ends with its owner. Where there
are no forks, as on Windows, each process is begun anew.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, final

from ..._platform import can_fork
from ...worldkit.clock import SystemClock
from ._stores import find_opener
from ._wire import decode, encode

__all__ = ("Nursery", "call_home", "tend")

LINE_BYTES = 1 << 20
ENDING_S = 10
BEGINNING_S = 60
_KEY_BYTES = 32
_HERE = "127.0.0.1"


@final
class Nursery:
    """Begins processes. Its methods block; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None  # to it; closed, it ends
        self._anew: dict[int, subprocess.Popen[bytes]] = {}  # those that are no forks

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *error: object) -> None:
        for pid in list(self._anew):
            self.kill(pid)
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            self._process.wait(ENDING_S)

    def begin(self) -> None:
        """Start importing; without it the first fork does."""
        if can_fork():
            with self._lock:
                self._begun()

    def fork(self, opener: str, url: str) -> tuple[int, socket.socket]:
        """A process that is ready to open this world: its id, and a line to it."""
        if not can_fork():
            return self._begin_anew()
        mine, its = socket.socketpair()
        with its:
            try:
                return self._ask("fork", opener, url, line=its), mine
            except BaseException:
                mine.close()
                raise

    def kill(self, pid: int) -> None:
        """Kill one of its processes, once; returns when it is gone and all its locks are."""
        process = self._anew.pop(pid, None)
        if process is None:
            self._ask("kill", pid)
            return
        process.kill()
        process.wait()

    def _ask(self, *what: Any, line: socket.socket | None = None) -> int:
        with self._lock:
            to = self._begun()
            socket.send_fds(to, [encode(what)], [] if line is None else [line.fileno()])
            answer = to.recv(LINE_BYTES)
        if not answer:
            raise AssertionError("the process that begins others died; its error is on stderr")
        return int(decode(answer))

    def _begun(self) -> socket.socket:
        if self._line is not None:
            return self._line
        self._line, its = socket.socketpair()
        with its:
            self._process = subprocess.Popen(
                [*_CLIENT, "tend", str(its.fileno())],
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
                env=_environment(),
            )
        return self._line

    def _begin_anew(self) -> tuple[int, socket.socket]:
        """A process that is no fork: it calls back, and says a word that it alone was told."""
        key = secrets.token_bytes(_KEY_BYTES)
        with socket.create_server((_HERE, 0)) as door:
            command = [*_CLIENT, "call", str(door.getsockname()[1])]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, env=_environment())
            try:
                assert process.stdin is not None
                with process.stdin as pipe:
                    pipe.write(key)
                line = _answer(door, key, process)
            except BaseException:
                process.kill()
                process.wait()
                raise
        self._anew[process.pid] = process
        return process.pid, line


_CLIENT = (sys.executable, "-m", f"{__package__}.client")


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def _answer(door: socket.socket, key: bytes, process: subprocess.Popen[bytes]) -> socket.socket:
    """The line of the process that knows the *key*; others on this machine may call, too."""
    until = time.monotonic() + BEGINNING_S
    door.settimeout(0.1)
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(TimeoutError):
            line, _ = door.accept()
            line.settimeout(BEGINNING_S)
            if hmac.compare_digest(_read(line, len(key)), key):
                line.settimeout(None)
                return line
            line.close()
    raise AssertionError("a process that shares the store did not begin; its error is on stderr")


def _read(line: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := line.recv(count - len(data))):
        data += more
    return data


def call_home(port: int) -> socket.socket:
    """In a process that was begun anew: the line to who began it."""
    line = socket.create_connection((_HERE, port))
    line.sendall(sys.stdin.buffer.read(_KEY_BYTES))
    return line


def tend(line: socket.socket, live: Callable[[socket.socket], None]) -> None:
    """Fork and kill as *line* says, until it is closed; a fork does *live* and ends."""
    while True:
        message, sockets, _, _ = socket.recv_fds(line, LINE_BYTES, 1)
        if not message:
            return
        name, *args = decode(message)
        if name == "kill":
            _kill(*args)
            line.sendall(encode(0))
            continue
        _import(*args)
        (mine,) = sockets
        pid = os.fork()
        if pid == 0:
            line.close()
            _live(socket.socket(fileno=mine), live)
        os.close(mine)
        line.sendall(encode(pid))


def _kill(pid: int) -> None:
    """Nobody else waits for it: until then its id is not another's, though it may have ended."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _import(opener: str, url: str) -> None:
    """Have the world's opener imported. A world that is made and not opened touches nothing."""
    with contextlib.suppress(Exception):  # a fork reports the error
        find_opener(opener)(url, clock=SystemClock())


def _live(line: socket.socket, live: Callable[[socket.socket], None]) -> None:
    status = 1
    try:
        live(line)
        status = 0
    except BaseException:  # it must not go on as the process that it is a fork of
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)
