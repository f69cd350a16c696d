"""Timing: the waits of a worker. Users have the defaults; tests have less time."""

from __future__ import annotations

from .._value_class import value_class

__all__ = ("DEFAULT", "Timing")


@value_class
class Timing:
    """The times of one worker, in seconds where a name does not say otherwise."""

    lease_ms: int = 10_000  # how long a claim bars other workers
    renew_every: float = 3.0  # leases, while their work goes on
    claim_again: float = 1.0  # after the world could not be reached
    first_turn: float = 0.1  # a first turn that takes longer is not waited for by ``start``
    wakes_held_up: float = 0.05  # until more are claimed than have had their turns
    steps_held_up: float = 0.005  # likewise of queued steps, of which many only wait
    park_after: float = 0.1  # of waiting for another run, until a run's heap is put away
    guests_end: float = 5.0  # for guests of a worker that drains; then their turns are given back


DEFAULT = Timing()
