"""Listing: the runs of a world, page by page, the newest first. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from ..._model.runs import RunFilter, RunPage, RunRecord, RunStatus
from ..._protocol.codec import decode
from ..._protocol.weight import SMALL_BYTES
from ...abc import World
from ...errors import GuestError, PerdureError, UsageError
from ..ambient import meant_world
from ..arguments import checked_attributes, checked_count, checked_text
from ..payloads import do_aside

__all__ = ("list_runs",)

_LOOKED_AT = 500  # runs in one answer of the world, where few of them may be asked for


async def list_runs(
    *,
    status: RunStatus | str | None = None,
    workflow: str | None = None,
    attributes: Mapping[str, str] | None = None,
    error: str | None = None,
    limit: int = 100,
    cursor: str | None = None,
    world: World | None = None,
) -> RunPage:
    """A page of runs, the newest first; its ``cursor`` leads to the next page, None is the end.

    Args:
        status: only those of this status, such as ``"failed"``.
        workflow: only those of the workflow with this name.
        attributes: only those with these attributes.
        error: only those that failed with an error of this name.
        limit: how many runs the page has, unless the list ends.
        cursor: that of the page before.
        world: default: as for ``start``.

    Raises:
        UsageError: a limit below 1, or no such status.
        CursorError: a cursor of another list.
    """
    checked_count("limit", limit, least=1)
    for option, text in (("workflow", workflow), ("error", error), ("cursor", cursor)):
        if text is not None:
            checked_text(option, text)
    where = RunFilter(
        status=_status(status, error), workflow=workflow, attributes=checked_attributes(attributes)
    )
    target = await meant_world(world)
    records: list[RunRecord] = []
    while len(records) < limit:
        runs, cursor = await _part(target, where, error, cursor, limit - len(records))
        records += runs
        if cursor is None:
            break
    return RunPage(runs=tuple(records), cursor=cursor)


async def _part(
    world: World, where: RunFilter, error: str | None, cursor: str | None, limit: int
) -> tuple[list[RunRecord], str | None]:
    """The matches in one answer of the world, up to *limit*, and the cursor behind them."""
    size = limit if error is None else max(limit, _LOOKED_AT)
    while True:
        page = await world.catalogue.list_runs(where, cursor=cursor, limit=size)
        matches = await _matches(page.runs, error)
        if len(matches) <= limit:
            return [page.runs[n] for n in matches], page.cursor
        size = matches[limit - 1] + 1  # a cursor leads on from a page's end only


async def _matches(runs: Sequence[RunRecord], error: str | None) -> Sequence[int]:
    """The places of the runs with this error; a thread decodes large ones."""
    if error is None:
        return range(len(runs))
    if sum(len(record.payload or b"") for record in runs) <= SMALL_BYTES:
        return _failed_with(runs, error)
    return await do_aside(partial(_failed_with, runs, error))


def _failed_with(runs: Sequence[RunRecord], name: str) -> list[int]:
    return [n for n, record in enumerate(runs) if _error_name(record) == name]


def _status(status: RunStatus | str | None, error: str | None) -> RunStatus | None:
    """The status to list. Raises ``UsageError``: there is no such, or none that has an error."""
    if status is not None and status not in tuple(RunStatus):
        choices = ", ".join(RunStatus)
        raise UsageError(f"there is no status {status!r}; there is: {choices}")
    if error is None:
        return None if status is None else RunStatus(status)
    if status not in (None, RunStatus.FAILED):
        raise UsageError(f"only failed runs have an error; leave out the status {status!s}")
    return RunStatus.FAILED


def _error_name(record: RunRecord) -> str | None:
    """The name of the run's error, if it failed with one."""
    if record.payload is None:
        return None
    try:
        error = decode(record.payload)
    except PerdureError:
        return None
    return error.name if isinstance(error, GuestError) else None
