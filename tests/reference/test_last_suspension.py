# ruff: noqa: E501  # one program a line
"""The end of a run is a last suspension: what its code asked for and awaits no more is in its log.

Corrected rows E2 and E7 of the reference. Each kind of command, where the run returns and where it
throws: its event comes before the run's last one, its effect outlasts the run where it is to, and
no step or sleep begins by it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from perdure import Run, Worker, Workflow, get_run, resume_hook, start, step
from perdure._runtime.inspect.audit import verify_run
from perdure.abc import World
from perdure.errors import HookNotFoundError, RunFailedError
from perdure.model import Event, EventType, RunId
from tests.reference.waiting import until
from tests.worlds import EVERY_WORLD

pytestmark = [pytest.mark.anyio, EVERY_WORLD]
HEAD = """
import { createHook, setAttributes, sleep } from "workflow";
import { start } from "workflow/api";
import { count } from "python:last";
export async function child() { "use workflow"; return await count("child"); }
export async function holder() { "use workflow"; try { await createHook({ token: "forced" }); } catch (error) { return error.name; } }
"""
Log = list[Event]
Check = Callable[[World, Log], Awaitable[None]]
_E = EventType


async def nothing(world: World, log: Log) -> None:
    """The log is all."""


async def token_is_free(world: World, log: Log) -> None:
    with pytest.raises(HookNotFoundError):
        await world.storage.get_hook("last")


async def token_is_kept(world: World, log: Log) -> None:
    assert (await world.storage.get_hook("last")).token == "last"
    with pytest.raises(HookNotFoundError):
        await resume_hook("last", 1, world=world)


async def attributes_are_set(world: World, log: Log) -> None:
    assert (await world.storage.get_run(RunId("last"))).attributes == {"colour": "red"}


async def child_ends(world: World, log: Log) -> None:
    (created,) = [event for event in log if event.type is _E.CHILD_CREATED]
    await world.settle()  # MongoDB and S3 bring it after the turn
    assert await get_run(str(created.facts["run_id"]), world).result(timeout=20) == "child"


async def holder_lost_it(world: World, log: Log) -> None:
    assert await get_run("holder", world).result(timeout=20) == "HookForceClaimedError"


# The code before the end, the kinds of event that follow from it, and what else is so.
KINDS: dict[str, tuple[str, list[EventType], Check]] = {
    "an abort": (
        "const c = new AbortController(); createHook({ metadata: c }); c.abort('late');",
        [_E.HOOK_CREATED, _E.ABORT_REQUESTED],
        nothing,
    ),
    "an abort of one that crossed before": (
        "const c = new AbortController(); await count(c.signal); c.abort('late');",
        [_E.ABORT_REQUESTED],
        nothing,
    ),
    "a listener": (
        "const c = new AbortController(); c.signal.onabort = () => 1; createHook({ metadata: c });",
        [_E.ABORT_AWAITED, _E.HOOK_CREATED],
        nothing,
    ),
    "a hook": ("createHook({ token: 'last' });", [_E.HOOK_CREATED], token_is_free),
    "a kept hook": (
        "createHook({ token: 'last', minRetention: '1 day' });",
        [_E.HOOK_CREATED],
        token_is_kept,
    ),
    "a forced hook": (
        "createHook({ token: 'forced', force: true });",
        [_E.HOOK_CREATED],
        holder_lost_it,
    ),
    "a disposal": (
        "const h = createHook({ token: 'last' }); await h.getConflict(); h.dispose();",
        [_E.HOOK_DISPOSED],
        token_is_free,
    ),
    "a disposal of a kept hook": (
        "const h = createHook({ token: 'last', minRetention: '1 day' }); await h.getConflict(); h.dispose();",
        [_E.HOOK_DISPOSED],
        token_is_free,
    ),
    "a question": (
        "createHook({ token: 'last' }).getConflict();",
        [_E.HOOK_CREATED, _E.HOOK_REGISTERED],
        token_is_free,
    ),
    "attributes": (
        "setAttributes({ colour: 'red' });",
        [_E.ATTRIBUTES_SET],
        attributes_are_set,
    ),
    "a wait": ("sleep('1 day');", [_E.WAIT_CREATED], nothing),
    "a step": ("count('never');", [_E.STEP_CREATED], nothing),
    "a child": ("start(child);", [_E.CHILD_CREATED], child_ends),
    "a child with a token": (
        "start(child, [], { hook: 'last' });",
        [_E.CHILD_CREATED],
        child_ends,
    ),
    "a watch": (
        "const run = await start(child); run.returnValue.catch(() => 1);",
        [_E.CHILD_CREATED, _E.WATCH_CREATED],
        child_ends,
    ),
    "all at once": (
        "const c = new AbortController(); createHook({ token: 'last', metadata: c }).dispose(); c.abort(); setAttributes({ colour: 'red' }); sleep(1); start(child);",
        [
            _E.HOOK_CREATED,
            _E.HOOK_DISPOSED,
            _E.ABORT_REQUESTED,
            _E.ATTRIBUTES_SET,
            _E.WAIT_CREATED,
            _E.CHILD_CREATED,
        ],
        child_ends,
    ),
}


async def log_of(run: Run) -> Log:
    return [logged.event async for logged in run.events()]


@pytest.mark.parametrize("ends", ["return 1;", "throw new Error('over');"])
@pytest.mark.parametrize("kind", KINDS)
async def test_it_is_written_before_the_end(world: World, kind: str, ends: str) -> None:
    body, kinds, check = KINDS[kind]
    counted: list[Any] = []

    @step(name="last:count")
    async def count(value: object) -> object:
        counted.append(value)
        return value if isinstance(value, str) else None

    source = HEAD + f'export async function w() {{ "use workflow"; {body} {ends} }}'
    async with Worker(world, steps=[count]):
        if check is holder_lost_it:
            await start(Workflow.from_source(source, name="holder"), run_id="holder", world=world)

            async def held() -> bool:
                try:
                    return bool(await world.storage.get_hook("forced"))
                except HookNotFoundError:
                    return False

            await until(held)
        run = await start(Workflow.from_source(source, name="w"), run_id="last", world=world)
        if ends.startswith("throw"):
            with pytest.raises(RunFailedError, match="over"):
                await run.result(timeout=20)
        else:
            assert await run.result(timeout=20) == 1
        log = await log_of(run)
        assert log[-1].type in (_E.RUN_COMPLETED, _E.RUN_FAILED)
        assert [event.type for event in log[-1 - len(kinds) : -1]] == kinds
        await check(world, log)
        assert (await verify_run(world, run.id)).problems == []
        assert len(await log_of(run)) == len(log)
        assert "never" not in counted
