"""Results as their types declare them: a number is no bigint, a Map no object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from perdure import Worker, Workflow, start, step
from perdure._runtime import steps as registry
from perdure.abc import World
from perdure.errors import GuestError, RunFailedError
from perdure.values import BigInt
from tests.worlds import IN_MEMORY

if TYPE_CHECKING:
    from decimal import Decimal as ForCheckers

pytestmark = [pytest.mark.anyio, IN_MEMORY]
HUGE = 2**60


@dataclass
class Row:
    id: int
    names: list[str]


@dataclass
class Wide:
    id: BigInt


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_registered", {})
    return iter(())


async def plain() -> int:
    return HUGE


def threaded() -> list[Row]:
    return [Row(1, []), Row(HUGE, [])]


async def many() -> list[int]:
    return [*range(2000), HUGE]


async def anything() -> dict[str, Any]:
    return {"id": HUGE}


async def silent():  # type: ignore[no-untyped-def]  # untyped on purpose
    return [HUGE]


async def for_checkers() -> list[ForCheckers]:
    return [HUGE]  # type: ignore[list-item]  # wrong on purpose


async def marked() -> Wide:
    return Wide(BigInt(HUGE))


async def small() -> BigInt:
    return BigInt(5)


async def table() -> dict[int, str]:
    return {}


def tables() -> list[dict[int, str]]:
    return [{}, {1: "à"}]


async def outcome(world: World, function: Any, call: str) -> object:
    body = step(name="large:body", max_retries=0)(function)
    source = (
        'import { body } from "python:large";\n'
        f'export async function w() {{ "use workflow"; {call} }}\n'
    )
    async with Worker(world, steps=[body]):
        run = await start(Workflow.from_source(source, filename="w.js"))
        try:
            return await run.result(timeout=20)
        except RunFailedError as exc:
            return exc.error


@pytest.mark.parametrize(
    ("function", "path"),
    [(plain, ""), (threaded, r"\[1\].id"), (many, "[2000]")],
)
async def test_an_int_that_is_no_number_is_refused_where_the_type_says_number(
    world: World, function: Any, path: str
) -> None:
    error = await outcome(world, function, "return typeof await body();")
    assert isinstance(error, GuestError)
    assert error.name == "ValueNotCarriableError"
    assert f"the result of large:body{path.replace(chr(92), '')}: {HUGE} is past" in error.text
    assert "perdure.values.BigInt" in error.text


@pytest.mark.parametrize(
    ("function", "call", "expected"),
    [
        (anything, "return typeof (await body()).id;", "bigint"),
        (silent, "return typeof (await body())[0];", "bigint"),
        (for_checkers, "return typeof (await body())[0];", "bigint"),
        (marked, "return typeof (await body()).id;", "bigint"),
        (marked, "return (await body()).id + 1n;", HUGE + 1),
        (small, "return typeof await body();", "bigint"),
        (table, "return (await body()) instanceof Map;", True),
        (tables, "return (await body()).map((one) => one.size);", [0, 1]),
        (anything, "return (await body()) instanceof Map;", False),
    ],
)
async def test_what_no_type_calls_a_number_is_a_bigint(
    world: World, function: Any, call: str, expected: object
) -> None:
    assert await outcome(world, function, call) == expected
