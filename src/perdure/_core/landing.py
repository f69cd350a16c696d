"""Landing: the effect of a write on a run, its log and its place in lists.

Pure, and the same for every world: a world reads a run, asks here for its next state, and writes
that in one transaction. Nothing here knows how anything is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .._model.commit import TurnCommit
from .._model.constructors import make_event, make_record
from .._model.events import Event, EventType, Fact
from .._model.hooks import HookRecord
from .._model.runs import NewRun, RunFilter, RunOutcome, RunRecord, RunStatus
from ..errors import CursorError, RunEndedError, StaleTurnError

__all__ = (
    "advanced_record",
    "check_turn",
    "conflict_event",
    "created_event",
    "ended_event",
    "ended_record",
    "fresh_record",
    "list_cursor",
    "matches_filter",
    "parse_cursor",
)

_ABOVE_ALL = 2**63 - 1, ""
_ENDS = {
    RunStatus.COMPLETED: EventType.RUN_COMPLETED,
    RunStatus.CANCELLED: EventType.RUN_CANCELLED,
}


def fresh_record(new: NewRun) -> RunRecord:
    """The run as it is right after ``create_run``, its first event included."""
    return make_record(
        run_id=new.run_id,
        workflow=new.workflow,
        bundle=new.bundle,
        engine=new.engine,
        status=RunStatus.PENDING,
        turn=0,
        position=1 if new.hook is None else 2,
        consumed=0,
        log_digest=b"",
        created_at_ms=new.created_at_ms,
        idempotency_key=new.idempotency_key,
        attributes=dict(new.attributes),
        level=new.level,
        secret=new.secret,
        base_url=new.base_url,
    )


def created_event(new: NewRun) -> Event:
    """The event at position 1; that of a keyed start says its token, for the guest."""
    facts: dict[str, Fact] = {
        "workflow": new.workflow,
        "bundle": new.bundle,
        "engine": new.engine,
    }
    if new.hook is not None:
        facts["hook"] = new.hook.token
    if new.entry:
        facts["entry"] = new.entry
    return make_event(
        type=EventType.RUN_CREATED,
        key="run/created",
        at_ms=new.created_at_ms,
        payload=new.input,
        facts=facts,
    )


def check_turn(
    commit: TurnCommit,
    *,
    status: RunStatus,
    turn: int,
    position: int,
    cancel_at_ms: int | None = None,
) -> None:
    """Pass only a commit that builds on the run as it is: at *turn*, its log at *position*.

    The caller looks for the ``commit_id`` before, and for the deliveries' keys after.

    Args:
        cancel_at_ms: the run's.

    Raises:
        RunEndedError: the run has ended.
        StaleTurnError: the run's turn is another, the log has moved on under deliveries, or the run
            was asked to end meanwhile.
    """
    if status.is_ended:
        raise RunEndedError(commit.run_id, status=status)
    if commit.turn != turn:
        reason = f"it builds on turn {commit.turn}, the run is at {turn}"
        raise StaleTurnError(commit.run_id, reason=reason)
    if commit.cancel_at_ms != cancel_at_ms:
        raise StaleTurnError(commit.run_id, reason="the run was asked to end meanwhile")
    if (commit.deliveries or commit.outcome is not None) and position > commit.expected_position:
        reason = f"it knows of position {commit.expected_position}, the log is at {position}"
        raise StaleTurnError(commit.run_id, reason=reason)


def conflict_event(event: Event, holder: HookRecord, commit: TurnCommit) -> Event:
    """The event in place of ``hook_created`` when another hook holds the token.

    It says so when *commit* would have taken the token by force, and *holder* cannot be told.
    """
    forced = {claim.hook_id for claim in commit.hooks_claimed if claim.force}
    is_refused = event.entity in forced and holder.run_id != commit.run_id
    return make_event(
        type=EventType.HOOK_CONFLICT,
        key=f"{event.entity}/conflict",
        at_ms=event.at_ms,
        entity=event.entity,
        facts={
            "token": holder.token,
            "run_id": holder.run_id,
            **({"refused": True} if is_refused else {}),
        },
    )


def ended_event(outcome: RunOutcome) -> Event:
    """The last event of a run that completed, failed or was cancelled."""
    return make_event(
        type=_ENDS.get(outcome.status, EventType.RUN_FAILED),
        key="run/ended",
        at_ms=outcome.at_ms,
        payload=outcome.payload,
        facts={} if outcome.code is None else {"code": outcome.code},
    )


def advanced_record(
    record: RunRecord,
    commit: TurnCommit,
    *,
    position: int,
    first_at_ms: int | None,
    attributes: Mapping[str, str],
    now_ms: int,
) -> RunRecord:
    """The run after *commit*, its outcome included.

    Args:
        position: the log's last position after it.
        attributes: the run's after it.
        first_at_ms: the time of the first event it wrote; None if it wrote none.
    """
    started = record.started_at_ms
    if started is None:
        started = now_ms if first_at_ms is None else first_at_ms
    advanced = replace(
        record,
        status=RunStatus.RUNNING,
        turn=record.turn + 1,
        position=position,
        consumed=commit.consumed,
        log_digest=commit.log_digest,
        started_at_ms=started,
        attributes=attributes,
    )
    return advanced if commit.outcome is None else ended_record(advanced, commit.outcome)


def ended_record(record: RunRecord, outcome: RunOutcome) -> RunRecord:
    """The run with its end."""
    return replace(
        record,
        status=outcome.status,
        payload=outcome.payload,
        ended_at_ms=outcome.at_ms,
        code=outcome.code,
    )


def list_cursor(record: RunRecord) -> str:
    """The cursor of a page that ends with this run."""
    return f"{record.created_at_ms}/{record.run_id}"


def parse_cursor(cursor: str | None) -> tuple[int, str]:
    """The (created, run id) below which a list goes on; None is its beginning.

    Raises:
        CursorError: it is not one of ``list_cursor``.
    """
    if cursor is None:
        return _ABOVE_ALL
    created, mark, run_id = cursor.partition("/")
    if not mark or not run_id or not created.isdecimal() or len(created) > 16:
        raise CursorError(cursor)
    return int(created), run_id


def matches_filter(record: RunRecord, where: RunFilter) -> bool:
    """Whether a list with this filter has the run."""
    return (
        where.status in (None, record.status)
        and where.workflow in (None, record.workflow)
        and where.attributes.items() <= record.attributes.items()
    )
