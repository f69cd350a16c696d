"""Hostile workflow code is contained: a named error for its run, and a worker that goes on."""

from __future__ import annotations

from typing import cast

import pytest

from perdure import Worker, Workflow, start, step
from perdure._protocol.frames import Limits
from perdure.abc import World
from perdure.errors import GuestError, RunFailedError
from tests.worlds import IN_MEMORY

pytestmark = [pytest.mark.anyio, IN_MEMORY]

SMALL = Limits(instructions=20_000_000, heap_bytes=24 << 20, payload_bytes=1 << 20)


@step(name="hostile:add")
async def add(a: int, b: int) -> int:
    return a + b


def flow(body: str) -> Workflow:
    return Workflow.from_source(
        'import { add } from "python:hostile";\n'
        'import { createHook, setAttributes, sleep } from "workflow";\n'
        f'export async function flow() {{\n  "use workflow";\n{body}\n}}\n',
        filename="flow.js",
    )


async def outcome_of(world: World, body: str, limits: Limits = SMALL) -> object:
    """The run's value or error; the worker is shown to be unharmed."""
    async with Worker(world, steps=[add], limits=limits):
        run = await start(flow(body), world=world)
        try:
            found: object = await run.result(timeout=60)
        except RunFailedError as exc:
            found = exc.error
        well = await start(flow("return await add(1, 2)"), world=world)
        assert await well.result(timeout=10) == 3
        return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("for (;;) {}", "InstructionLimitError"),
        (
            "try { for (;;) {} } catch { return 'caught' } finally { for (;;) {} }",
            "InstructionLimitError",
        ),
        ("const f = () => Promise.resolve().then(f); await f();", "HeapLimitError"),
        ("/^(a+)+$/.test('a'.repeat(40) + 'b'); for (;;) {}", "InstructionLimitError"),
        ("const all = []; for (;;) all.push(new Uint8Array(1 << 20));", "HeapLimitError"),
        ("let s = 'x'; for (;;) s += s;", None),
        ("return 'x'.repeat(3 << 20)", "PayloadLimitError"),
        ("await new Promise(() => {})", "RunStalledError"),
        ("return new Proxy({}, { get() { throw new Error('trap') } })", None),
        ("return () => 1", None),
        ("const f = () => f() + 1; f()", "RangeError"),
        ("setTimeout(() => {}, 1)", None),
        ("await fetch('http://localhost')", None),
        ("new WeakRef({})", None),
    ],
)
async def test_it_fails_by_name(world: World, body: str, name: str | None) -> None:
    error = await outcome_of(world, body)
    assert isinstance(error, GuestError), error
    if name is not None:
        assert error.name == name, error


@pytest.mark.parametrize(
    "tampering",
    [
        "Object.prototype.type = 'wait'; Object.prototype.id = 'x';",
        "Array.prototype.push = () => { throw new Error('mine') };",
        "Map.prototype.set = () => { throw new Error('mine') };",
        "Map.prototype.get = () => { throw new Error('mine') };",
        "Object.defineProperty(Object.prototype, 'value', { get() { throw new Error('mine') } });",
        "globalThis.Promise = class {};",
        "Error.prepareStackTrace = () => 'mine';",
        "Number.prototype.toString = () => 'mine'; String.prototype.slice = () => 'mine';",
        "Promise.prototype.then = () => { throw new Error('mine') };",
        "Array.prototype[Symbol.iterator] = function* () { yield 'mine' };",
    ],
)
async def test_tampering_with_built_ins_does_not_reach_the_prelude(
    world: World, tampering: str
) -> None:
    body = f"try {{ {tampering} }} catch {{}}\nreturn await add(1, 2)"
    assert await outcome_of(world, body) == 3


async def test_deep_recursion_can_be_caught(world: World) -> None:
    body = "const f = () => f() + 1; try { f() } catch (e) { return e instanceof RangeError }"
    assert await outcome_of(world, body) is True


@pytest.mark.slow
async def test_a_catastrophic_pattern_ends(world: World) -> None:
    found = await outcome_of(world, "return /^(a+)+$/.test('a'.repeat(28) + 'b')")
    assert found is False or isinstance(found, GuestError)


@pytest.mark.slow
async def test_very_many_pending_steps_are_refused_or_carried(world: World) -> None:
    found = await outcome_of(
        world,
        "const all = []; for (let i = 0; i < 1e6; i++) all.push(add(i, i)); await Promise.all(all)",
    )
    assert isinstance(found, GuestError)
    assert found.name in ("OutputLimitError", "HeapLimitError", "InstructionLimitError")


@pytest.mark.slow
async def test_more_output_than_an_answer_holds_fails_by_name(world: World) -> None:
    body = "for (let i = 0; i < 40; i++) add('x'.repeat(500_000), i); await sleep(1)"
    found = await outcome_of(world, body, Limits())
    assert isinstance(found, GuestError)
    assert found.name == "OutputLimitError"


@pytest.mark.parametrize(("thrown", "error"), [("'just text'", "just text"), ("null", None)])
async def test_what_is_thrown_need_not_be_an_error(
    world: World, thrown: str, error: object
) -> None:
    assert await outcome_of(world, f"throw {thrown}") == error


async def test_eval_stays_inside(world: World) -> None:
    found = await outcome_of(
        world, "try { return (0, eval)('typeof process') } catch (e) { return e.name }"
    )
    assert found == "ForbiddenGlobalError"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("createHook({ webhook: {} })", "TypeError: a hook's option webhook is true or false"),
        (
            "createHook({ token: 'x'.repeat(501) })",
            "TypeError: a hook's token is a text of 1 to 500",
        ),
        ("setAttributes(5)", "FatalError: setAttributes requires a plain object"),
        ("return new Array(2 ** 32 - 1)", "PayloadLimitError: the value at result is larger"),
        ("return Array.from({ length: 30000 }, () => add)[0]", "StepRef"),
        (
            "const f = () => 1; f.stepId = 'hostile:add'; await add(f, 1)",
            "SerializationError: cannot carry the value at arguments[0]: a function is not data",
        ),
    ],
)
async def test_what_cannot_be_asked_for_fails_the_run_alone(
    world: World, body: str, message: str
) -> None:
    assert str(await outcome_of(world, body)).startswith(message)


async def test_thirty_thousand_dates_are_a_result(world: World) -> None:
    body = "return Array.from({ length: 30000 }, (_, i) => new Date(i))"
    dates = await outcome_of(world, body, Limits(payload_bytes=2 << 20))
    assert isinstance(dates, list)
    assert len(cast("list[object]", dates)) == 30_000
