"""Giving up: how a run ends that no worker gets on with. Decides nothing by itself.

A turn is fruitless if its claim was lost, or it raised in the host. The world counts claims
(``WakeClaim.fruitless_claims``), a worker the turns that raised in it; both begin anew at each
commit. Past its budget the run fails with a named error, in one write: there are no dead letters.
"""

from __future__ import annotations

from ..._model.commit import TurnCommit
from ..._model.ids import RunId
from ..._model.queue import WakeClaim
from ..._model.runs import RunOutcome, RunRecord, RunStatus
from ..._protocol.codec import encode_error
from ...errors import FruitlessTurnsError, GuestError, PerdureError
from .run_codes import code_of_giving_up

__all__ = (
    "MAX_FRUITLESS",
    "MAX_INTERRUPTED",
    "MAX_LOST",
    "failed",
    "failed_commit",
    "fruitless",
    "turn_deadline_error",
)

MAX_FRUITLESS = 10  # turns that raised in one worker, then a run fails
MAX_LOST = 1000  # claims, then a run fails untried: a bad deployment must not take runs with it
MAX_INTERRUPTED = 2  # turns, if the last one passed its deadline


def fruitless(run_id: RunId, claim: WakeClaim | None, cause: BaseException | None) -> PerdureError:
    """The error of a run past its budget; without a cause its workers were lost."""
    error = FruitlessTurnsError(run_id, claims=claim.fruitless_claims if claim is not None else 0)
    error.__cause__ = cause
    return error


def turn_deadline_error(seconds: float) -> GuestError:
    """The error of a run whose turns pass the deadline."""
    message = f"a turn took more than {seconds} s, several times over"
    return GuestError(name="TurnDeadlineError", message=message)


def failed(error: PerdureError, *, at_ms: int) -> RunOutcome:
    """The end that the error is."""
    return RunOutcome(
        status=RunStatus.FAILED,
        payload=encode_error(error),
        at_ms=at_ms,
        code=code_of_giving_up(error),
    )


def failed_commit(record: RunRecord, commit_id: str, outcome: RunOutcome) -> TurnCommit:
    """The one write that ends a run where it is."""
    return TurnCommit(
        run_id=record.run_id,
        commit_id=commit_id,
        turn=record.turn,
        expected_position=record.position,
        consumed=record.consumed,
        log_digest=record.log_digest,
        outcome=outcome,
        cancel_at_ms=record.cancel_at_ms,
    )
