"""Making: the corpus anew, from this tree. ``python -m tests.corpus.making``

Runs of every kind are begun on every world whose store can be kept, and frozen where they wait; the
stores are packed into ``corpus.xz``, and its digest is printed, which ``test_corpus.py`` names. It
is made once for each release, and kept: later trees carry on what is in it. The stores are kept
without their engine, see ``engine.py``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio

from perdure import Worker, get_run, resume_hook
from perdure._vm.guest import default_engine
from perdure.abc import Blobs, World
from perdure.errors import HookNotFoundError
from perdure.model import Digest, RunFilter, RunId
from perdure.testing.clock import ManualClock
from perdure_mongodb.testing import replica_set
from perdure_s3.testing import KEYS, running_ministack
from tests.corpus.cases import CASES, CLOCK_MS, begin
from tests.corpus.corpus_steps import HERE
from tests.corpus.engine import sources_of_tree
from tests.corpus.packing import FILE, digest_of, pack
from tests.corpus.stores import MAKE, dump

QUIET_S = 2.0  # without an event, and all is frozen


class WithoutEngine(Blobs):
    """The blobs of a world, but for the engine."""

    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs

    async def put(self, digest: Digest, data: bytes, *, run_id: RunId | None = None) -> None:
        if digest != default_engine().digest:
            await self.blobs.put(digest, data, run_id=run_id)

    async def get(self, digest: Digest, *, run_id: RunId | None = None) -> bytes:
        return await self.blobs.get(digest, run_id=run_id)

    async def has(self, digest: Digest, *, run_id: RunId | None = None) -> bool:
        return digest == default_engine().digest or await self.blobs.has(digest, run_id=run_id)


async def fill(world: World) -> None:
    """Begin the runs, and have them frozen."""
    world.blobs = WithoutEngine(world.blobs)
    async with Worker(world, steps=HERE):
        for name, case in CASES.items():
            if name != "pending":
                await begin(name, world)
            for token, payload in case.before:
                await _resume(token, payload, world)
        await _quiet(world)
        await get_run("corpus-cancelled", world=world).cancel("of no use")
        asked = get_run("corpus-asked", world=world)
        await asked.cancel("in good order", graceful=timedelta(days=9))
        await _quiet(world)
    await begin("pending", world)


async def _resume(token: str, payload: Any, world: World) -> None:
    while True:
        try:
            await resume_hook(token, payload, world=world)
        except HookNotFoundError:
            await anyio.sleep(0.05)
        else:
            return


async def _quiet(world: World) -> None:
    before: list[int] = []
    while True:
        runs = (await world.catalogue.list_runs(RunFilter())).runs
        positions = [(await world.storage.get_run(RunId(run.run_id))).position for run in runs]
        if positions == before:
            return
        before = positions
        await anyio.sleep(QUIET_S)


@contextmanager
def stores(folder: Path) -> Generator[dict[str, str], None, None]:
    """URLs of empty stores, by the name of their world."""
    os.environ.update(KEYS)
    with running_ministack() as server, replica_set(folder) as (mongod,):
        yield {
            "sqlite": f"sqlite:///{folder}/corpus.db",
            "mongodb": mongod.url("corpus"),
            "s3": server.url(),
        }


async def make(urls: dict[str, str]) -> dict[str, Any]:
    """The contents of the stores, filled, and what engine they need."""
    contents: dict[str, Any] = {}
    for name, url in urls.items():
        async with MAKE[name](url, ManualClock(CLOCK_MS)) as world:
            await fill(world)
        contents[name] = await dump(name, url)
    engine, sources = default_engine().digest, sources_of_tree()
    return {"engine": engine, "sources": sources, "stores": contents}


def main() -> None:
    """Make it."""
    with tempfile.TemporaryDirectory() as folder, stores(Path(folder)) as urls:
        data = pack(anyio.run(make, urls))
    FILE.write_bytes(data)
    print(f"{len(data):,} bytes, digest {digest_of(data)}")


if __name__ == "__main__":
    main()
