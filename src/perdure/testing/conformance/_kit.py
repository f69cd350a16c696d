"""Kit: every check in one call, and a report of them."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

import anyio

from ._attributes import ATTRIBUTES
from ._bytes import BYTES
from ._calls import loose
from ._capabilities import CAPABILITIES
from ._case import Case, DirectCheck, FailIo, Tier
from ._claims import CLAIMS
from ._conversations import CONVERSATIONS
from ._edges import EDGES
from ._families import FAMILIES
from ._faulty import FAULTS
from ._forcing import FORCING
from ._graceful import GRACEFUL
from ._heirs import HEIRS
from ._histories import HISTORIES
from ._io import IO
from ._nursery import Nursery
from ._pair import Difference, Lent, Store
from ._processes import PROCESSES
from ._races import RACES
from ._reach import REACH
from ._reuse import Reuse, empty_alone
from ._shrink import print_program, shrink as shrink_difference
from ._snapshots import SNAPSHOTS
from ._transfers import TRANSFERS

__all__ = ("DEFAULT_OPENER", "Check", "Report", "certify", "check_names", "check_world")

DEFAULT_OPENER = "perdure.worlds:make_world"
DIRECT: dict[str, DirectCheck] = {
    **CAPABILITIES,
    **RACES,
    **SNAPSHOTS,
    **TRANSFERS,
    **BYTES,
    **CLAIMS,
    **ATTRIBUTES,
    **CONVERSATIONS,
    **FORCING,
    **FAMILIES,
    **HEIRS,
    **GRACEFUL,
    **REACH,
    **EDGES,
    **HISTORIES,
    **FAULTS,
    **PROCESSES,
}
# Told where to note what was done; gives the seconds it took if it ran aside.
_Run: TypeAlias = Callable[[list[str]], float | None]
MACHINES = (
    "storage",
    "queue",
    "snapshots",
    "streams",
    "catalogue",
    "blobs",
    "transfers",
    "everything",
)
_LANES = {"processes": len(PROCESSES), "programs": 1, "direct": 3}  # threads of the smoke tier
_PROGRAMS = {  # per machine: programs, calls in each, seconds after which no other is begun
    Tier.SMOKE: (8, 25, 0.3),
    Tier.FULL: (120, 40, 7.0),
    Tier.SOAK: (120, 40, 7.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check's verdict."""

    name: str
    passed: bool
    seconds: float
    seed: int = 0  # gives the same programs and faults again
    failure: str = ""  # which promise is broken, and the shortest program found that shows it
    notes: tuple[str, ...] = ()  # what was done, measured or could not be observed
    calls: int = 0  # in that program


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The verdicts of all checks of a world."""

    tier: Tier
    seed: int
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setup:
    """The settings that all checks of a run share."""

    store: Store
    reuse: Store
    nursery: Nursery
    tier: Tier
    seed: int
    opener: str
    fail_io: FailIo | None = None
    shrink: bool = True
    in_time: bool = True
    began: float = field(default_factory=time.monotonic)


def check_names() -> tuple[str, ...]:
    """Every check there is, in the order they run."""
    return (*DIRECT, *(f"{name}, random programs" for name in MACHINES), *IO)


def check_world(
    store: Store,
    *,
    tier: Tier | str = Tier.SMOKE,
    seed: int | None = None,
    opener: str = DEFAULT_OPENER,
    fail_io: FailIo | None = None,
) -> None:
    """Check a world; for use inside a test.

    Args:
        store: makes fresh storage; see the package.
        tier: ``smoke`` takes seconds, ``full`` minutes, ``soak`` longer.
        seed: None chooses one; a failure names it.
        opener: ``module:function`` that makes the world from a URL and ``clock=`` in another
            process; the default finds installed worlds.
        fail_io: how the world's I/O calls are failed one by one; None leaves that out.

    Raises:
        AssertionError: a promise is broken; says which, and a program that shows it.
    """
    first = random.randrange(2**32) if seed is None else seed
    with _nursery(lambda name: True) as nursery, Reuse(store) as reuse:
        setup = _Setup(
            store=store,
            reuse=reuse,
            nursery=nursery,
            tier=Tier(tier),
            seed=first,
            opener=opener,
            fail_io=fail_io,
        )
        with closing(_checks(setup)) as checks:
            for name, run in checks:
                try:
                    run([])
                except BaseException as error:
                    if isinstance(error, Difference):
                        error.add_note(print_program(error.calls))
                    error.add_note(f"conformance check: {name}, seed {first}")
                    raise


def certify(
    store: Store,
    *,
    tier: Tier | str = Tier.SMOKE,
    seed: int | None = None,
    only: Callable[[str], bool] = lambda name: True,
    until_failure: bool = False,
    shrink: bool = True,
    in_time: bool = True,
    opener: str = DEFAULT_OPENER,
    fail_io: FailIo | None = None,
    seconds: float = 0.0,
    store_code: str = "",
    listener: Callable[[Check], None] = lambda check: None,
) -> Report:
    """Check a world, with all checks even if some fail. Returns a report of the verdicts.

    Args:
        store: makes fresh storage; see the package.
        tier: as in ``check_world``, and so *seed*.
        only: which checks, by name.
        until_failure: stop at the first that fails.
        in_time: leave out rounds and programs of a slow world rather than take longer than the
            tier may; without it the same seed does the same on any machine.
        shrink: look for the shortest program that fails; without it the verdict comes sooner.
        opener: as in ``check_world``, and so *fail_io*.
        seconds: begin again, with the next seed, until so long has passed; then end after the
            check that is under way.
        store_code: Python that defines ``store``, for programs that are printed.
        listener: called with each verdict as it comes.
    """
    first = random.randrange(2**32) if seed is None else seed
    until, verdicts = time.monotonic() + seconds, list[Check]()
    with _nursery(only) as nursery, Reuse(store) as reuse:
        setup = _Setup(
            store=store,
            reuse=reuse,
            nursery=nursery,
            tier=Tier(tier),
            seed=first,
            opener=opener,
            fail_io=fail_io,
            shrink=shrink,
            in_time=in_time,
        )
        while True:
            for name, run in _checks(setup, only, aside=not until_failure):
                check = _verdict(name, run, setup.seed, store_code)
                verdicts.append(check)
                listener(check)
                over = seconds > 0 and time.monotonic() >= until
                if over or (not check.passed and until_failure):
                    break
            failed = until_failure and not all(check.passed for check in verdicts)
            if failed or time.monotonic() >= until:
                return Report(tier=setup.tier, seed=first, checks=tuple(verdicts))
            setup = replace(setup, seed=setup.seed + 1, began=time.monotonic())


@contextmanager
def _nursery(only: Callable[[str], bool]) -> Generator[Nursery, None, None]:
    """A nursery that begins processes; it is under way early where a check needs it."""
    with Nursery() as nursery:
        if any(only(name) for name in PROCESSES):
            nursery.begin()
        yield nursery


def _verdict(name: str, run: _Run, seed: int, store_code: str) -> Check:
    began = time.perf_counter()
    notes, failure, calls, took = list[str](), "", 0, None
    try:
        took = run(notes)
    except Difference as error:
        calls = len(error.calls)
        program = print_program(error.calls, store=store_code)
        failure = "\n".join([str(error), *getattr(error, "__notes__", ()), "", program])
    except Exception as error:  # a broken world may raise anything
        failure = _told(error)
    return Check(
        name=name,
        passed=not failure,
        seconds=time.perf_counter() - began if took is None else took,
        seed=seed,
        failure=failure,
        notes=tuple(notes),
        calls=calls,
    )


def _told(error: BaseException) -> str:
    """An error with its notes; of a group the first that is none."""
    while isinstance(error, BaseExceptionGroup):
        error = loose(error).exceptions[0]
    notes = "\n".join(getattr(error, "__notes__", ()))
    return f"{type(error).__name__}: {error}\n{notes}".strip()


def _checks(
    setup: _Setup, only: Callable[[str], bool] = lambda name: True, *, aside: bool = True
) -> Generator[tuple[str, _Run], None, None]:
    """The checks in their order.

    Args:
        aside: in the smoke tier, several at once, in threads: those that start processes and
            wait, those of random programs, and three more. Verdicts come in order all the same.
    """
    runs: dict[str, _Run] = {name: partial(_run_direct, setup, DIRECT[name]) for name in DIRECT}
    for name in MACHINES:
        runs[f"{name}, random programs"] = partial(_run_machine, setup, name)
    runs |= {name: partial(_run_direct, setup, IO[name]) for name in IO}
    runs = {name: run for name, run in runs.items() if only(name)}
    if not aside or setup.tier is not Tier.SMOKE:
        yield from runs.items()
        return
    with ExitStack() as stack:
        if any(_lane(name) == "programs" for name in runs):
            from ._random import random_allowed_elsewhere

            stack.enter_context(random_allowed_elsewhere())
        pools = {lane: stack.enter_context(_pool(count)) for lane, count in _LANES.items()}
        waits = {name: _begin(pools[_lane(name)], run) for name, run in runs.items()}
        yield from waits.items()


@contextmanager
def _pool(threads: int) -> Generator[ThreadPoolExecutor, None, None]:
    """Threads; work that has not begun at the end is left out."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _lane(name: str) -> str:
    if name in PROCESSES:
        return "processes"
    return "direct" if name in DIRECT or name in IO else "programs"


def _begin(threads: ThreadPoolExecutor, run: _Run) -> _Run:
    noted: list[str] = []
    ended = threads.submit(_timed, run, noted)

    def wait(notes: list[str]) -> float:
        try:
            return ended.result()
        finally:
            notes += noted

    return wait


def _timed(run: _Run, notes: list[str]) -> float:
    began = time.perf_counter()
    run(notes)
    return time.perf_counter() - began


def _run_direct(setup: _Setup, check: DirectCheck, notes: list[str]) -> None:
    with setup.reuse() as make:
        case = Case(
            reuse=setup.reuse,
            nursery=setup.nursery,
            make=make,
            tier=setup.tier,
            seed=setup.seed,
            opener=setup.opener,
            fail_io=setup.fail_io,
            in_time=setup.in_time,
            began=setup.began,
            notes=notes,
        )
        anyio.run(check, case)
        if isinstance(make, Lent):
            anyio.run(empty_alone, make)


def _run_machine(setup: _Setup, name: str, notes: list[str]) -> None:
    # hypothesis comes with the extra "testing"; processes that share a store do without it.
    from ._random import run_programs

    programs, calls, seconds = _PROGRAMS[setup.tier]
    if not setup.in_time:
        seconds = math.inf
    try:
        played = run_programs(
            setup.reuse, name, seed=setup.seed, programs=programs, calls=calls, seconds=seconds
        )
    except Difference as difference:
        if not setup.shrink:
            raise
        raise shrink_difference(setup.store, difference) from None
    notes.append(f"{played} programs of up to {calls} calls")
