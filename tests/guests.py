"""Guests that a test starts without a worker, with the frame that begins a run."""

from __future__ import annotations

from perdure._model.commands import Outcome
from perdure._protocol.codec import encode
from perdure._protocol.frames import Limits, StartFrame
from perdure._vm.guest import default_engine
from perdure._vm.image import Baseline

__all__ = ("AT_MS", "outcome_in_guest", "start_frame")

AT_MS = 1_700_000_000_000


def start_frame(*arguments: object, at_ms: int = AT_MS, limits: Limits | None = None) -> StartFrame:
    """The first frame of a run of the workflow ``w``, the same for the same arguments."""
    return StartFrame(
        run_id="run_" + 26 * "b",
        workflow="w",
        seed=bytes(range(32)),
        at_ms=at_ms,
        input=encode(list(arguments), where="arguments"),
        limits=limits or Limits(),
    )


def outcome_in_guest(bundle: bytes) -> Outcome | None:
    """How the first turn of ``w`` ends in a guest that is thrown away; None if it waits."""
    guest = Baseline.build(default_engine(), bundle).instantiate()
    try:
        return guest.start(start_frame()).outcome
    finally:
        guest.close()
