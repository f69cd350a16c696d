"""Catalogue: finding runs, and taking them away.

Lists are empty objects, written before the head that they name; an entry that no head bears out is
passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import final

from perdure.abc import Catalogue
from perdure.errors import RunLiveError
from perdure.model import RunFilter, RunId, RunPage, RunRecord
from perdure.worldkit.pure import list_cursor, matches_filter, parent_of, parse_cursor

from ._handle import Handle
from ._head import Head
from ._outbox import deliver
from ._schema import Layout
from ._together import each

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
        if not await self._delete(run_id, lambda record: True):
            await delete_objects(self._handle, run_id, None)

    async def purge(self, *, ended_before_ms: int, limit: int = 100) -> int:
        count = 0
        async for listed in self._handle.cas.names(Layout.ENDED):
            at, name = Layout.parse_listed(listed.key)
            if at >= ended_before_ms or count >= limit:
                break
            count += await self._delete(RunId(name), partial(_has_ended, at_ms=at))
        return count

    async def _delete(self, run_id: RunId, is_meant: Callable[[RunRecord], bool]) -> bool:
        """Delete a run once its letters are brought; its head may change meanwhile.

        Returns:
            Whether a run that is meant was there.

        Raises:
            RunLiveError: it goes on.
        """
        runs = self._handle.runs
        head = await runs.read(run_id)
        birth = None if head is None else head.birth
        while head is not None and head.birth == birth:
            if not is_meant(head.record):
                return False
            if not head.record.status.is_over:
                raise RunLiveError(run_id)
            if head.letters:
                await deliver(self._handle, run_id)
            elif await self._delete_version(run_id, head):
                return True
            head = await runs.read(run_id)
        return birth is not None

    async def _delete_version(self, run_id: RunId, head: Head) -> bool:
        parent = parent_of(head.record)
        if parent is not None:  # its letters, too, or it would start this run once more
            await deliver(self._handle, parent)
        return await delete_objects(self._handle, run_id, head)

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


def _has_ended(record: RunRecord, *, at_ms: int) -> bool:
    return record.ended_at_ms == at_ms and record.status.is_over


async def delete_objects(handle: Handle, run_id: RunId, head: Head | None) -> bool:
    """Delete this version of an ended run; of a run that is not there its blobs.

    The head goes after all but the entry by which a purge finds the run: one that was cut short can
    be repeated.

    Other objects of a run that is not there, or of another life of it, may be of one that is just
    being made, and are left to the sweeper.

    Returns:
        Whether it is gone for certain; else its head has changed, or somebody else deleted it.
    """
    cas = handle.cas
    folders = [Layout.blobs(run_id)]
    if head is not None:
        folders.append(Layout.life(run_id, head.birth))
    keys = [listed.key for folder in folders async for listed in cas.names(folder)]
    await each(cas.remove(key) for key in keys)
    if head is None:
        return True
    await each(
        cas.drop(Layout.token(token), etag=claim.etag) for token, claim in head.claimed.items()
    )
    record = head.record
    await cas.remove(Layout.listed(Layout.CREATED, record.created_at_ms, run_id))
    if not await cas.remove(Layout.head(run_id), etag=head.etag):
        return False
    handle.runs.forget(run_id)
    await cas.remove(Layout.listed(Layout.ENDED, record.ended_at_ms or 0, run_id))
    handle.bells.ring(run_id, f"{run_id}/streams")
    return True
