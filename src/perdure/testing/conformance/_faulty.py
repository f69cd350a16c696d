"""Faulty programs: one fault at every position, and nothing lost or doubled.

A short program of calls is run without a fault first, then once for every call and every fault:
it fails before or after it took effect, its task is cancelled at each await, early and late, or
the world is killed and opened again, before it, after it or at each of its awaits. The caller asks
again until there is an answer. The end must be that of the reference world after the same, or,
where a caller cannot know whether the call took effect, one of its two ends.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeAlias, final

from ..._model.runs import RunFilter
from ...abc import Capability, World
from ...errors import WorldError, WorldUnavailableError
from ..clock import ManualClock
from ..faults import Fault, FaultyWorld
from ..memory import MemoryWorld
from ._calls import answer_of, comparable
from ._cancel import Moment, Swallowed, run_cancelled
from ._case import Case, DirectCheck
from ._fault_programs import PROGRAMS, TOKENS, TOPICS, Program
from ._pair import Lent, MakeWorld

__all__ = ("FAULTS", "Client", "End", "Strike", "allowed", "explain", "run")

MOST_ANSWERS = 20  # asked again that often, a world has to answer
TAKEN_UP_MS = 60_000  # long enough for a world to take up what a dead process left undone
MOST_SMOKE_STRIKES = 8
MOST_STRIKES = 5000
SMOKE_STRIKES = 6  # of each program, chosen by the seed
OF_A_RUN = (
    "storage.get_run",
    "storage.read_events",
    "snapshots.load",
    "transfer.read_streams",
)
MIDWAY = {  # at each suspension of the call, one after the other
    "cancelled early": Moment.EARLY,
    "cancelled late": Moment.LATE,
    "killed midway": Moment.EARLY,
}


@dataclass(frozen=True, slots=True)
class Strike:
    """The fault of the call with this number, from 0."""

    number: int
    what: str  # "before", "after", "killed before", "killed after", or one of ``MIDWAY``
    at: int = 0  # the suspension, if it is midway

    def __str__(self) -> str:
        place = f" at its await {self.at}" if self.at else ""
        return f"call {self.number + 1} {self.what}{place}"


@final
class Client:
    """One program's caller: asks again until there is an answer, through all faults."""

    def __init__(
        self, make: Callable[[], World], clock: ManualClock, strike: Strike | None
    ) -> None:
        self.clock = clock
        self.calls: list[str] = []
        self.has_struck = False
        self._make = make
        self._strike = strike
        self._stack = AsyncExitStack()
        self._inner: World | None = None

    async def open(self) -> None:
        """Open the world; an open one is left as a killed process leaves it, if that may be."""
        if self._inner is not None and Capability.SHARED not in self._inner.capabilities:
            await self._inner.aclose()
        self._inner = self._make()
        self.world = FaultyWorld(self._inner, self._plan)
        await self._inner.open()
        self._stack.push_async_callback(self._inner.aclose)

    async def aclose(self) -> None:
        """Close everything that was opened."""
        await self._stack.aclose()

    async def do(self, name: str, *args: Any, **named: Any) -> Any:
        """The call's answer or its error, struck by the fault that was planned for it."""
        number = len(self.calls)
        self.calls.append(name)
        strike = self._strike if self._strike and self._strike.number == number else None
        if strike is not None and not self.has_struck:
            answer = await self._struck(strike, name, args, named)
            if answer is not None:
                return answer
        for _ in range(MOST_ANSWERS):
            answer = await answer_of(self.world, name, args, named)
            if not (isinstance(answer, WorldError) and answer.retryable):
                await self.world.settle()
                return answer
        raise AssertionError(f"{name} does not answer, however often it is asked")

    async def _struck(self, strike: Strike, name: str, args: Any, named: Any) -> Any:
        """The call's answer, or None if it has to be asked again."""
        self.has_struck = True
        # Its type is said here.
        call: Callable[[], Awaitable[Any]] = lambda: answer_of(self.world, name, args, named)  # noqa: E731
        if strike.what in ("before", "after"):
            self._armed = Fault(strike.what)
            answer = await call()
            return None if isinstance(answer, WorldUnavailableError) else answer
        if strike.what in ("killed before", "killed after"):
            if strike.what == "killed after":
                await call()
            await self._reopen()
            return None
        cancelled, answer = await run_cancelled(call, strike.at, MIDWAY[strike.what])
        if not cancelled:
            self.has_struck = False  # there were fewer suspensions than that
            return answer
        if strike.what == "killed midway":
            await self._reopen()
        return None

    async def _reopen(self) -> None:
        """Open the world anew; its claims run out, and its unfinished work is taken up."""
        await self.open()
        self.clock.advance(TAKEN_UP_MS)

    _armed: Fault = Fault.NONE
    world: FaultyWorld

    def _plan(self, number: int, call: str) -> Fault:
        fault, self._armed = self._armed, Fault.NONE
        return fault


@dataclass(slots=True)
class End:
    """The end of a program: its calls, and the contents of the world."""

    has_struck: bool
    calls: list[str]
    contents: Any = field(default_factory=dict[str, Any])


async def run(
    make: MakeWorld,
    program: Program,
    strike: Strike | None,
    *,
    prepare: Callable[[World], None] = lambda world: None,
    running: Callable[[Client], AbstractContextManager[None]] = lambda client: nullcontext(),
) -> End:
    """Run a program on fresh storage with one fault.

    Args:
        prepare: called with each world before it is opened.
        running: entered while the program runs, not while the world is looked at afterwards.
    """
    clock = ManualClock()

    def open_next() -> World:
        world = make(clock)
        prepare(world)
        return world

    client = Client(open_next, clock, strike)
    try:
        await client.open()
        with running(client):
            await program(client)
        client.has_struck = client.has_struck or strike is None
        calls = list(client.calls)
        client.clock.advance(TAKEN_UP_MS)
        await client.world.settle()
        end = End(client.has_struck, calls, await dump(client))
        if isinstance(make, Lent):
            await make.empty(client.world)
        return end
    finally:
        await client.aclose()


async def dump(client: Client) -> Any:
    """Everything that can be seen of the world."""
    runs = await client.do("list_all_runs", RunFilter(), limit=2)
    questions: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("storage.get_hook", (token,), {}) for token in TOKENS
    ]
    for record in runs:
        questions += [(name, (record.run_id,), {}) for name in OF_A_RUN]
    questions += [
        ("queue.claim_wakes", (), {"limit": 9, "visibility_ms": 1}),
        ("queue.claim_messages", (list(TOPICS),), {"limit": 9, "visibility_ms": 1}),
    ]
    contents: dict[str, Any] = {"list_all_runs": comparable(runs, times=False)}
    for name, args, named in questions:
        answer = await client.do(name, *args, **named)
        contents[f"{name}{args}"] = comparable(answer, times=False)
    return contents


def strikes(calls: int) -> Iterator[Strike]:
    """Every fault at every position but those midway, whose number the calls decide."""
    for number in range(calls):
        for what in ("before", "after", "killed before", "killed after"):
            yield Strike(number, what)
        for what in MIDWAY:
            yield Strike(number, what, 1)


Ends: TypeAlias = dict[Strike, End]


def _reference() -> MakeWorld:
    worlds: list[MemoryWorld] = []

    def make(clock: Any) -> MemoryWorld:
        if not worlds:
            worlds.append(MemoryWorld(clock=clock))
        return worlds[0]

    return make


async def allowed(program: Program, strike: Strike, ends: Ends) -> list[End]:
    """The ends that the reference world has after the same."""
    whats: tuple[str, ...] = (strike.what,)
    if strike.what in MIDWAY:
        killed = "killed " if strike.what.startswith("killed") else ""
        whats = (f"{killed}before", f"{killed}after")
    for what in whats:
        same = Strike(strike.number, what)
        if same not in ends:
            ends[same] = await run(_reference(), program, same)
    return [ends[Strike(strike.number, what)] for what in whats]


async def check_strike(make: MakeWorld, name: str, strike: Strike, ends: Ends) -> bool:
    """Whether the fault happened; the end must be one that is allowed."""
    program = PROGRAMS[name]
    try:
        end = await run(make, program, strike)
    except Swallowed as error:
        error.add_note(f"program: {name}; fault: {strike}")
        raise
    if not end.has_struck:
        return False
    expected = await allowed(program, strike, ends)
    if end.contents not in [other.contents for other in expected]:
        raise AssertionError(explain(name, strike, end, expected[-1]))
    return True


def explain(name: str, strike: Strike, end: End, expected: End) -> str:
    """The differences of an end, as text."""
    differing = [
        f"  {what}: the world has {end.contents.get(what)}, the contract says {value}"
        for what, value in expected.contents.items()
        if end.contents.get(what) != value
    ]
    calls = [
        f"  {n + 1}. {call}{'   <- ' + strike.what if n == strike.number else ''}"
        for n, call in enumerate(end.calls)
    ]
    return "\n".join(
        [
            f"{name}: after {strike} and asking again something is lost or doubled",
            *differing[:4],
            "the program's calls:",
            *calls,
        ]
    )


def _check_of(name: str) -> DirectCheck:
    async def check(case: Case) -> None:
        rng, ends = random.Random(case.seed), Ends()
        calls = len((await run(_reference(), PROGRAMS[name], None)).calls)
        planned = list(strikes(calls))
        if not case.thorough:
            planned = rng.sample(planned, min(SMOKE_STRIKES, len(planned)))
        rounds, tried = case.rounds(MOST_STRIKES), 0

        async def work() -> None:
            nonlocal tried
            for _ in rounds:
                if not planned or (not case.thorough and tried >= MOST_SMOKE_STRIKES):
                    return
                strike = planned.pop()
                with case.fresh() as make:
                    happened = await check_strike(make, name, strike, ends)
                tried += happened
                if happened and strike.at:
                    planned.append(Strike(strike.number, strike.what, strike.at + 1))

        await case.share(work)
        case.notes.append(f"{tried} faults in {calls} calls")

    return check


FAULTS: dict[str, DirectCheck] = {f"faults, {name}": _check_of(name) for name in PROGRAMS}
