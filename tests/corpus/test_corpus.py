"""Stores that an earlier tree wrote are carried on, verified and moved by this one."""

from __future__ import annotations

import pytest

from perdure import Run, Worker, get_run, move_run, resume_hook
from perdure._runtime.inspect.audit import verify_run
from perdure.abc import World
from perdure.model import RunFilter, RunId, RunStatus
from perdure.testing.clock import ManualClock
from perdure.testing.memory import MemoryWorld
from tests.corpus.cases import CASES, LATER_MS
from tests.corpus.corpus_steps import LATER
from tests.corpus.packing import FILE, digest_of, read

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.reopened]
STORES = {"sqlite", "mongodb", "s3"}
ON_STORES = pytest.mark.worlds(*STORES)
# Made by ``python -m tests.corpus.making``; changed with a release that ends what was before it.
DIGEST = "6e39b5c315fcbf534934b04bf73a5ae9f0f89837c1bc7606082797fd594042e1"
SPOKEN = [{"word": "before"}, b"before", {"word": "after"}, b"after"]


async def verify(world: World) -> int:
    """Tell every run of a world again from its log; returns their number."""
    runs = (await world.catalogue.list_runs(RunFilter())).runs
    for record in runs:
        report = await verify_run(world, record.run_id)
        assert report.passed, (record.run_id, report.problems)
    return len(runs)


async def go_on(name: str, world: World) -> None:
    """Have a case's run told what it waits for; it comes to what can be foretold."""
    case, run = CASES[name], get_run(f"corpus-{name}", world=world)
    for token, payload in case.after:
        await resume_hook(token, payload, world=world)
    if case.error is None:
        assert await run.result(timeout=20) == case.result, name
    else:
        with pytest.raises(case.error):
            await run.result(timeout=20)
    if name == "streaming":
        await check_stream(run)


async def check_stream(run: Run) -> None:
    """What was written before and after."""
    reader = run.readable()
    assert [await anext(reader) for _ in SPOKEN] == SPOKEN


def test_the_corpus_is_the_one_that_is_kept() -> None:
    assert digest_of(FILE.read_bytes()) == DIGEST
    assert set(read()["stores"]) == STORES


@ON_STORES
async def test_what_an_earlier_tree_left_is_read(stored: World) -> None:
    for name, case in CASES.items():
        record = await stored.storage.get_run(RunId(f"corpus-{name}"))
        assert record.status is case.status, name
        assert {**record.attributes} == case.attributes
        is_frozen = case.status is RunStatus.RUNNING
        assert bool((await stored.storage.load_run(record.run_id)).chain) is is_frozen, name


@ON_STORES
async def test_what_an_earlier_tree_left_is_carried_on(kept: World) -> None:
    assert await verify(kept) == len(CASES) + 2  # and the parent's children
    async with Worker(kept, steps=LATER):
        for name in CASES:
            await go_on(name, kept)
    assert await verify(kept) == len(CASES) + 2
    assert set((await kept.queue.count_waiting()).values()) == {0}


@ON_STORES
async def test_what_an_earlier_tree_left_moves_on(kept: World) -> None:
    names = [name for name, case in CASES.items() if case.moves]
    async with MemoryWorld(clock=ManualClock(LATER_MS)) as target:
        for name in names:
            await move_run(f"corpus-{name}", kept, target)
        async with Worker(target, steps=LATER):
            for name in names:
                await go_on(name, target)
        assert await verify(target) == len(names)
