"""Mutants that answer though they are closed, or that take more than a limit below one allows."""

from __future__ import annotations

from typing import Any

import anyio
from mutants import mutant, swap

from perdure.errors import WorldClosedError, WorldUnavailableError
from perdure.testing.memory import MemoryWorld

__all__ = ()


@mutant
def a_claim_of_none_claims_one(world: MemoryWorld) -> None:
    """A claim with a limit of zero is handed a wake."""

    def make(inner: Any) -> Any:
        async def claim_wakes(*, limit: int, **asked: Any) -> Any:
            return await inner(limit=limit or 1, **asked)

        return claim_wakes

    swap(world.queue, "claim_wakes", make)


@mutant
def a_negative_limit_is_none(world: MemoryWorld) -> None:
    """Retention with a negative limit deletes everything that has ended."""

    def make(inner: Any) -> Any:
        async def purge(*, ended_before_ms: int, limit: int = 100) -> Any:
            return await inner(
                ended_before_ms=ended_before_ms, limit=limit if limit >= 0 else 2**31
            )

        return purge

    swap(world.catalogue, "purge", make)


@mutant
def a_closed_world_sends_nothing(world: MemoryWorld) -> None:
    """To send no messages is fine, open or not."""

    def make(inner: Any) -> Any:
        async def send(messages: Any) -> Any:
            return await inner(messages) if messages else None

        return send

    swap(world.queue, "send", make)


@mutant
def a_closed_world_is_unavailable(world: MemoryWorld) -> None:
    """A world that is not open is said to be out of reach, as if it were to be tried again."""

    def make(inner: Any) -> Any:
        async def load(*asked: Any) -> Any:
            try:
                return await inner(*asked)
            except WorldClosedError as exc:
                raise WorldUnavailableError(str(exc)) from exc

        return load

    swap(world.snapshots, "load", make)


@mutant
def a_wait_outlives_its_world(world: MemoryWorld) -> None:
    """Who waits for a run's end goes on waiting when the world is closed."""

    def make(inner: Any) -> Any:
        async def wait_ended(*asked: Any, wait_ms: int) -> Any:
            was_open = world._handle.is_open
            try:
                return await inner(*asked, wait_ms=wait_ms)
            except WorldClosedError:
                if not was_open:
                    raise
                await anyio.sleep(wait_ms / 1000)
                raise

        return wait_ended

    swap(world.storage, "wait_ended", make)
