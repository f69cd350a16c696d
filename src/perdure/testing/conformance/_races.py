"""Races: many coroutines at once, and the one outcome that the contracts allow."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable, Coroutine

import anyio
import anyio.lowlevel

from ..._model.commit import Append, Committed
from ..._model.events import EventType
from ..._model.hooks import HookClaim
from ..._model.ids import EntityId, RunId
from ..._model.queue import NewMessage
from ..._model.runs import RunFilter
from ..._model.snapshot import Snapshot
from ...abc import World
from ...errors import RunLiveError, StaleTurnError, StreamFencedError
from ._case import RUN, Case, append_of, commit_of, event_of, expect, named, new_run

__all__ = ("RACES",)

WAIT_MS = 30_000


async def at_once(*calls: Callable[[], Coroutine[object, object, None]]) -> None:
    """All of them, concurrently."""
    async with anyio.create_task_group() as group:
        for call in calls:
            group.start_soon(call)


async def one_winner_per_turn(case: Case) -> None:
    """Of many commits for one turn number exactly one lands."""
    async with case.open() as world:
        await world.storage.create_run(new_run())
        turns = 20 if case.thorough else 5
        for turn in range(turns):
            wins: list[Committed] = []
            stale: list[int] = []

            async def race(
                n: int,
                turn: int = turn,
                wins: list[Committed] = wins,
                stale: list[int] = stale,
            ) -> None:
                commit = commit_of(turn, commit_id=f"c{turn}/{n}")
                try:
                    wins.append(await world.storage.commit(commit))
                except StaleTurnError:
                    stale.append(n)

            async with anyio.create_task_group() as group:
                for n in range(8):
                    group.start_soon(race, n)
            expect((len(wins), len(stale)) == (1, 7), "one commit wins each turn number")
        events = await world.storage.read_events(RUN)
        expect([e.position for e in events] == list(range(1, turns + 2)), "positions are dense")


async def one_creation_per_run(case: Case) -> None:
    """Of many that create one run at once exactly one is told that it did."""
    async with case.open() as world:
        for turn in case.rounds(8 if case.thorough else 3, full_s=6.0):
            answers: list[bool] = []

            async def create(run_id: str = f"run_{turn}", answers: list[bool] = answers) -> None:
                answers.append((await world.storage.create_run(new_run(run_id)))[1])

            await at_once(*[create] * 5)
            expect(sorted(answers) == [False] * 4 + [True], "a run is created once")


async def one_claim_per_item(case: Case) -> None:
    """Concurrent claims never share an item."""
    async with case.open() as world:
        items, claims = (20, 10) if case.thorough else (6, 2)
        names = [f"run_{n:02}" for n in range(items)]
        for name in names:
            await world.storage.create_run(new_run(name))
        await world.queue.send([_message(RunId(names[0]), f"{names[0]}/{n}") for n in names])
        await world.settle()
        wakes: list[str] = []
        messages: list[str] = []

        async def claim() -> None:
            for _ in range(claims):
                wake_claims = await world.queue.claim_wakes(limit=3, visibility_ms=60_000)
                wakes.extend(wake.run_id for wake in wake_claims)
                message_claims = await world.queue.claim_messages(
                    ["t"], limit=3, visibility_ms=60_000
                )
                messages.extend(one.message.message_id for one in message_claims)

        await at_once(*[claim] * 6)
        for _ in range(items // 3 + 1):  # what racing claims left to each other
            await claim()
        expect(sorted(wakes) == names, "one live lease per wake")
        expect(sorted(messages) == [f"{names[0]}/{n}" for n in names], "one live lease per message")


def _message(run_id: RunId, message_id: str) -> NewMessage:
    return NewMessage(message_id=message_id, run_id=run_id, topic="t", body=b"b", due_ms=0)


async def appends_share_a_log(case: Case) -> None:
    """Concurrent appends get dense positions; a key gets one."""
    async with case.open() as world:
        await world.storage.create_run(new_run())
        positions: list[int] = []

        async def append(n: int) -> None:
            answer = await world.storage.append(append_of(f"step_{n % 10}/end"))
            positions.append(answer.position)

        async with anyio.create_task_group() as group:
            for n in range(30):
                group.start_soon(append, n)
        expect(set(positions) == set(range(2, 12)), "a duplicate gives the first position")
        events = await world.storage.read_events(RUN)
        expect([e.position for e in events] == list(range(1, 12)), "positions are dense")


async def a_commit_lands_behind_nothing_unseen(case: Case) -> None:
    """A commit with deliveries is at the place its guest knows of, or it is stale."""
    async with case.open() as world:
        for n in case.rounds(20 if case.thorough else 6, least=3):
            run_id = f"run_{n}"
            await world.storage.create_run(new_run(run_id))

            async def outside(run_id: str = run_id, late: int = n % 3) -> None:
                for _ in range(late):
                    await anyio.lowlevel.checkpoint()
                await world.storage.append(append_of("step_9/end", run_id))

            async def turn(run_id: str = run_id) -> None:
                inline = commit_of(0, run_id=RunId(run_id), deliveries=(event_of("step_8/end"),))
                try:
                    await world.storage.commit(inline)
                except StaleTurnError:
                    return
                events = await world.storage.read_events(RunId(run_id))
                expect(
                    events[1].event.key == "step_8/end",
                    "a commit with deliveries never lands behind an event its guest has not seen",
                )

            await at_once(outside, turn)


async def paging_is_stable(case: Case) -> None:
    """A log and a list are read whole and in order, also while others add to them."""
    async with case.open() as world:
        await world.storage.create_run(new_run())
        old = [f"old_{n}" for n in range(10 if case.thorough else 5)]
        for run_id in old:
            await world.storage.create_run(new_run(run_id))
        end = anyio.Event()

        async def write() -> None:
            for n in range(30 if case.thorough else 6):
                await world.storage.append(append_of(f"step_{n}/end"))
                await world.storage.create_run(new_run(f"young_{n}"))  # listed before the old ones
            end.set()

        async def read() -> None:
            last: list[str] = []
            while True:
                ended = end.is_set()
                keys = await _pages(world)
                expect(keys[: len(last)] == last, "what was read is a prefix of what follows")
                await _lists_once(world, old)
                last = keys
                if ended:
                    break
                await anyio.lowlevel.checkpoint()

        await at_once(write, read)


async def _pages(world: World) -> list[str]:
    keys: list[str] = []
    while True:
        page = await world.storage.read_events(RUN, after=len(keys), limit=3)
        expect(
            [e.position for e in page] == list(range(len(keys) + 1, len(keys) + len(page) + 1)),
            "pages are dense and in order",
        )
        keys += [e.event.key for e in page]
        if not page:
            return keys


async def _lists_once(world: World, old: list[str]) -> None:
    run_ids: list[str] = []
    cursor: str | None = None
    while True:
        page = await world.catalogue.list_runs(RunFilter(), cursor=cursor, limit=3)
        run_ids += [record.run_id for record in page.runs]
        cursor = page.cursor
        if cursor is None:
            break
        await anyio.lowlevel.checkpoint()
    listed = [run_id for run_id in run_ids if run_id.startswith("old_")]
    expect(sorted(listed) == old, "a run is listed exactly once")


async def a_token_has_one_holder(case: Case) -> None:
    """Of many runs that claim a token at once one gets it, the others are told."""
    async with case.open() as world:
        for turn in case.rounds(8 if case.thorough else 3, full_s=6.0):
            runs = [RunId(f"run_{turn}_{n}") for n in range(5)]
            for run_id in runs:
                await world.storage.create_run(new_run(run_id))
            conflicts: dict[RunId, bool] = {}

            async def claim(
                run_id: RunId, token: str = f"t{turn}", conflicts: dict[RunId, bool] = conflicts
            ) -> None:
                hook = EntityId("hook_1")
                created = event_of("hook_1/created", EventType.HOOK_CREATED)
                commit = commit_of(
                    0,
                    run_id=run_id,
                    events=(created,),
                    hooks_claimed=(HookClaim(hook_id=hook, token=token),),
                )
                conflicts[run_id] = bool((await world.storage.commit(commit)).conflicts)

            async with anyio.create_task_group() as group:
                for run_id in runs:
                    group.start_soon(claim, run_id)
            winners = [run_id for run_id, is_loser in conflicts.items() if not is_loser]
            expect(len(winners) == 1, "a live token has one holder")
            holder = await world.storage.get_hook(f"t{turn}")
            expect(holder.run_id == winners[0], "who was told of no conflict holds the token")
            for run_id in runs:
                kinds = [e.event.type for e in await world.storage.read_events(run_id)]
                has_conflict = EventType.HOOK_CONFLICT in kinds
                expect(has_conflict == (run_id != winners[0]), "a loser's log says hook_conflict")


async def a_chain_is_read_whole(case: Case) -> None:
    """Of every prefix of saves the baseline and the deltas of the chain are the newest image."""
    async with case.open() as world:
        await world.storage.create_run(new_run())
        turns = 24 if case.thorough else 10
        end = anyio.Event()

        async def save() -> None:
            for turn in range(1, turns + 1):
                parent = None if turn % 4 == 1 else turn - 1
                delta = _xor(_image(turn), _image(parent or 0))
                snapshot = Snapshot(turn=turn, parent_turn=parent, consumed=turn, data=delta)
                await world.snapshots.save(RUN, snapshot)
                late = Snapshot(turn=turn - 1, parent_turn=None, consumed=turn - 1, data=b"late")
                await world.snapshots.save(RUN, late)
            end.set()

        async def load() -> None:
            newest = 0
            while not end.is_set():
                chain = await world.snapshots.load(RUN)
                image, parent = _image(0), None
                for link in chain:
                    expect(link.parent_turn == parent, "a link's parent is the one before it")
                    image, parent = _xor(image, link.data), link.turn
                    expect(image == _image(link.turn), "baseline and deltas give the image")
                expect((parent or 0) >= newest, "newer is never overwritten by older")
                newest = parent or 0
                await anyio.lowlevel.checkpoint()

        await at_once(save, load, load)


def _image(turn: int) -> bytes:
    """The heap after that turn; of turn 0 the baseline."""
    return hashlib.sha256(b"%d" % turn).digest()


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


async def retention_spares_the_living(case: Case) -> None:
    """Purging beside a run that goes on takes the ended ones only."""
    async with case.open() as world:
        await world.storage.create_run(new_run())
        ended = [f"run_{n}" for n in range(6)]
        for run_id in ended:
            await world.storage.create_run(new_run(run_id))
        count = 0

        async def live() -> None:
            for turn in range(8):
                await world.storage.commit(commit_of(turn))

        async def end() -> None:
            for run_id in ended:
                cancelled = event_of("run/ended", EventType.RUN_CANCELLED)
                await world.storage.append(Append(run_id=RunId(run_id), event=cancelled))

        async def purge() -> None:
            nonlocal count
            while count < len(ended):
                count += await world.catalogue.purge(ended_before_ms=10**15, limit=2)
                try:
                    await world.catalogue.delete_run(RUN)
                except RunLiveError:
                    continue
                raise AssertionError("a live run is never deleted")

        with anyio.fail_after(30):
            await at_once(live, end, purge)
        record = await world.storage.get_run(RUN)
        expect((record.turn, record.position) == (8, 9), "retention never touches a live run")
        page = await world.catalogue.list_runs(RunFilter())
        expect([r.run_id for r in page.runs] == [RUN], "what has ended long ago is taken")


async def a_tail_misses_nothing(case: Case) -> None:
    """A reader of a stream that others write sees each chunk once, each writer's in order."""
    async with case.open() as world:
        await world.storage.create_run(new_run())
        writers, count = ("v", "w"), 12 if case.thorough else 6
        finished: list[str] = []

        async def write(writer: str) -> None:
            for n in range(count):
                chunks = [b"%s%d" % (writer.encode(), n)]
                for _ in range(2):  # the second is a repeat, and adds nothing
                    await world.streams.append(RUN, "s", chunks, writer=writer, sequence=n)
            finished.append(writer)
            if len(finished) == len(writers):
                await world.streams.close(RUN, "s")

        async def tail() -> None:
            chunks: list[bytes] = []
            while True:
                page = await world.streams.read(
                    RUN, "s", start=len(chunks), limit=3, wait_ms=WAIT_MS
                )
                chunks += page.chunks
                if page.done:
                    break
            for writer in writers:
                own = [chunk for chunk in chunks if chunk.startswith(writer.encode())]
                wanted = [b"%s%d" % (writer.encode(), n) for n in range(count)]
                expect(own == wanted, "a tail gets every chunk once, in its writer's order")

        with anyio.fail_after(WAIT_MS / 3000):
            async with anyio.create_task_group() as group:
                for writer in writers:
                    group.start_soon(write, writer)
                for _ in range(2):
                    group.start_soon(tail)


async def a_fence_bars_what_comes_after(case: Case) -> None:
    """Once a later attempt's append is answered, nothing of a lower one lands, nor was it told so.

    What the lower one was told has landed is there, before or after.
    """
    async with case.open() as world:
        await world.storage.create_run(new_run())
        answered: list[int] = []

        async def zombie(n: int) -> None:
            with contextlib.suppress(StreamFencedError):
                await world.streams.append(RUN, "s", [b"1"], writer="w", sequence=n)
                answered.append(n)

        async def fence() -> None:
            length = await world.streams.append(RUN, "s", [], writer="w", sequence=0, attempt=2)
            await at_once(*(functools.partial(zombie, n) for n in range(6, 9)))
            page = await world.streams.read(RUN, "s")
            expect(len(page.chunks) == length, "a fenced attempt writes nothing more")

        await zombie(0)
        with anyio.fail_after(WAIT_MS / 3000):
            await at_once(fence, *(functools.partial(zombie, n) for n in range(1, 6)))
        page = await world.streams.read(RUN, "s")
        expect(len(page.chunks) == len(answered), "each answer of an append is true")
        await world.streams.append(RUN, "s", [b"2"], writer="w", sequence=1, attempt=2)
        page = await world.streams.read(RUN, "s", start=-1)
        expect(page.chunks == (b"2",), "and the later attempt writes")


RACES = named(
    one_winner_per_turn,
    one_creation_per_run,
    one_claim_per_item,
    appends_share_a_log,
    a_commit_lands_behind_nothing_unseen,
    paging_is_stable,
    a_token_has_one_holder,
    a_chain_is_read_whole,
    retention_spares_the_living,
    a_tail_misses_nothing,
    a_fence_bars_what_comes_after,
)
