"""Errors on their way: from Python into the workflow and back, naming the user's own lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from perdure import Worker, start, step, workflow
from perdure.abc import World
from perdure.errors import GuestError, RunFailedError
from tests.worlds import IN_MEMORY

pytestmark = [pytest.mark.anyio, IN_MEMORY]

LIB = """
import { refuse, fine } from "python:errors";

export async function guarded(n: number): Promise<number> {
  try {
    return await deeper(n);
  } catch (e: any) {
    throw new Error("guarded: " + e.message, { cause: e });
  }
}

function deeper(n: number) {
  return inner(n);
}

async function inner(n: number): Promise<number> {
  return await refuse(n);
}

export async function late(): Promise<void> {
  await fine();
  throw new RangeError("too late");
}
"""
FLOW = """
import { guarded, late } from "./lib/guard";
import { fine, refuse } from "python:errors";

export async function rethrown(n: number): Promise<number> {
  "use workflow";
  return await guarded(n);
}

export async function plain(): Promise<void> {
  "use workflow";
  function thrower(): never {
    throw new TypeError("plain");
  }
  thrower();
}

export async function resumed(): Promise<void> {
  "use workflow";
  await fine();
  await late();
}

export async function same(): Promise<void> {
  "use workflow";
  try {
    await refuse(1);
  } catch (e) {
    await fine();
    throw e;
  }
}

export async function seen(): Promise<unknown> {
  "use workflow";
  try {
    await refuse(1);
  } catch (e: any) {
    return [e instanceof Error, e.name, e.message, e.stack, e.cause.name, e.cause.message];
  }
}
"""


@step(name="errors:refuse", max_retries=0)
async def refuse(n: int) -> int:
    try:
        raise KeyError("inner")
    except KeyError as exc:
        raise ValueError(f"no {n}") from exc


@step(name="errors:fine")
async def fine() -> None: ...


async def run_of(world: World, folder: Path, name: str, *args: object) -> object:
    (folder / "lib").mkdir()
    (folder / "lib" / "guard.ts").write_text(LIB)
    (folder / "flow.ts").write_text(FLOW)
    async with Worker(world, steps=[refuse, fine]):
        run = await start(workflow(folder / f"flow.ts#{name}"), list(args))
        return await run.result(timeout=10)


async def failure_of(world: World, folder: Path, name: str, *args: object) -> RunFailedError:
    with pytest.raises(RunFailedError) as caught:
        await run_of(world, folder, name, *args)
    return caught.value


def frames(stack: str) -> list[str]:
    """Function and line of each frame."""
    lines = [line.strip() for line in stack.splitlines() if line.strip().startswith("at ")]
    return [line.removeprefix("at ").rpartition(":")[0] for line in lines]


async def test_a_rethrown_error_names_both_files_and_every_function(
    world: World, tmp_path: Path
) -> None:
    failed = await failure_of(world, tmp_path, "rethrown", 7)
    assert frames(failed.stack)[0] == "guarded (lib/guard.ts:8"
    assert failed.__notes__ == [failed.stack.rstrip("\n")]
    assert isinstance(failed.error, GuestError)
    cause = failed.error.cause
    assert isinstance(cause, GuestError)
    assert frames(cause.stack) == [
        "inner (lib/guard.ts:17",
        "deeper (lib/guard.ts:13",
        "guarded (lib/guard.ts:6",
        "rethrown (flow.ts:7",
    ]


async def test_a_thrown_error_names_its_functions_and_lines(world: World, tmp_path: Path) -> None:
    failed = await failure_of(world, tmp_path, "plain")
    assert frames(failed.stack) == ["thrower (flow.ts:13", "plain (flow.ts:15"]
    assert "perdure:" not in str(failed)


async def test_an_error_after_an_await_names_where_it_was_thrown(
    world: World, tmp_path: Path
) -> None:
    failed = await failure_of(world, tmp_path, "resumed")
    assert frames(failed.stack) == ["late (lib/guard.ts:22", "async resumed (flow.ts:21"]


async def test_an_error_thrown_again_keeps_its_stack(world: World, tmp_path: Path) -> None:
    failed = await failure_of(world, tmp_path, "same")
    assert frames(failed.stack) == ["same (flow.ts:27"]


async def test_a_python_exception_is_an_error_in_the_workflow(world: World, tmp_path: Path) -> None:
    found = await run_of(world, tmp_path, "seen")
    assert isinstance(found, list)
    seen: Any = cast("Any", found)
    is_error, name, message, stack, cause, inner = seen
    assert is_error is True
    assert (name, message) == ("FatalError", "step errors:refuse failed after 0 retries: no 1")
    assert "seen (flow.ts:37" in stack
    assert (cause, inner) == ("ValueError", "no 1")
