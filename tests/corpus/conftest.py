"""Fixtures of the corpus."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from perdure.testing.clock import ManualClock
from tests.corpus.cases import LATER_MS
from tests.corpus.engine import find_engine
from tests.corpus.packing import read

if TYPE_CHECKING:
    from perdure.abc import World


@pytest.fixture
async def stored(world_name: str, url: str) -> AsyncIterator[World]:
    """A store of the corpus, two days later, without the engine of its runs."""
    from tests.corpus.stores import MAKE, load  # drivers of databases

    await load(world_name, url, read()["stores"][world_name])
    async with MAKE[world_name](url, ManualClock(LATER_MS)) as world:
        yield world


@pytest.fixture
async def kept(stored: World) -> World:
    """The same, with the engine of its runs."""
    engine = find_engine()
    if engine is None:
        pytest.skip("the corpus is of another engine than this tree: `nox -s corpus` builds it")
    await stored.blobs.put(read()["engine"], engine)
    return stored
