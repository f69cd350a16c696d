"""Three workers on one store: processes of their own, or objects where memory is the store."""

from __future__ import annotations

import multiprocessing
import multiprocessing.process
import os
import threading
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from multiprocessing.connection import Connection

import anyio
import anyio.to_thread

from perdure import Worker
from perdure.abc import Capability, World
from tests.storms import storm_steps

__all__ = ("fleet",)

SIZE = 3
_forked = multiprocessing.get_context("forkserver")
_forked.set_forkserver_preload(
    ["perdure.cli", "perdure_sqlite", "perdure_mongodb._driver", "perdure_s3._handle"]
)


@asynccontextmanager
async def fleet(url: str, world: World) -> AsyncGenerator[None, None]:
    """Three workers while the block lasts; each ends in good order after it."""
    async with AsyncExitStack() as stack:
        if Capability.SHARED not in world.capabilities:
            for _ in range(SIZE):
                await stack.enter_async_context(Worker(world, steps=[storm_steps]))
            yield
            return
        members = [_Member(url) for _ in range(SIZE)]
        try:
            for member in members:
                await anyio.to_thread.run_sync(member.wait_open)
            yield
        finally:
            for member in members:
                member.process.terminate()
            for member in members:
                await anyio.to_thread.run_sync(member.wait_ended)
    for member in members:
        assert member.process.exitcode == 0, (member.process.exitcode, member.words)


class _Member:
    """A worker's process, and what it says."""

    def __init__(self, url: str) -> None:
        self._ours, theirs = _forked.Pipe(duplex=False)
        self.process: multiprocessing.process.BaseProcess = _forked.Process(
            target=_work, args=(url, dict(os.environ), theirs)
        )
        self.words = b""
        self.process.start()
        theirs.close()
        self._opened = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_open(self) -> None:
        """Wait until it works; it has opened its world by then."""
        assert self._opened.wait(60), self.words
        assert b"working on" in self.words, self.words

    def wait_ended(self) -> None:
        """Wait until it has ended, after it was asked to."""
        self.process.join(60)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self._reader.join()

    def _read(self) -> None:
        """Read on for as long as it lives: a pipe that is full would hold it."""
        with self._ours, open(os.dup(self._ours.fileno()), "rb") as lines:
            for line in lines:
                self.words += line
                self._opened.set()
        self._opened.set()


def _work(url: str, environment: dict[str, str], errors: Connection) -> None:
    """What the process does: ``perdure worker``."""
    from perdure.cli import main

    os.dup2(errors.fileno(), 2)
    errors.close()
    os.environ.update(environment)
    import sys

    sys.argv = ["perdure", "worker", "--world", url, "--steps", "tests.storms.storm_steps"]
    main()
