"""A move that is cut short, wherever that is, is completed by asking again; never are there two."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from typing import Any

import anyio
import pytest

from perdure import Worker, Workflow, get_run, move_run, start, step
from perdure._runtime.inspect.audit import verify_run
from perdure._runtime.move import bring_back, keep_here
from perdure._runtime.start import start_again
from perdure.abc import World
from perdure.errors import (
    BundleMissingError,
    EngineMissingError,
    HookTokenHeldError,
    RunBusyError,
    RunEndedError,
    RunExistsError,
    RunMovedError,
    RunNotFoundError,
    UsageError,
    WorldUnavailableError,
)
from perdure.model import (
    Departure,
    Digest,
    EntityId,
    HookClaim,
    NewRun,
    RunId,
    RunStatus,
    StreamCopy,
    TurnCommit,
)
from perdure.testing.faults import Fault, FaultyWorld
from perdure.worlds import make_world

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SOURCE = """
import { once } from "python:resuming";
import { createHook, sleep } from "workflow";
export async function patient() {
  "use workflow";
  const hook = createHook({ token: "resuming" });
  console.log("before");
  await sleep("1 day");
  return await once();
}
"""
MOVES = {f"run/moved/{position}" for position in range(100)}
GONE = "s3://gone/for-good"  # nobody asks it
PAIRS = ["memory-sqlite", "sqlite-memory", "mongodb-s3", "s3-mongodb"]
FULL = os.environ.get("PERDURE_TIER") == "full"


@step(name="resuming:once", max_retries=0)
async def once() -> str:
    return "once"


class Cut:
    """Fails one call of a move, by its number over both worlds or by its name."""

    def __init__(self, at: int | str, how: Fault) -> None:
        self.at, self.how, self.calls = at, how, 0

    def __call__(self, number: int, call: str, /) -> Fault:
        self.calls += 1
        return self.how if self.at in (self.calls, call) else Fault.NONE


def cuts(here: str) -> Iterator[Cut]:
    """Every call, before and after it took effect; or, to be quick, after those that matter."""
    if here != "memory" and not FULL:
        yield from (Cut(f"transfer.{name}", Fault.AFTER) for name in ("depart", "arrive"))
        return
    for how in (Fault.BEFORE, Fault.AFTER):
        for at in count(1):
            cut = Cut(at, how)
            yield cut
            if cut.calls < at:  # there are no more
                break


@asynccontextmanager
async def suspended(url: str) -> AsyncGenerator[tuple[World, str], None]:
    """A world with a run that sleeps."""
    async with make_world(url) as world:
        async with Worker(world, steps=[once]):
            program = Workflow.from_source(SOURCE, filename="patient.ts")
            run = await start(program, world=world)
            hook = None
            while hook is None:
                with contextlib.suppress(Exception):
                    hook = await world.storage.get_hook("resuming")
        yield world, run.id


async def workable(world: World, run_id: str) -> bool:
    """Whether a worker of this world could come to work on the run."""
    try:
        return not (await world.storage.get_run(RunId(run_id))).status.is_ended
    except RunNotFoundError:
        return False


@pytest.mark.parametrize("pair", PAIRS)
async def test_a_move_that_is_cut_short_anywhere_is_completed(
    urls: dict[str, str], pair: str
) -> None:
    here, there = pair.split("-")
    name = secrets.token_hex(4)
    for number, cut in enumerate(cuts(here)):
        async with (
            suspended(urls[here].replace("{n}", f"{name}-{number}-a")) as (source, run_id),
            make_world(urls[there].replace("{n}", f"{name}-{number}-b")) as target,
        ):
            with contextlib.suppress(WorldUnavailableError):
                await move_run(run_id, FaultyWorld(source, cut), FaultyWorld(target, cut))
            places = [await workable(world, run_id) for world in (source, target)]
            assert places != [True, True]
            run = await move_run(run_id, source, target)
            places = [await workable(world, run_id) for world in (source, target)]
            assert places == [False, True]
            assert await run.log_lines() == ("before",)
            assert (await verify_run(target, run_id)).snapshots == 1
            assert (await target.storage.get_hook("resuming")).run_id == run_id
            (again,) = await target.transfer.read_streams(RunId(run_id))
            assert len(again.writes) == 1


PRINTING = """
import { once } from "python:resuming";
import { sleep } from "workflow";
export async function printing() {
  "use workflow";
  console.log("before");
  await sleep(20);
  console.log("after");
  return await once();
}
"""


class Unwritten:
    """Holds back what a world's runs print, as a worker that is slow does."""

    def __init__(self, world: World) -> None:
        self.asked = anyio.Event()
        self.go = anyio.Event()
        self._append = world.streams.append
        world.streams.append = self._wait  # type: ignore[method-assign]  # a stand-in

    async def _wait(self, *given: Any, **named: Any) -> int:
        self.asked.set()
        await self.go.wait()
        return await self._append(*given, **named)


@pytest.mark.parametrize("there", ["memory", "sqlite"])
async def test_what_the_last_turn_printed_comes_along_however_late_it_is_written(
    urls: dict[str, str], there: str
) -> None:
    name = secrets.token_hex(4)
    program = Workflow.from_source(PRINTING, filename="printing.ts")
    async with (
        make_world(urls["memory"].replace("{n}", f"{name}-a")) as source,
        make_world(urls[there].replace("{n}", f"{name}-b")) as target,
    ):
        unwritten = Unwritten(source)
        async with Worker(source, steps=[once]):
            run = await start(program, world=source)
            try:
                await unwritten.asked.wait()
                moved = await move_run(run.id, source, target)
                assert await moved.log_lines() == ()
                async with Worker(target, steps=[once]):
                    assert await moved.result(timeout=10) == "once"
            finally:
                unwritten.go.set()  # the worker waits for it
        assert await moved.log_lines() == ("before", "after")
        assert (await verify_run(target, run.id)).passed


async def test_a_step_that_is_left_behind_writes_no_more_where_it_runs_anew(
    urls: dict[str, str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its streams come along with the fences; the rest of what it writes here is told, and left."""
    name = secrets.token_hex(4)
    async with (
        suspended(urls["memory"].replace("{n}", f"{name}-a")) as (source, run_id),
        make_world(urls["sqlite"].replace("{n}", f"{name}-b")) as target,
    ):
        run, writer = RunId(run_id), f"{run_id}/step_1"
        await source.streams.append(run, "out", [b"1"], writer=writer, sequence=0)
        await source.streams.append(run, "done", [b"1"], writer=writer, sequence=0)
        read_streams, looks = source.transfer.read_streams, iter((0, 1))

        async def meanwhile(asked: RunId) -> tuple[StreamCopy, ...]:
            if next(looks):  # it has arrived; the step is claimed there, and goes on here
                await target.streams.append(run, "out", [], writer=writer, sequence=0, attempt=2)
                await target.streams.close(run, "done")
                for stream in ("out", "done"):
                    await source.streams.append(run, stream, [b"2"], writer=writer, sequence=1)
            return await read_streams(asked)

        monkeypatch.setattr(source.transfer, "read_streams", meanwhile)
        await move_run(run_id, source, target)
        for stream in ("out", "done"):
            assert (await target.streams.read(run, stream)).chunks == (b"1",)
        assert caplog.text.count("the rest is left out") == 2


async def test_what_bars_a_move_is_told_before_anything_is_changed(urls: dict[str, str]) -> None:
    name = secrets.token_hex(4)
    async with (
        suspended(urls["memory"].replace("{n}", f"{name}-a")) as (source, run_id),
        make_world(urls["sqlite"].replace("{n}", f"{name}-b")) as target,
    ):
        before = await source.storage.get_run(RunId(run_id))
        with pytest.raises(RunNotFoundError):
            await move_run("run_none", source, target)
        with pytest.raises(UsageError, match="already; name another"):
            await move_run(run_id, source, source)
        await hold_token(target, "run_b", "resuming")
        with pytest.raises(HookTokenHeldError, match="run_b"):
            await move_run(run_id, source, target)
        await target.storage.create_run(new_run(run_id))
        with pytest.raises(RunExistsError, match="pending"):
            await move_run(run_id, source, target)
        await source.storage.create_run(new_run("run_c"))
        with pytest.raises(BundleMissingError):
            await move_run("run_c", source, target)
        await source.storage.create_run(replace(new_run("run_d"), bundle=before.bundle))
        with pytest.raises(EngineMissingError):
            await move_run("run_d", source, target)
        assert await source.storage.get_run(RunId(run_id)) == before


async def test_a_run_that_left_for_one_world_goes_to_no_other(urls: dict[str, str]) -> None:
    name = secrets.token_hex(4)
    async with (
        suspended(urls["memory"].replace("{n}", f"{name}-a")) as (source, run_id),
        make_world(urls["memory"].replace("{n}", f"{name}-b")) as target,
        make_world(urls["memory"].replace("{n}", f"{name}-c")) as other,
    ):
        there = await move_run(run_id, source, target, timeout=1)
        assert (await there.status()) is RunStatus.RUNNING
        with pytest.raises(RunMovedError) as caught:
            await move_run(run_id, source, other)
        assert caught.value.to == target.url
        await move_run(run_id, source, target)  # once more is fine
        assert await there.moved_to() is None


@pytest.mark.parametrize("pair", PAIRS)
async def test_a_run_comes_back_wherever_that_is_cut_short(urls: dict[str, str], pair: str) -> None:
    here, there = pair.split("-")
    name = secrets.token_hex(4)
    for number, cut in enumerate(cuts(here)):
        async with (
            suspended(urls[here].replace("{n}", f"{name}-{number}-c")) as (home, run_id),
            make_world(urls[there].replace("{n}", f"{name}-{number}-d")) as away,
        ):
            left = Cut("transfer.arrive", Fault.BEFORE if number % 2 else Fault.AFTER)
            with contextlib.suppress(WorldUnavailableError):
                await move_run(run_id, home, FaultyWorld(away, left))
            with contextlib.suppress(WorldUnavailableError):
                await bring_back(run_id, FaultyWorld(home, cut), FaultyWorld(away, cut))
            places = [await workable(world, run_id) for world in (home, away)]
            assert places != [True, True]
            run = await bring_back(run_id, home, away)
            places = [await workable(world, run_id) for world in (home, away)]
            assert places == [True, False]
            assert await run.log_lines() == ("before",)
            assert (await verify_run(home, run_id)).snapshots == 1
            assert (await home.storage.get_hook("resuming")).run_id == run_id
            moves = [e.event.facts["to"] async for e in run.events() if e.event.key in MOVES]
            assert moves == [away.url, home.url]


@pytest.mark.parametrize("here", ["memory", "sqlite", "mongodb", "s3"])
async def test_a_run_goes_on_here_wherever_that_is_cut_short(
    urls: dict[str, str], here: str
) -> None:
    name = secrets.token_hex(4)
    for number, cut in enumerate(cuts(here)):
        async with (
            suspended(urls[here].replace("{n}", f"{name}-{number}-e")) as (home, run_id),
            make_world(urls["sqlite"].replace("{n}", f"{name}-{number}-f")) as shelter,
        ):
            await home.transfer.depart(Departure(run_id=RunId(run_id), to=GONE))
            with contextlib.suppress(WorldUnavailableError):
                faulty = FaultyWorld(home, cut), FaultyWorld(shelter, cut)
                await keep_here(run_id, *faulty, to=GONE)
            places = [await workable(world, run_id) for world in (home, shelter)]
            assert places != [True, True]
            run = await keep_here(run_id, home, shelter, to=GONE)
            assert await workable(home, run_id)
            assert await run.log_lines() == ("before",)
            assert (await verify_run(home, run_id)).snapshots == 1
            assert (await home.storage.get_hook("resuming")).run_id == run_id
            moves = [e.event.facts["to"] async for e in run.events() if e.event.key in MOVES]
            assert moves == [GONE, home.url]
            (again,) = await home.transfer.read_streams(RunId(run_id))
            assert len(again.writes) == 1
            await keep_here(run_id, home, shelter, to=GONE)  # once more is fine
            with pytest.raises(RunNotFoundError):
                await shelter.storage.get_run(RunId(run_id))


async def test_what_is_not_on_its_way_is_not_kept(urls: dict[str, str]) -> None:
    name = secrets.token_hex(4)
    async with (
        suspended(urls["memory"].replace("{n}", f"{name}-a")) as (home, run_id),
        make_world(urls["memory"].replace("{n}", f"{name}-b")) as away,
        make_world(urls["memory"].replace("{n}", f"{name}-c")) as shelter,
    ):
        with pytest.raises(RunNotFoundError):
            await keep_here("run_none", home, shelter, to=away.url)
        before = await home.storage.get_run(RunId(run_id))
        assert (await keep_here(run_id, home, shelter, to=away.url)).id == run_id  # it is here
        assert await home.storage.get_run(RunId(run_id)) == before
        await move_run(run_id, home, away)
        with pytest.raises(RunMovedError) as arrived:  # what it did there is not known here
            await keep_here(run_id, home, shelter, to=away.url)
        assert arrived.value.arrived
        run = await bring_back(run_id, home, away)
        await home.transfer.depart(Departure(run_id=RunId(run_id), to=GONE))
        with pytest.raises(RunMovedError) as elsewhere:
            await keep_here(run_id, home, shelter, to=away.url)
        assert (elsewhere.value.to, elsewhere.value.arrived) == (GONE, False)
        await keep_here(run_id, home, shelter, to=GONE)
        await run.cancel()
        with pytest.raises(RunEndedError):
            await keep_here(run_id, home, shelter, to=GONE)


async def test_a_run_lives_twice_if_the_world_that_was_gone_had_taken_it_in(
    urls: dict[str, str],
) -> None:
    """What is warned of: two worlds cannot know of each other when one does not answer."""
    name = secrets.token_hex(4)
    async with (
        suspended(urls["memory"].replace("{n}", f"{name}-a")) as (home, run_id),
        make_world(urls["memory"].replace("{n}", f"{name}-b")) as away,
        make_world(urls["memory"].replace("{n}", f"{name}-c")) as shelter,
    ):
        cut = Cut("transfer.arrive", Fault.AFTER)
        with pytest.raises(WorldUnavailableError):
            await move_run(run_id, home, FaultyWorld(away, cut))
        await keep_here(run_id, home, shelter, to=away.url)
        assert [await workable(world, run_id) for world in (home, away)] == [True, True]
        with pytest.raises(RunExistsError):
            await move_run(run_id, home, away)
        await get_run(run_id, away).cancel()  # as the warning says
        assert [await workable(world, run_id) for world in (home, away)] == [True, False]


async def test_a_move_that_was_never_confirmed_is_not_made_again_once_the_run_went_on(
    urls: dict[str, str],
) -> None:
    name = secrets.token_hex(4)
    async with (
        suspended(urls["memory"].replace("{n}", f"{name}-a")) as (first, run_id),
        make_world(urls["memory"].replace("{n}", f"{name}-b")) as second,
        make_world(urls["memory"].replace("{n}", f"{name}-c")) as third,
    ):
        cut = Cut("transfer.arrive", Fault.AFTER)
        with pytest.raises(WorldUnavailableError):
            await move_run(run_id, first, FaultyWorld(second, cut))
        await move_run(run_id, second, third)
        await move_run(run_id, first, second)
        statuses = [
            (await world.storage.get_run(RunId(run_id))).status for world in (first, second, third)
        ]
        assert statuses == [RunStatus.MOVED, RunStatus.MOVED, RunStatus.RUNNING]


async def test_a_run_on_its_way_says_how_to_complete_that(urls: dict[str, str]) -> None:
    name = secrets.token_hex(4)
    async with (
        suspended(urls["memory"].replace("{n}", f"{name}-a")) as (source, run_id),
        make_world(urls["memory"].replace("{n}", f"{name}-b")) as target,
    ):
        cut = Cut("transfer.arrive", Fault.BEFORE)
        with pytest.raises(WorldUnavailableError):
            await move_run(run_id, source, FaultyWorld(target, cut))
        run = get_run(run_id, source)
        command = f"perdure move {run_id} --to {target.url}"
        for asked in (run.result(), run.cancel(), start_again(source, run_id)):
            with pytest.raises(RunMovedError, match=re.escape(command)):
                await asked


async def test_a_token_that_is_taken_meanwhile_leaves_the_run_whole(urls: dict[str, str]) -> None:
    name = secrets.token_hex(4)
    async with (
        suspended(urls["memory"].replace("{n}", f"{name}-a")) as (source, run_id),
        make_world(urls["memory"].replace("{n}", f"{name}-b")) as target,
    ):
        await source.transfer.depart(Departure(run_id=RunId(run_id), to=target.url))
        await hold_token(target, "run_b", "resuming")
        with pytest.raises(HookTokenHeldError):
            await move_run(run_id, source, target)
        assert (await source.storage.get_run(RunId(run_id))).status is RunStatus.MOVING
        await hold_token(target, "run_b", "resuming", release=True)
        assert (await (await move_run(run_id, source, target)).status()) is RunStatus.RUNNING


async def test_a_run_is_not_waited_for_longer_than_asked(urls: dict[str, str]) -> None:
    name = secrets.token_hex(4)
    async with (
        suspended(urls["memory"].replace("{n}", f"{name}-a")) as (source, run_id),
        make_world(urls["memory"].replace("{n}", f"{name}-b")) as target,
    ):
        busy = FaultyWorld(source, lambda number, call: Fault.NONE)
        asked = 0

        async def depart(departure: Departure) -> None:
            nonlocal asked
            asked += 1
            raise RunBusyError(run_id, steps=("step_1",), until_ms=0)

        busy.transfer.depart = depart  # type: ignore[method-assign,assignment] # of the wrapper
        with pytest.raises(RunBusyError):
            await move_run(run_id, busy, target, timeout=0.05)
        assert asked > 2


def new_run(run_id: str) -> NewRun:
    return NewRun(
        run_id=RunId(run_id),
        workflow="w",
        bundle=Digest("b" * 64),
        engine=Digest("e" * 64),
        input=b"\x80",
        created_at_ms=1,
    )


async def hold_token(world: World, run_id: str, token: str, *, release: bool = False) -> None:
    """Another run that holds a token, or lets it go."""
    hook = EntityId("hook_1")
    await world.storage.commit(
        TurnCommit(
            run_id=RunId(run_id),
            commit_id=f"c{release}",
            turn=int(release),
            expected_position=1,
            consumed=1,
            log_digest=b"",
            hooks_claimed=() if release else (HookClaim(hook_id=hook, token=token),),
            hooks_released=(hook,) if release else (),
            new=None if release else new_run(run_id),
        )
    )
