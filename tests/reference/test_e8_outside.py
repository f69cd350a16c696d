# ruff: noqa: E501  # one program a line
"""E8: signals that were made in Python, and the runs that they go to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from perdure import Run, Worker, Workflow, resume_hook, start, step
from perdure._runtime.inspect.audit import verify_run
from perdure.abc import World
from perdure.errors import ProtocolError, UsageError, ValueNotCarriableError, WorldClosedError
from perdure.model import EventType, RunId
from perdure.values import AbortController, AbortSignal
from perdure.worlds import open_world
from tests.reference.waiting import until
from tests.worlds import EVERY_WORLD, IN_MEMORY

pytestmark = [pytest.mark.anyio, EVERY_WORLD]
HEAD = 'import { createHook } from "workflow"; import { hold, made, look } from "python:outside"; const heard = (s) => new Promise((r) => s.aborted ? r(s.reason) : s.addEventListener("abort", () => r(s.reason))); export async function w(arg, token) { "use workflow"; '


class Steps:
    """Steps that hold signals, and the controller that one of them makes."""

    def __init__(self) -> None:
        self.controller = AbortController()

    def all(self) -> list[Any]:
        @step(name="outside:hold")
        async def hold(signal: AbortSignal) -> object:
            return await signal.wait()

        @step(name="outside:made")
        async def made() -> AbortController:
            return self.controller

        @step(name="outside:look")
        def look() -> AbortController:
            return self.controller

        return [hold, made, look]


@asynccontextmanager
async def working(world: World) -> AsyncGenerator[Steps]:
    steps = Steps()
    async with Worker(world, steps=steps.all()):
        yield steps


def flow(body: str) -> Workflow:
    return Workflow.from_source(HEAD + body + "}")


async def kinds_of(run: Run) -> list[EventType]:
    return [logged.event.type async for logged in run.events()]


async def awaited(run: Run) -> None:
    async def look() -> bool:
        return EventType.ABORT_AWAITED in await kinds_of(run)

    await until(look)


async def by_argument(world: World, controller: AbortController, value: object) -> Run:
    return await start(flow("return await heard(arg.signal ?? arg);"), [value], world=world)


async def by_nested_argument(world: World, controller: AbortController, value: object) -> Run:
    made = flow("const s = arg.a[0].get(1); return await heard(s.signal ?? s);")
    return await start(made, [{"a": [{1: value}]}], world=world)


async def by_payload(world: World, controller: AbortController, value: object) -> Run:
    body = "const s = await createHook({ token: 'outside' }); return await heard(s.signal ?? s);"
    run = await start(flow(body), world=world)

    async def look() -> object:
        return await run.hooks()

    await until(look)
    await resume_hook("outside", value, world=world)
    return run


async def by_result(world: World, controller: AbortController, value: object) -> Run:
    return await start(flow("return await heard((await made()).signal);"), world=world)


async def by_thread(world: World, controller: AbortController, value: object) -> Run:
    return await start(flow("return await heard((await look()).signal);"), world=world)


WAYS = [by_argument, by_nested_argument, by_payload, by_result, by_thread]
Way = Callable[[World, AbortController, object], Awaitable[Run]]


@pytest.mark.parametrize("is_controller", [True, False])
@pytest.mark.parametrize("way", WAYS)
async def test_an_abort_here_reaches_the_run_durably(
    world: World, way: Way, is_controller: bool
) -> None:
    async with working(world) as steps:
        controller = steps.controller
        run = await way(world, controller, controller if is_controller else controller.signal)
        await awaited(run)
        await controller.abort({"why": 1})
        assert (await kinds_of(run)).count(EventType.ABORT_RECEIVED) == 1
        assert controller.signal.aborted
        assert await run.result(timeout=20) == {"why": 1}
        assert (await verify_run(world, run.id)).problems == []


@pytest.mark.parametrize("way", WAYS)
async def test_one_that_was_aborted_before_is_aborted_there(world: World, way: Way) -> None:
    async with working(world) as steps:
        await steps.controller.abort("before")
        run = await way(world, steps.controller, steps.controller)
        assert await run.result(timeout=20) == "before"


async def test_steps_of_the_run_hear_of_it(world: World) -> None:
    async with working(world) as steps:
        run = await start(flow("return await hold(arg);"), [steps.controller.signal], world=world)

        async def look() -> bool:
            return EventType.STEP_CREATED in await kinds_of(run)

        await until(look)
        await steps.controller.abort("stop")
        assert await run.result(timeout=20) == "stop"


async def test_the_workflow_s_own_abort_is_heard_here(world: World) -> None:
    async with working(world) as steps:
        controller = steps.controller
        run = await start(
            flow("arg.abort(7); return arg.signal.aborted;"), [controller], world=world
        )
        assert await run.result(timeout=20) is True
        assert await controller.signal.wait() == 7


async def test_it_is_one_signal_however_often_it_comes(world: World) -> None:
    body = "const again = await createHook({ token: 'again' }); return [again.s === arg.s, again.c.signal === arg.s];"
    async with working(world) as steps:
        value = {"s": steps.controller.signal, "c": steps.controller}
        run = await start(flow(body), [value], world=world)

        async def look() -> object:
            return await run.hooks()

        await until(look)
        await resume_hook("again", value, world=world)
        assert await run.result(timeout=20) == [True, True]


async def test_any_of_them_reaches_the_run(world: World) -> None:
    first, second = AbortController(), AbortController()
    both = AbortSignal.any([AbortSignal.any([first.signal]), second.signal])
    async with working(world):
        run = await start(flow("return await heard(arg);"), [both], world=world)
        await awaited(run)
        await first.abort("first")
        assert EventType.ABORT_RECEIVED in await kinds_of(run)
        assert (both.aborted, both.reason, second.signal.aborted) == (True, "first", False)
        assert await run.result(timeout=20) == "first"
        late = await start(flow("return await heard(arg);"), [AbortSignal.any([both])], world=world)
        assert await late.result(timeout=20) == "first"


async def test_every_run_that_it_went_to_hears_of_it(world: World) -> None:
    """Also where one of them has ended, and another was deleted."""
    controller = AbortController()
    async with working(world):
        ended = await start(flow("return arg.aborted;"), [controller.signal], world=world)
        gone = await start(flow("return arg.aborted;"), [controller.signal], world=world)
        assert [await ended.result(timeout=20), await gone.result(timeout=20)] == [False, False]
        await world.catalogue.delete_run(RunId(gone.id))
        runs = [
            await start(flow("return await heard(arg);"), [controller.signal], world=world)
            for _ in range(3)
        ]
        await controller.abort("all")
        assert [await run.result(timeout=20) for run in runs] == ["all"] * 3


@IN_MEMORY
async def test_a_run_that_could_not_be_told_is_told_by_the_next_call(world: World) -> None:
    controller = AbortController()
    async with open_world("memory://") as other:
        far = await start(flow("return await heard(arg);"), [controller.signal], world=other)
        async with working(world):
            run = await start(flow("return await heard(arg);"), [controller.signal], world=world)
            await awaited(run)
            await other.aclose()
            with pytest.raises(WorldClosedError):
                await controller.abort("once")
            assert await run.result(timeout=20) == "once"
            assert EventType.ABORT_RECEIVED in await kinds_of(run)
        del far


@IN_MEMORY
async def test_any_with_a_run_s_own_signal_is_refused(world: World) -> None:
    mixed = AbortSignal.any([AbortController().signal, AbortSignal("run_x", "abort_1")])
    for signal in (mixed, AbortSignal.any([mixed])):
        with pytest.raises(ValueNotCarriableError, match=r"the signal abort_1 of run run_x"):
            await start(flow("return 1;"), [signal], world=world)
    AbortSignal("run_x", "abort_1", aborted=True, reason=1)
    assert mixed.reason == 1


def test_others_than_signals_are_refused() -> None:
    odd: Any = [AbortController()]
    with pytest.raises(UsageError, match="takes AbortSignals"):
        AbortSignal.any(odd)
    with pytest.raises(UsageError, match="AbortController"):
        AbortSignal("", "abort_1")


@pytest.mark.parametrize("id", ["", "abort_1", "abort_" + "1" * 28, "hook_" + "1" * 29])
def test_a_payload_with_another_id_is_malformed(id: str) -> None:
    import cbor2

    from perdure._protocol.codec import decode
    from perdure._protocol.tags import Tag

    with pytest.raises(ProtocolError, match="malformed AbortSignal"):
        decode(cbor2.dumps(cbor2.CBORTag(Tag.ABORT, ["", id, False, False, None])))


def test_it_says_what_it_is() -> None:
    controller = AbortController()
    assert repr(controller) == f"<AbortController {controller.id}, not aborted>"
    assert (controller.run_id, AbortController() == controller) == ("", False)
