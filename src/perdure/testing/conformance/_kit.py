"""Kit: every check in one call, and a report of them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import anyio

from ._bytes import BYTES
from ._calls import loose
from ._capabilities import CAPABILITIES
from ._case import Case, DirectCheck, Tier
from ._faulty import FAULTS
from ._histories import HISTORIES
from ._pair import Difference, Store
from ._processes import PROCESSES
from ._races import RACES
from ._shrink import print_program, shrink as shrink_difference
from ._transfers import TRANSFERS

__all__ = ("DEFAULT_OPENER", "Check", "Report", "certify", "check_names", "check_world")

DEFAULT_OPENER = "perdure.worlds:make_world"
DIRECT: dict[str, DirectCheck] = {
    **CAPABILITIES,
    **RACES,
    **TRANSFERS,
    **BYTES,
    **HISTORIES,
    **FAULTS,
    **PROCESSES,
}
MACHINES = ("storage", "queue", "snapshots", "streams", "catalogue", "everything")
_PROGRAMS = {  # per machine: programs, calls in each
    Tier.SMOKE: (8, 25),
    Tier.FULL: (120, 40),
    Tier.SOAK: (120, 40),
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
    """What a world was checked for."""

    tier: Tier
    seed: int
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """What all checks of a run share."""

    store: Store
    tier: Tier
    seed: int
    opener: str
    shrink: bool = True


def check_names() -> tuple[str, ...]:
    """Every check there is, in the order they run."""
    return (*DIRECT, *(f"{name}, random programs" for name in MACHINES))


def check_world(
    store: Store,
    *,
    tier: Tier | str = Tier.SMOKE,
    seed: int | None = None,
    opener: str = DEFAULT_OPENER,
) -> None:
    """Check a world; for use inside a test.

    Args:
        store: makes fresh storage; see the package.
        seed: None chooses one; a failure names it.
        opener: ``module:function`` that makes the world from a URL and ``clock=`` in another
            process; the default finds installed worlds.

    Raises:
        AssertionError: a promise is broken; says which, and a program that shows it.
    """
    chosen = random.randrange(2**32) if seed is None else seed
    job = _Job(store=store, tier=Tier(tier), seed=chosen, opener=opener)
    for name, run in _checks(job):
        try:
            run([])
        except Difference as error:
            error.add_note(print_program(error.calls))
            error.add_note(f"conformance check: {name}, seed {chosen}")
            raise
        except BaseException as error:
            error.add_note(f"conformance check: {name}, seed {chosen}")
            raise


def certify(
    store: Store,
    *,
    tier: Tier | str = Tier.SMOKE,
    seed: int | None = None,
    only: Callable[[str], bool] = lambda name: True,
    until_failure: bool = False,
    shrink: bool = True,
    opener: str = DEFAULT_OPENER,
    seconds: float = 0.0,
    store_code: str = "",
    heard: Callable[[Check], None] = lambda check: None,
) -> Report:
    """Check a world, all checks whatever fails; the report says what held.

    Args:
        only: which checks, by name.
        until_failure: stop at the first that fails.
        shrink: look for the shortest program that fails; without it the verdict comes sooner.
        opener: as in ``check_world``.
        seconds: begin again, with the next seed, until so long has passed.
        store_code: Python that defines ``store``, for programs that are printed.
        heard: told each verdict as it comes.
    """
    first = random.randrange(2**32) if seed is None else seed
    job = _Job(store=store, tier=Tier(tier), seed=first, opener=opener, shrink=shrink)
    until, done = time.monotonic() + seconds, list[Check]()
    while True:
        for name, run in _checks(job):
            if not only(name):
                continue
            check = _verdict(name, run, job.seed, store_code)
            done.append(check)
            heard(check)
            if not check.passed and until_failure:
                break
        failed = until_failure and not all(check.passed for check in done)
        if failed or time.monotonic() >= until:
            return Report(tier=job.tier, seed=first, checks=tuple(done))
        job = replace(job, seed=job.seed + 1)


def _verdict(name: str, run: Callable[[list[str]], None], seed: int, store_code: str) -> Check:
    began = time.perf_counter()
    notes, failure, calls = list[str](), "", 0
    try:
        run(notes)
    except Difference as error:
        calls = len(error.calls)
        program = print_program(error.calls, store=store_code)
        failure = "\n".join([str(error), *getattr(error, "__notes__", ()), "", program])
    except Exception as error:  # a broken world may raise anything
        failure = _told(error)
    return Check(
        name=name,
        passed=not failure,
        seconds=time.perf_counter() - began,
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


def _checks(job: _Job) -> Iterator[tuple[str, Callable[[list[str]], None]]]:
    for name, check in DIRECT.items():
        yield name, partial(_run_direct, job, check)
    for name in MACHINES:
        yield f"{name}, random programs", partial(_run_machine, job, name)


def _run_direct(job: _Job, check: DirectCheck, notes: list[str]) -> None:
    with job.store() as make:
        case = Case(
            store=job.store,
            make=make,
            tier=job.tier,
            seed=job.seed,
            opener=job.opener,
            notes=notes,
        )
        anyio.run(check, case)


def _run_machine(job: _Job, name: str, notes: list[str]) -> None:
    # hypothesis comes with the extra "testing"; processes that share a store do without it.
    from ._random import run_programs

    programs, calls = _PROGRAMS[job.tier]
    try:
        run_programs(job.store, name, seed=job.seed, programs=programs, calls=calls)
    except Difference as found:
        if not job.shrink:
            raise
        raise shrink_difference(job.store, found) from None
    notes.append(f"{programs} programs of up to {calls} calls")
