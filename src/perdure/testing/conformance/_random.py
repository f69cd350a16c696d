"""Random: hypothesis draws programs for the kit, and finds one that fails."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import contextmanager

from hypothesis import HealthCheck, Phase, seed as hypothesis_seed, settings
from hypothesis.errors import HypothesisDeprecationWarning
from hypothesis.stateful import run_state_machine_as_test

from ._machines import MACHINES
from ._pair import Difference, Store
from ._programs import Enough, PairMachine

__all__ = ("random_allowed_elsewhere", "run_programs")


def run_programs(
    store: Store, name: str, *, seed: int, programs: int, calls: int, seconds: float
) -> int:
    """Play that many programs of one contract, or as many as the time is enough for: at least one.

    Returns:
        how many had calls; of those without, which hypothesis draws as well, none is compared.

    Raises:
        Difference: one of them was answered wrongly; it has the calls.
    """
    machine = MACHINES[name]
    bounded: type[PairMachine] = type(
        machine.__name__, (machine,), {"store": store, "seconds": seconds}
    )
    try:
        run_state_machine_as_test(
            hypothesis_seed(seed)(bounded),
            settings=settings(
                max_examples=programs,
                stateful_step_count=calls,
                deadline=None,
                database=None,
                print_blob=False,
                report_multiple_bugs=False,
                suppress_health_check=(HealthCheck.too_slow, HealthCheck.filter_too_much),
                phases=(Phase.generate,),  # programs are shortened as data, by _shrink
            ),
        )
    except Enough:
        pass
    except Difference as difference:
        difference.__dict__.pop("__notes__", None)  # the program as hypothesis would tell it
        raise
    return bounded.played


@contextmanager
def random_allowed_elsewhere() -> Generator[None, None, None]:
    """While it lasts other threads may ask ``random`` for the length of a pause.

    hypothesis takes that for something that a program drew without it, and warns. Warnings are a
    matter of the whole process, so enter this before there are other threads.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Do not use the `random` module", category=HypothesisDeprecationWarning
        )
        yield
