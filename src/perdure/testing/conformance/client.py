"""Client: one process of several that share a store.

``python -m perdure.testing.conformance.client tend FD`` is the process that they are forked from;
``… client call PORT`` is one of them where there are no forks. Each is told on a socket of its own
what to open and what to do, and answers there.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread

from ...abc import World
from ...worldkit.clock import SystemClock
from ._case import commit_of, new_run
from ._clients import run_client, wins_turn
from ._nursery import call_home, tend
from ._stores import find_opener
from ._wire import decode, encode

__all__ = ("main",)


class Server:
    """The calls that this process can be told to make."""

    def __init__(self, world: World, say: Callable[[Any], None]) -> None:
        self.world = world
        self.say = say

    async def history(self, contract: str, run_id: str, number: int, seed: int, calls: int) -> Any:
        """One client's part of a history."""
        return await run_client(
            self.world, contract, run_id, number, seed=seed, calls=calls, paced=False
        )

    async def commit(self, run_id: str, turn: int, number: int) -> bool:
        """Try to be the one whose commit is this turn's."""
        return await wins_turn(self.world, run_id, turn, number)

    async def hold(self, topic: str) -> tuple[int, int]:
        """Claim all that is due, for a long time; how many wakes and messages that was."""
        queue = self.world.queue
        wakes = await queue.claim_wakes(limit=9, visibility_ms=600_000, wait_ms=2000)
        messages = await queue.claim_messages([topic], limit=9, visibility_ms=600_000, wait_ms=2000)
        return len(wakes), len(messages)

    async def write(self, prefix: str) -> None:
        """Make runs without an end; says the id of each that was acknowledged."""
        for n in range(1_000_000):
            run_id = f"{prefix}{n}"
            await self.world.storage.create_run(new_run(run_id))
            await self.world.storage.commit(commit_of(0, run_id=run_id))
            self.say(run_id)

    async def create(self, run_id: str) -> bool:
        """Make one run."""
        _, is_new = await self.world.storage.create_run(new_run(run_id))
        return is_new


async def serve(read: Callable[[], bytes], say: Callable[[Any], None]) -> None:
    """Open the world that the first line names, then obey each further line."""
    setup = decode(await anyio.to_thread.run_sync(read))
    sys.path[:] = setup["path"]
    try:
        world = find_opener(setup["opener"])(setup["url"], clock=SystemClock())
        await world.open()
    except Exception as error:  # told to the other process, which knows whether that is a fault
        say(("failed", f"{type(error).__name__}: {error}"))
        return
    say(("open", world.url))
    server = Server(world, say)
    try:
        while line := await anyio.to_thread.run_sync(read):
            name, args = decode(line)
            say(await getattr(server, name)(*args))
    finally:
        await world.aclose()


def live(line: socket.socket) -> None:
    """Serve until the other end of *line* is closed."""

    def say(value: Any) -> None:
        line.sendall(encode(value))

    with line.makefile("rb") as read:
        anyio.run(serve, read.readline, say)


def main() -> None:
    """Be the process that others are forked from, or one that is no fork."""
    os.dup2(2, 1)  # what a world prints is not this process's to say
    deed, number = sys.argv[1:]
    if deed == "tend":
        tend(socket.socket(fileno=int(number)), live)
        return
    with call_home(int(number)) as line:
        live(line)


if __name__ == "__main__":
    main()
