"""Io: one fault at every I/O call that a world makes to its store during short programs.

The world's author says how its client is wrapped. Each call fails once before and once after it
took effect; a world may get over that by itself, or its caller is told and asks again. The end must
be one that the reference world has after the call of the contract failed, before or after.

These checks come last, and share the time that the full tier has left.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from contextlib import contextmanager
from typing import final

from ..faults import Fault
from ._case import Case, DirectCheck
from ._fault_programs import PROGRAMS
from ._faulty import Client, End, Strike, allowed, explain, run

__all__ = ("IO",)

SMOKE_POSITIONS = 4  # of each program, chosen by the seed
MOST_POSITIONS = 500
LEAST_S = 3.0  # of the full tier, for each program; a soak takes its time


@final
class _Gun:
    """Strikes one I/O call, by its number from 0."""

    def __init__(self, at: int | None, fault: Fault) -> None:
        self.shots = 0
        self.struck_in: int | None = None  # the program's call during which it struck
        self.what = ""
        self._at = at
        self._fault = fault
        self._client: Client | None = None

    def strike(self, call: str) -> Fault:
        """The fault for this I/O call."""
        if self._client is None:
            return Fault.NONE
        number, self.shots = self.shots, self.shots + 1
        if number != self._at:
            return Fault.NONE
        self.struck_in = max(0, len(self._client.calls) - 1)
        self.what = call
        return self._fault

    @contextmanager
    def running(self, client: Client) -> Generator[None, None, None]:
        """While the program runs."""
        self._client = client
        try:
            yield
        finally:
            self._client = None


async def _shot(case: Case, name: str, gun: _Gun) -> End:
    fail_io = case.fail_io
    assert fail_io is not None
    with case.fresh() as make:
        return await run(
            make,
            PROGRAMS[name],
            None,
            prepare=lambda world: fail_io(world, gun.strike),
            running=gun.running,
        )


def _check_of(name: str) -> DirectCheck:
    async def check(case: Case) -> None:
        if case.fail_io is None:
            case.notes.append("no way to fail the world's I/O was given")
            return
        if not case.thorough and list(PROGRAMS)[case.seed % len(PROGRAMS)] != name:
            case.notes.append("with another seed, or in the full tier")
            return
        rng, ends = random.Random(case.seed), dict[Strike, End]()
        whole = _Gun(None, Fault.NONE)
        await _shot(case, name, whole)
        positions = list(range(min(whole.shots, MOST_POSITIONS)))
        if not case.thorough:
            positions = sorted(rng.sample(positions, min(SMOKE_POSITIONS, len(positions))))
        planned = [(at, fault) for at in positions for fault in (Fault.BEFORE, Fault.AFTER)]
        rng.shuffle(planned)
        rest, tried = len(PROGRAMS) - list(PROGRAMS).index(name), 0
        rounds = case.rounds(len(planned), full_s=max(LEAST_S, case.left_s / rest))

        async def work() -> None:
            nonlocal tried
            for number in rounds:
                tried += 1
                await _check_position(case, name, *planned[number], ends)

        await case.share(work)
        case.notes.append(f"{tried} faults of {2 * whole.shots}")

    return check


async def _check_position(
    case: Case, name: str, position: int, fault: Fault, ends: dict[Strike, End]
) -> None:
    gun = _Gun(position, fault)
    end = await _shot(case, name, gun)
    if gun.struck_in is None:  # this time there were fewer calls
        return
    # What followed from one call may be under way when the next is made.
    numbers = {gun.struck_in, max(0, gun.struck_in - 1)}
    expected = [
        other
        for number in sorted(numbers)
        for what in ("after", "before")
        for other in await allowed(PROGRAMS[name], Strike(number, what), ends)
    ]
    if end.contents not in [other.contents for other in expected]:
        strike = Strike(gun.struck_in, f"{gun.what}, its I/O call {position} failed {fault.value}")
        raise AssertionError(explain(name, strike, end, expected[-1]))


IO: dict[str, DirectCheck] = {f"faulty io, {name}": _check_of(name) for name in PROGRAMS}
