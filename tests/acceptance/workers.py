"""Real worker processes that can be killed.

Those that are to die are forked from a process that has imported everything, which takes a tenth
of the time; what each does is the program's ``worker`` command, in a process of its own.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.process
import os
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, BinaryIO
from unittest.mock import patch

import anyio
import anyio.to_thread

__all__ = ("Workers",)

HERE = Path(__file__).parent
LEASE_MS, RENEW_EVERY = 2000, 0.5  # a dead worker's claims bar nobody for long
# Starting one looks whether others have ended, and an end can be read once only.
_one_at_a_time = threading.Lock()
_forked = multiprocessing.get_context("forkserver")
_WORLDS = ["perdure_sqlite", "perdure_mongodb._driver", "perdure_s3._handle"]
_LATE = [
    *("pydantic.type_adapter", "perdure._protocol.schemas", "perdure._runtime.hooks"),
    *("perdure._runtime.streams.doors", "perdure._runtime.aborts", "perdure.values"),
]
_forked.set_forkserver_preload(["perdure.cli", *_WORLDS, *_LATE])
OPENING = 0.1  # seconds that a forked worker takes to open its world, on an idle machine


def _work(arguments: list[str], environment: dict[str, str], errors: Connection) -> None:
    """What a process that is to be killed does: the program, with shorter leases."""
    from perdure import Worker
    from perdure._runtime.timing import Timing
    from perdure.cli import main

    os.dup2(errors.fileno(), 2)
    os.environ.update(environment)
    os.chdir(HERE)
    sys.path.insert(0, str(HERE))
    sys.argv = ["perdure", *arguments]
    timing = Timing(lease_ms=LEASE_MS, renew_every=RENEW_EVERY)
    with patch.object(Worker, "_timing", timing):
        main()


def _read_on(said: IO[bytes]) -> None:
    with said:
        while said.read(1 << 16):
            continue


def _join(process: multiprocessing.process.BaseProcess) -> None:
    with _one_at_a_time:
        process.join()


class Workers:
    """Worker processes on one store."""

    def __init__(self, url: str, effects: Path) -> None:
        self.arguments = ["worker", "--world", url, "--steps", "acceptance_steps"]
        self.environment = {**os.environ, "EFFECTS": str(effects)}
        self.environment["PYTHONPATH"] = os.pathsep.join(
            [str(HERE), os.environ.get("PYTHONPATH", "")]
        )
        self.kills = 0

    def spawn(self) -> subprocess.Popen[bytes]:
        """One from the command line."""
        return subprocess.Popen(
            [sys.executable, "-m", "perdure", *self.arguments],
            env=self.environment,
            stderr=subprocess.PIPE,
            cwd=HERE,
        )

    def fork(self) -> tuple[multiprocessing.process.BaseProcess, BinaryIO]:
        """One that is to die, and what it says."""
        ours, theirs = _forked.Pipe(duplex=False)
        process = _forked.Process(target=_work, args=(self.arguments, self.environment, theirs))
        with _one_at_a_time:
            process.start()
        theirs.close()
        with ours:
            return process, open(os.dup(ours.fileno()), "rb")

    async def up(self) -> subprocess.Popen[bytes]:
        """One from the command line, that has opened its world."""
        process = await anyio.to_thread.run_sync(self.spawn)
        assert process.stderr is not None
        line = await anyio.to_thread.run_sync(process.stderr.readline)
        assert b"working on" in line, (line, process.wait(5))
        # A pipe that is full would hold it: it tells of every step that fails.
        threading.Thread(target=_read_on, args=(process.stderr,), daemon=True).start()
        return process

    async def kill_after(self, delay: float) -> None:
        """Start one and kill it *delay* seconds after it has opened its world.

        Later on a machine that is busy, by how long it took to open: else a worker there dies
        before any step of it can end, and steps that many workers have lost fail.
        """
        before = anyio.current_time()
        process, said = await anyio.to_thread.run_sync(self.fork)
        with said:
            line = await anyio.to_thread.run_sync(said.readline)
            assert b"working on" in line, line + said.read()
            await anyio.sleep(delay * max(1, (anyio.current_time() - before) / OPENING))
            process.kill()
            await anyio.to_thread.run_sync(_join, process)
            assert process.exitcode not in (None, 0), (process.exitcode, line + said.read())
        self.kills += 1
