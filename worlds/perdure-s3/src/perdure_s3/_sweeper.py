"""Sweeper: takes away the remains of writers that died, and puts the due index right.

Everything here is either named by a head, or younger than a day and perhaps about to be named, or
an orphan. Safe beside working worlds, and safe to be ended at any point.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import final

from perdure.model import RunId

from ._cas import UNCHANGED, Listed
from ._handle import Handle
from ._head import Head
from ._page import view_of
from ._parts import part_names
from ._schema import Layout, loads, readable
from ._together import each
from ._world import S3World

__all__ = ("Swept", "sweep")

DAY = timedelta(days=1)


@final
@dataclass(slots=True)
class Swept:
    """The figures of a sweep."""

    runs: int = 0  # that are there
    orphans: int = 0  # objects deleted
    rearmed: int = 0  # runs that the due index did not know well enough


async def sweep(
    world: S3World, *, older_than: timedelta = DAY, now: datetime | None = None
) -> Swept:
    """Delete orphans older than *older_than*, and see to it that every live run is looked at.

    Lists the whole world: one LIST for each thousand objects and one GET for each run.

    Args:
        now: the present by the store's clock; None is the machine's.
    """
    handle = world._handle  # pyright: ignore[reportPrivateUsage]  # of this package
    before = (datetime.now(UTC) if now is None else now) - older_than
    tally = Swept()
    heads = await _sweep_runs(handle, before, tally)
    await _sweep_tokens(handle, heads, before, tally)
    await _sweep_lists(handle, heads, before, tally)
    await _rearm(handle, heads, tally)
    return tally


async def _sweep_runs(handle: Handle, before: datetime, tally: Swept) -> dict[str, Head]:
    heads: dict[str, Head] = {}
    folders: defaultdict[str, list[Listed]] = defaultdict(list)
    async for listed in handle.cas.names(Layout.RUNS):
        folders[listed.key.split("/")[1]].append(listed)
        if len(folders) > 1:  # in order of folders: all but the last are complete
            name, objects = next(iter(folders.items()))
            del folders[name]
            await _sweep_folder(handle, objects, before, heads, tally)
    for objects in folders.values():
        await _sweep_folder(handle, objects, before, heads, tally)
    tally.runs = len(heads)
    return heads


async def _sweep_folder(
    handle: Handle,
    objects: list[Listed],
    before: datetime,
    heads: dict[str, Head],
    tally: Swept,
) -> None:
    """Sweep the objects of one run; the head is read after the list was."""
    folder = "/".join(objects[0].key.split("/")[:2]) + "/"
    reply = await handle.cas.get(f"{folder}head")
    head: Head | None = None
    if reply is not None and reply is not UNCHANGED:
        head = Head.parse(reply.body, reply.etag)
        heads[head.record.run_id] = head
    orphans = [o for o in objects if o.modified < before and not _is_named(o.key, folder, head)]
    await each(handle.cas.remove(orphan.key) for orphan in orphans)
    tally.orphans += len(orphans)


def _is_named(key: str, folder: str, head: Head | None) -> bool:
    rest = key[len(folder) :]
    if rest == "head":
        return True
    life, _, name = rest.partition("/")
    if life == "blob":
        return head is not None
    if head is None or life != head.birth:
        return False
    kind, _, part = name.partition("/")
    return kind == "str" or part in part_names(head)


async def _sweep_tokens(
    handle: Handle, heads: dict[str, Head], before: datetime, tally: Swept
) -> None:
    async for listed in handle.cas.names(Layout.TOKENS):
        if listed.modified >= before:
            continue
        reply = await handle.cas.get(listed.key)
        if reply is None or reply is UNCHANGED:
            continue
        with readable(f"the hook token's object {listed.key}"):
            run_id, claim, _, token, earlier = loads(reply.body)
        head = heads.get(run_id)
        claim_ = None if head is None else head.claimed.get(token)
        if earlier in heads and token in heads[earlier].hooks:
            continue  # it is that run's until the claim lands
        if claim_ is None or claim_.claim != claim:
            await handle.cas.remove(listed.key, etag=reply.etag)
            tally.orphans += 1


async def _sweep_lists(
    handle: Handle, heads: dict[str, Head], before: datetime, tally: Swept
) -> None:
    for folder in (Layout.CREATED, Layout.ENDED):
        orphans: list[str] = []
        async for listed in handle.cas.names(folder):
            at, run_id = Layout.parse_listed(listed.key)
            record = heads[run_id].record if run_id in heads else None
            stands = record is not None and at in (record.created_at_ms, record.ended_at_ms)
            if listed.modified < before and not stands:
                orphans.append(listed.key)
        await each(handle.cas.remove(key) for key in orphans)
        tally.orphans += len(orphans)


async def _rearm(handle: Handle, heads: dict[str, Head], tally: Swept) -> None:
    """Put live runs into the index that are not there early enough."""
    await handle.due.look(at_once=True)
    schedule = await handle.due.known()
    for run_id, head in heads.items():
        view = view_of(head, now_ms=handle.now_ms())
        dues = schedule.get(run_id, {})
        if any(kind not in dues or dues[kind] > at for kind, at in view.dues.items()):
            latest = await handle.runs.read(RunId(run_id))
            if latest is not None and latest.cover:
                await handle.due.arm(run_id, view_of(latest, now_ms=handle.now_ms()), None)
                tally.rearmed += 1
