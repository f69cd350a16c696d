"""Cancellation: runs ended from outside, one or many."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Literal

import anyio

from .._core.cancellation import cancel_event
from .._core.transfer import check_here
from .._model.commit import Append
from .._model.events import Event, EventType
from .._model.ids import RunId
from .._model.runs import RunStatus
from .._value_class import value_class
from ..abc import World
from ..errors import PerdureError, RunEndedError, UsageError
from .aborts import tell_end, tell_request
from .ambient import meant_world
from .arguments import checked_count, checked_text, checked_timeout, iterable
from .inspect.listing import list_runs
from .payloads import encode_payload

__all__ = (
    "CancelResult",
    "cancel_run",
    "cancel_runs",
    "checked_children",
    "checked_graceful",
    "checked_reason",
    "live_runs",
)

_MAX_REASON = 512  # characters
_LIVE = (RunStatus.RUNNING, RunStatus.PENDING)
_AT_ONCE = 16
_LATEST_MS = 8_640_000_000_000_000  # the last moment that a Date can be


@value_class
class CancelResult:
    """How one run of ``cancel_runs`` fared."""

    run_id: str
    error: PerdureError | None = None  # why it is not cancelled; None: it is

    @property
    def is_cancelled(self) -> bool:
        """Whether the run is cancelled, now or since before."""
        return self.error is None


async def cancel_run(
    world: World,
    run_id: RunId,
    reason: str | None,
    *,
    graceful: timedelta | None = None,
    children: bool = False,
) -> None:
    """End a run as cancelled, or ask it to end within a time.

    Args:
        graceful: that time; None: at once.
        children: the runs that it started, too.

    Raises:
        RunNotFoundError: no such run.
        RunEndedError: it completed or failed before.
        RunMovedError: it goes on in another world.
    """
    event = _event(world.now_ms(), reason, graceful, children)
    is_request = event.type is EventType.CANCEL_REQUESTED
    try:
        await world.storage.append(Append(run_id=run_id, event=event, wake=is_request))
    except RunEndedError:
        check_here(await world.storage.get_run(run_id))
        raise
    record = await world.storage.get_run(run_id)
    if record.status is RunStatus.CANCELLED:
        tell_end(run_id)
    elif not is_request or record.status.is_ended:
        raise RunEndedError(run_id, status=record.status)
    else:
        tell_request(run_id)


def _event(now_ms: int, reason: str | None, graceful: timedelta | None, children: bool) -> Event:
    deadline_ms: int | None = None
    if graceful is not None:
        deadline_ms = min(now_ms + graceful // timedelta(milliseconds=1), _LATEST_MS)
    return cancel_event(
        reason=None if reason is None else encode_payload(reason, where="reason"),
        deadline_ms=deadline_ms,
        children=children,
        now_ms=now_ms,
    )


def checked_children(children: object) -> bool:
    """Whether the runs that a run started are cancelled with it.

    Raises:
        UsageError: it is not said.
    """
    if children not in ("cancel", "leave"):
        raise UsageError(f'children={children!r}: it is "cancel" or "leave"')
    return children == "cancel"


def checked_graceful(graceful: object) -> timedelta | None:
    """The time that a run is left to end by itself.

    Raises:
        UsageError: it is none.
    """
    return None if graceful is None else checked_timeout("graceful", graceful)


def checked_reason(reason: object) -> str | None:
    """A reason that is kept with a run.

    Raises:
        UsageError: it is no text, or too long.
    """
    if reason is None:
        return None
    text = checked_text("reason", reason)
    if len(text) > _MAX_REASON:
        raise UsageError(
            f"reason has {len(text):,} characters, and at most {_MAX_REASON} are kept with a run"
        )
    return text


async def cancel_runs(
    ids: Iterable[str] | None = None,
    *,
    status: RunStatus | str | None = None,
    workflow: str | None = None,
    attributes: Mapping[str, str] | None = None,
    limit: int = 500,
    reason: str | None = None,
    graceful: float | timedelta | None = None,
    children: Literal["cancel", "leave"] = "leave",
    world: World | None = None,
) -> tuple[CancelResult, ...]:
    """End many runs as cancelled: those with *ids*, or the newest that the other arguments choose.

    Args:
        status: ``"running"`` or ``"pending"``; None is both.
        workflow: only those of the workflow with this name.
        attributes: only those with these attributes.
        limit: at most so many of those that are chosen.
        reason: as of ``Run.cancel``.
        graceful: likewise.
        children: likewise.
        world: default: as for ``start``.

    Returns:
        A result for each run, in the order of *ids* or of the list.

    Raises:
        UsageError: neither ids nor a choice, both, or a status whose runs have ended.
    """
    text, span = checked_reason(reason), checked_graceful(graceful)
    reaches = checked_children(children)
    target = await meant_world(world)
    is_choice = not (status is None and workflow is None and attributes is None)
    if (ids is not None) == is_choice:
        raise UsageError(
            "cancel_runs takes ids, or says which runs by status, workflow or attributes; "
            'for all that go on: one call with status="running" and one with "pending"'
        )
    if ids is None:
        runs: Sequence[str] = await live_runs(
            target, status=status, workflow=workflow, attributes=attributes, limit=limit
        )
    else:
        runs = [checked_text("an id", one) for one in iterable("ids", ids, "[run.id]")]
    cancel = partial(cancel_run, target, reason=text, graceful=span, children=reaches)
    return await _cancel_all(cancel, runs)


async def live_runs(
    world: World,
    *,
    status: RunStatus | str | None = None,
    workflow: str | None = None,
    attributes: Mapping[str, str] | None = None,
    limit: int,
) -> list[str]:
    """The newest runs that have not ended, by their ids.

    Raises:
        UsageError: a status whose runs have ended, or a limit below 1.
    """
    checked_count("limit", limit, least=1)
    if status is not None and status not in _LIVE:
        raise UsageError(f"runs that are {status!s} go on no more; it is running or pending")
    records = [
        record
        for one in _LIVE
        if status in (None, one)
        for record in (
            await list_runs(
                status=one, workflow=workflow, attributes=attributes, limit=limit, world=world
            )
        ).runs
    ]
    records.sort(key=lambda record: (record.created_at_ms, record.run_id), reverse=True)
    return [record.run_id for record in records[:limit]]


async def _cancel_all(
    cancel_one: Callable[[RunId], Awaitable[None]], ids: Sequence[str]
) -> tuple[CancelResult, ...]:
    errors: dict[int, PerdureError] = {}
    slots = anyio.CapacityLimiter(_AT_ONCE)

    async def cancel(number: int, run_id: str) -> None:
        async with slots:
            try:
                await cancel_one(RunId(run_id))
            except PerdureError as exc:
                errors[number] = exc

    async with anyio.create_task_group() as group:
        for number, run_id in enumerate(ids):
            group.start_soon(cancel, number, run_id)
    return tuple(CancelResult(run_id=one, error=errors.get(n)) for n, one in enumerate(ids))
