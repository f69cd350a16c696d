"""Errors on their way: what the author of a workflow or a step is told, and where it happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure import Worker, Workflow, start, step, workflow
from perdure.abc import World
from perdure.errors import GuestError, RunFailedError

pytestmark = pytest.mark.anyio

OWN_KEY = "const key = { id: 1 }, odd = [key, new Map([[key, 1]])];"


@step(name="errors:take", max_retries=0)
async def take(value: object) -> object:
    return value


async def outcome_of(made: Workflow, world: World) -> RunFailedError:
    async with Worker(world, steps=[take]):
        run = await start(made, world=world)
        with pytest.raises(RunFailedError) as caught:
            await run.result(timeout=10)
    return caught.value


async def test_a_stack_names_function_and_line_across_files(world: World, tmp_path: Path) -> None:
    (tmp_path / "prices.ts").write_text(
        "export type Price = number;\n\n"
        "export function total(prices: Price[]): Price {\n"
        '  if (!prices.length) throw new RangeError("nothing to pay");\n'
        "  return prices.reduce((a, b) => a + b);\n}\n"
    )
    (tmp_path / "shop.ts").write_text(
        'import { total } from "./prices";\n'
        "export async function shop() {\n"
        '  "use workflow";\n'
        "  return total([]);\n}\n"
    )
    error = await outcome_of(workflow(tmp_path / "shop.ts"), world)
    assert "RangeError: nothing to pay" in str(error)
    lines = [line.strip() for line in error.stack.splitlines()]
    assert lines == ["at total (prices.ts:4:33)", "at shop (shop.ts:4:10)"]
    assert error.__notes__ == [error.stack.rstrip("\n")]


async def test_a_cause_keeps_its_own_stack(world: World) -> None:
    source = (
        "export async function w() {\n"
        '  "use workflow";\n'
        '  const inner = new TypeError("inner");\n'
        '  throw new Error("outer", { cause: inner });\n}\n'
    )
    error = (await outcome_of(Workflow.from_source(source, filename="w.ts"), world)).error
    assert isinstance(error, GuestError)
    assert isinstance(error.cause, GuestError)
    assert ("w.ts:4:" in error.stack, "w.ts:3:" in error.cause.stack) == (True, True)


async def test_a_map_that_python_cannot_have_is_refused_by_name(world: World) -> None:
    source = (
        'import { take } from "python:errors";\n'
        f'export async function w() {{ "use workflow"; {OWN_KEY} return await take(odd); }}'
    )
    error = (await outcome_of(Workflow.from_source(source, filename="w.ts"), world)).error
    assert isinstance(error, GuestError)
    assert error.name == "ValueNotCarriableError"
    assert "pass a list of pairs" in error.text


async def test_what_nobody_caught_is_in_the_log_whatever_it_is(world: World) -> None:
    source = (
        f'export async function w() {{ "use workflow"; {OWN_KEY}\n'
        '  Promise.reject(odd); Promise.reject(new Error("forgotten")); return "done"; }'
    )
    async with Worker(world):
        run = await start(Workflow.from_source(source, filename="w.ts"), world=world)
        assert await run.result(timeout=10) == "done"
    lines = await run.log_lines()
    assert [line.partition("]")[0] for line in lines] == ["[unhandled rejection"] * 2
    assert "pass a list of pairs" in lines[0]
    assert "forgotten" in lines[1]
