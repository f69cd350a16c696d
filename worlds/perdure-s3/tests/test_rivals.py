"""Writers of one object, of whom others write whenever one pauses: each lands all the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import count
from typing import TypeAlias

import anyio
import anyio.lowlevel
import pytest
from s3_values import RUN, event, new_run

from perdure.model import Append, RunId
from perdure_s3 import S3World

pytestmark = pytest.mark.anyio

Write: TypeAlias = Callable[[S3World, str], Awaitable[object]]


async def to_the_index(world: S3World, name: str) -> None:
    """A run that is due at once."""
    await world.storage.create_run(replace(new_run(), run_id=RunId(name)))


async def to_a_head(world: S3World, name: str) -> None:
    """An event of the same run."""
    await world.storage.append(Append(run_id=RUN, event=event(name), wake=False))


@pytest.mark.parametrize("write", [to_the_index, to_a_head], ids=lambda write: write.__name__)
async def test_who_pauses_reads_again_before_it_writes(
    url: str, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    names, is_writing = (f"rival-{n}" for n in count()), False

    async with S3World(url) as world, S3World(url) as rival:

        async def pause(seconds: float) -> None:
            nonlocal is_writing
            if not is_writing:
                is_writing = True
                await write(rival, next(names))
                is_writing = False
            await anyio.lowlevel.checkpoint()

        await world.storage.create_run(new_run())
        await write(world, "first")
        await write(rival, next(names))  # what the other knows is old from here on
        monkeypatch.setattr(anyio, "sleep", pause)
        await write(world, "second")
        monkeypatch.undo()
    assert next(names) == "rival-2"  # one pause was enough
