"""A run's secret: nobody who knows its id or key can compute its random numbers and tokens."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from perdure import Worker, Workflow, start
from perdure._runtime.carrier.heap import _seed
from perdure._runtime.inspect.audit import verify_run
from perdure._runtime.start import run_id_for_key, start_again
from perdure.abc import World
from perdure.model import Digest, NewRun, RunId
from perdure.testing.memory import MemoryWorld
from perdure.worldkit.pure import fresh_record
from tests.worlds import EVERY_WORLD, IN_MEMORY

pytestmark = pytest.mark.anyio

FLOW = Workflow.from_source(
    'export async function flow() { "use workflow"; return [Math.random(), crypto.randomUUID()]; }',
    filename="flow.ts",
)


async def secret_of(world: World, run_id: str) -> bytes:
    return (await world.storage.get_run(RunId(run_id))).secret


@IN_MEMORY
async def test_one_key_in_two_worlds_has_two_secrets_and_other_randomness() -> None:
    secrets: list[bytes] = []
    results: list[object] = []
    for name in ("memory://secrets-1", "memory://secrets-2"):
        async with MemoryWorld(name) as world, Worker(world):
            run = await start(FLOW, world=world, idempotency_key="order-17")
            results.append(await run.result(timeout=30))
            secrets.append(await secret_of(world, run_id_for_key("order-17")))
            again = await start(FLOW, world=world, idempotency_key="order-17")
            assert await secret_of(world, again.id) == secrets[-1], "the stored one stays"
            anew = await start_again(world, run.id)
            secrets.append(await secret_of(world, anew.id))
    assert [len(secret) for secret in secrets] == [32] * 4
    assert len({*secrets}) == 4
    assert results[0] != results[1]


@EVERY_WORLD
async def test_a_run_is_made_from_its_log_with_the_same_randomness(world: World) -> None:
    async with Worker(world):
        run = await start(FLOW, world=world)
        await run.result(timeout=30)
        assert (await verify_run(world, run.id)).passed


def test_a_seed_is_of_the_secret_and_the_run_and_without_a_secret_of_the_run_alone() -> None:
    digest = Digest("d" * 64)
    new = NewRun(
        run_id=RunId("run_a"),
        workflow="w",
        bundle=digest,
        engine=digest,
        input=b"\x80",
        created_at_ms=1,
    )
    record = fresh_record(new)
    assert _seed(record) == hashlib.sha256(b"run_a").digest()
    with_secret = replace(record, secret=b"s" * 32)
    others = (
        replace(record, secret=b"t" * 32),
        replace(with_secret, run_id=RunId("run_b")),
        record,
        with_secret,
    )
    assert len({_seed(one) for one in others}) == 4
