"""A snapshot that cannot be used costs time only: same result, and a warning that says why."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import anyio
import anyio.lowlevel
import cbor2
import pytest

from perdure import Run, Worker, Workflow, start, step
from perdure._protocol.snapshot_format import (
    CANCEL_FORMAT,
    decode_ledger,
    decode_snapshot,
    encode_snapshot,
)
from perdure._runtime.inspect.audit import verify_run
from perdure._runtime.keys import SNAPSHOT_KEY
from perdure.abc import World
from perdure.errors import UsageError
from perdure.model import RunId, Snapshot
from tests.worlds import EVERY_WORLD

pytestmark = [pytest.mark.anyio, EVERY_WORLD]

FLOW = Workflow.from_source("""
import { add, last } from "python:snapshots";
export async function flow(n: number) {
  "use workflow";
  const made = new Map([["x", await add(n, 2)]]);
  return [made.get("x"), await last(), Math.random()];
}
""")
KEY, OTHER = "k" * 32, b"o" * 16


@step(name="snapshots:add")
async def add(a: int, b: int) -> int:
    return a + b


@step(name="snapshots:last")
async def last() -> str:
    return "last"


async def parked(world: World, run_id: str, n: int = 1, *, key: str | bytes | None = None) -> Run:
    """A run that was put away before a step its worker does not have."""
    async with Worker(world, steps=[add], snapshot_key=key):
        run = await start(FLOW, [n], run_id=run_id)
        with anyio.fail_after(10):
            while not await world.snapshots.load(RunId(run_id)):
                await anyio.lowlevel.checkpoint()
    return run


async def put_in_place(world: World, run_id: str, chain: list[Snapshot]) -> None:
    await world.snapshots.delete(RunId(run_id))
    for snapshot in chain:
        await world.snapshots.save(RunId(run_id), snapshot)


async def resumed(world: World, run: Run, *, key: str | bytes | None = None) -> tuple[object, int]:
    """The run's result from a fresh worker, and how often that went back to the log."""
    async with Worker(world, steps=[add, last], snapshot_key=key) as worker:
        value = await run.result(timeout=10)
        return value, worker.statistics()["rebuilt"]


def flipped(data: bytes) -> bytes:
    return data[:60] + bytes([data[60] ^ 1]) + data[61:]


def with_later_ledger(data: bytes) -> bytes:
    header, fold, delta = decode_snapshot(data, key=None)
    fields: list[object] = [CANCEL_FORMAT + 1, *decode_ledger(fold), "of a later version"]
    return encode_snapshot(header, cbor2.dumps(fields), delta, key=None)


DAMAGES: list[tuple[Callable[[bytes], bytes] | None, str]] = [
    (flipped, "its digest does not match its bytes"),
    (lambda data: data[:-9], "its digest does not match its bytes"),
    (lambda data: data[:20], "not a snapshot"),
    (lambda _: b"", "not a snapshot"),
    (lambda data: b"PRDS\x7f" + data[5:], "its format has version 127, this package reads 3"),
    (lambda data: b"PRDS\x02" + data[5:], "its format has version 2, this package reads 3"),
    (
        with_later_ledger,
        f"its fold has version {CANCEL_FORMAT + 1}, this package reads {CANCEL_FORMAT}",
    ),
    (None, "its snapshot is missing"),
]


@pytest.mark.parametrize(
    ("damage", "reason"),
    DAMAGES,
    ids=[
        *("flipped", "truncated", "stub", "empty", "later version", "trial version"),
        *("later ledger", "missing"),
    ],
)
async def test_a_damaged_or_missing_one_is_made_from_the_log(
    world: World,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[bytes], bytes] | None,
    reason: str,
) -> None:
    expected, _ = await resumed(world, await parked(world, "sound"))
    run = await parked(world, "hurt")
    chain = await world.snapshots.load(RunId(run.id))
    hurt = [replace(one, data=damage(one.data)) for one in chain] if damage else []
    await put_in_place(world, run.id, hurt)
    with caplog.at_level(logging.WARNING, "perdure"):
        value, rebuilt = await resumed(world, run)
    assert isinstance(expected, list)
    assert isinstance(value, list)
    assert value[:2] == expected[:2] == [3, "last"]
    assert rebuilt == 1
    assert f"{reason}; rebuilding it from its log" in caplog.text
    assert run.id in caplog.text
    await world.snapshots.delete(RunId(run.id))  # the run ended without another one
    assert (await verify_run(world, run.id)).problems == []


async def test_another_runs_is_refused(world: World, caplog: pytest.LogCaptureFixture) -> None:
    foreign = await parked(world, "foreign", 40)
    run = await parked(world, "mine", 1)
    await put_in_place(world, run.id, list(await world.snapshots.load(RunId(foreign.id))))
    with caplog.at_level(logging.WARNING, "perdure"):
        value, rebuilt = await resumed(world, run)
    assert isinstance(value, list)
    assert (value[0], rebuilt) == (3, 1)
    assert "its run_id is not this run's" in caplog.text


async def test_a_sound_one_is_used_in_silence(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    run = await parked(world, "sound", key=KEY)
    with caplog.at_level(logging.WARNING, "perdure"):
        value, rebuilt = await resumed(world, run, key=KEY.encode())
    assert isinstance(value, list)
    assert (value[0], rebuilt) == (3, 0)
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("made", "read", "reason"),
    [
        (KEY, OTHER, "its tag is not of the key that is configured"),
        (KEY, None, "it is tagged with a key, and none is configured"),
        (None, KEY, "a key is configured, and it has no tag"),
    ],
)
async def test_one_with_another_tag_is_refused(
    world: World,
    caplog: pytest.LogCaptureFixture,
    made: str | None,
    read: str | bytes | None,
    reason: str,
) -> None:
    run = await parked(world, "tagged", key=made)
    report = await verify_run(world, run.id, key=read)
    assert [reason in problem for problem in report.problems] == [True]
    with caplog.at_level(logging.WARNING, "perdure"):
        value, rebuilt = await resumed(world, run, key=read)
    assert isinstance(value, list)
    assert (value[0], rebuilt) == (3, 1)
    assert reason in caplog.text


async def test_the_key_comes_from_the_environment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SNAPSHOT_KEY, KEY + "\n")
    run = await parked(world, "env")
    assert (await verify_run(world, run.id)).snapshots == 1
    assert (await verify_run(world, run.id, key=OTHER)).problems
    assert (await resumed(world, run, key=KEY))[1] == 0
    monkeypatch.setenv(SNAPSHOT_KEY, "")
    run = await parked(world, "plain")
    assert (await verify_run(world, run.id)).snapshots == 1


@pytest.mark.parametrize("key", ["", "short", b"x" * 15])
async def test_a_key_that_is_too_short_is_told(world: World, key: str | bytes) -> None:
    with pytest.raises(UsageError, match="token_hex"):
        Worker(world, snapshot_key=key)
