"""Histories: several coroutines at once under a seeded scheduler, checked for linearizability."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from ..clock import ManualClock
from ..memory import MemoryWorld
from ._case import RUN, Case, DirectCheck
from ._clients import CONTRACTS, prepare, run_client
from ._linear import Operation, explained, told
from ._pair import Lent, MakeWorld

__all__ = ("HISTORIES", "check_history")

CLIENTS, CALLS = 3, 5
FULL_S = 5.0
ROUNDS_SMOKE, ROUNDS_THOROUGH = 4, 50


async def check_history(
    history: Sequence[Operation], run_id: str, *, times: bool, seed: int
) -> None:
    """Fail unless the answers are those of some order of the calls.

    Raises:
        AssertionError: they are not; tells the history.
    """
    async with MemoryWorld(clock=ManualClock()) as start:
        await prepare(start, run_id)
        if not await explained(history, start, times=times):
            raise AssertionError(
                f"no order of these calls explains their answers (history seed {seed}):\n"
                + told(history)
            )


async def make_history(make: MakeWorld, contract: str, seed: int) -> list[Operation]:
    """The calls of several coroutines to one run, with their answers."""
    history: list[Operation] = []
    async with make(ManualClock()) as world:
        await prepare(world, RUN)

        async def one(number: int) -> None:
            history.extend(
                await run_client(world, contract, RUN, number, seed=seed, calls=CALLS, paced=True)
            )

        async with anyio.create_task_group() as group:
            for number in range(CLIENTS):
                group.start_soon(one, number)
        if isinstance(make, Lent):
            await make.empty(world)
    return history


def _check_of(contract: str) -> DirectCheck:
    async def check(case: Case) -> None:
        rounds = ROUNDS_THOROUGH if case.thorough else ROUNDS_SMOKE
        count = 0
        for number in case.rounds(rounds, full_s=FULL_S):
            seed, count = case.seed + number, count + 1
            with case.fresh() as make:
                history = await make_history(make, contract, seed)
            await check_history(history, RUN, times=True, seed=seed)
        case.notes.append(f"{count} histories of {CLIENTS} coroutines")

    return check


HISTORIES: dict[str, DirectCheck] = {
    f"histories, {contract}": _check_of(contract) for contract in CONTRACTS
}
