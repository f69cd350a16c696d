"""Catalogue: finding runs, and taking them away.

Lists are empty objects, written before the head that they name; an entry that no head bears out is
passed over.
"""

from __future__ import annotations

from typing import final

from perdure.abc import Catalogue
from perdure.errors import RunLiveError
from perdure.model import RunFilter, RunId, RunPage, RunRecord
from perdure.worldkit.pure import list_cursor, matches_filter, parse_cursor

from ._handle import Handle
from ._head import Head
from ._outbox import deliver
from ._schema import Layout
from ._together import each, together

__all__ = ("S3Catalogue", "delete_objects")

_LOOKED_AT = 1_000  # entries for one page; a list of few matches has short pages


@final
class S3Catalogue(Catalogue):
    """The catalogue of an S3 world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def list_runs(
        self, where: RunFilter, *, cursor: str | None = None, limit: int = 100
    ) -> RunPage:
        self._handle.check_open()
        limit = max(limit, 0)
        after = "" if cursor is None else Layout.listed(Layout.CREATED, *parse_cursor(cursor))
        records: list[RunRecord] = []
        entries: list[tuple[int, str]] = []
        looked_at = 0
        async for listed in self._handle.cas.names(Layout.CREATED, after=after):
            entries.append(Layout.parse_listed(listed.key))
            looked_at += 1
            if len(entries) > min(limit, 64):
                records += await self._matching(entries, where)
                entries = []
            if len(records) > limit:
                break
            if looked_at >= _LOOKED_AT:
                records += await self._matching(entries, where)
                at, run_id = Layout.parse_listed(listed.key)
                return _page(records, limit, f"{at}/{run_id}")
        records += await self._matching(entries, where)
        return _page(records, limit, None)

    async def delete_run(self, run_id: RunId) -> None:
        head = await self._handle.runs.read(run_id)
        if head is not None and not head.record.status.is_over:
            raise RunLiveError(run_id)
        await deliver(self._handle.runs, run_id)
        await delete_objects(self._handle, run_id, head)

    async def purge(self, *, ended_before_ms: int, limit: int = 100) -> int:
        count = 0
        async for listed in self._handle.cas.names(Layout.ENDED):
            at, name = Layout.parse_listed(listed.key)
            if at >= ended_before_ms or count >= limit:
                break
            head = await self._handle.runs.read(RunId(name))
            record = None if head is None else head.record
            if record is not None and record.ended_at_ms == at and record.status.is_over:
                await deliver(self._handle.runs, record.run_id)
                await delete_objects(self._handle, RunId(name), head)
                count += 1
        return count

    async def _matching(self, entries: list[tuple[int, str]], where: RunFilter) -> list[RunRecord]:
        heads = await each(self._handle.runs.read(RunId(run_id)) for _, run_id in entries)
        return [
            head.record
            for (at, _), head in zip(entries, heads, strict=True)
            if head is not None
            and head.record.created_at_ms == at
            and matches_filter(head.record, where)
        ]


def _page(records: list[RunRecord], limit: int, beyond: str | None) -> RunPage:
    runs = tuple(records[:limit])
    more = len(records) > limit and runs
    return RunPage(runs=runs, cursor=list_cursor(runs[-1]) if more else beyond)


async def delete_objects(handle: Handle, run_id: RunId, head: Head | None) -> None:
    """Delete an ended run, its head last; of a run that is not there its blobs.

    Other objects of a run that is not there may be of one that is just being made, and are left to
    the sweeper.
    """
    cas, folder = handle.cas, Layout.folder(run_id)
    head_key = Layout.head(run_id)
    if head is None:
        folder = Layout.blobs(run_id)
    keys = [listed.key async for listed in cas.names(folder)]
    await each(cas.remove(key) for key in keys if key != head_key)
    if head is None:
        return
    await each(
        cas.drop(Layout.token(token), etag=claim.etag) for token, claim in head.claimed.items()
    )
    record = head.record
    lists = [(Layout.CREATED, record.created_at_ms), (Layout.ENDED, record.ended_at_ms or 0)]
    await together(*(cas.remove(Layout.listed(where, at, run_id)) for where, at in lists))
    await cas.remove(head_key, etag=head.etag)
    handle.runs.forget(run_id)
    handle.bells.ring(run_id, f"{run_id}/streams")
