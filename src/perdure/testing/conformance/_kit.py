"""Kit: every check in one call, and a report of them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import anyio
from hypothesis import HealthCheck, Phase, seed as hypothesis_seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from ._direct import DIRECT, DirectCheck
from ._machines import MACHINES
from ._pair import Store
from ._programs import PairMachine

__all__ = ("Check", "Report", "Tier", "certify", "check_world")


class Tier(StrEnum):
    """How thorough."""

    SMOKE = "smoke"  # some seconds
    FULL = "full"  # some minutes


_PROGRAMS = {Tier.SMOKE: (12, 25), Tier.FULL: (250, 40)}  # per machine: programs, calls in each


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check's verdict."""

    name: str
    passed: bool
    seconds: float
    failure: str = ""  # which promise is broken, and the shortest program found that shows it


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


def check_world(store: Store, *, tier: Tier | str = Tier.SMOKE, seed: int | None = None) -> None:
    """Check a world; for use inside a test.

    Args:
        store: makes fresh storage; see the package.
        seed: None chooses one; a failure names it.

    Raises:
        AssertionError: a promise is broken; says which, and a program that shows it.
    """
    chosen = random.randrange(2**32) if seed is None else seed
    for name, run in _checks(store, Tier(tier), chosen):
        try:
            run()
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
) -> Report:
    """Check a world, all checks whatever fails; the report says what held.

    Args:
        only: which checks, by name.
        until_failure: stop at the first that fails.
        shrink: look for the shortest program that fails; without it the verdict comes sooner.
    """
    chosen = random.randrange(2**32) if seed is None else seed
    done: list[Check] = []
    for name, run in _checks(store, Tier(tier), chosen, shrink=shrink):
        if not only(name):
            continue
        began = time.perf_counter()
        failure = ""
        try:
            run()
        except Exception as error:  # a broken world may raise anything
            notes = "\n".join(getattr(error, "__notes__", ()))
            failure = f"{type(error).__name__}: {error}\n{notes}".strip()
        seconds = time.perf_counter() - began
        done.append(Check(name=name, passed=not failure, seconds=seconds, failure=failure))
        if failure and until_failure:
            break
    return Report(tier=Tier(tier), seed=chosen, checks=tuple(done))


def _checks(
    store: Store, tier: Tier, seed: int, *, shrink: bool = True
) -> Iterator[tuple[str, Callable[[], None]]]:
    for name, check in DIRECT.items():
        yield name, partial(_run_direct, store, check)
    for name, machine in MACHINES.items():
        run = partial(_run_machine, store, machine, tier, seed, shrink)
        yield f"{name}, random programs", run


def _run_direct(store: Store, check: DirectCheck) -> None:
    with store() as make:
        anyio.run(check, make)


def _run_machine(
    store: Store, machine: type[PairMachine], tier: Tier, seed: int, shrink: bool
) -> None:
    programs, calls = _PROGRAMS[tier]
    made: type[RuleBasedStateMachine] = type(machine.__name__, (machine,), {"store": store})
    run_state_machine_as_test(
        hypothesis_seed(seed)(made),
        settings=settings(
            max_examples=programs,
            stateful_step_count=calls,
            deadline=None,
            database=None,
            print_blob=False,
            suppress_health_check=(HealthCheck.too_slow, HealthCheck.filter_too_much),
            phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        ),
    )
