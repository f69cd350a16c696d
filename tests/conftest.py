"""Fixtures that every folder shares."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import settings

from perdure.abc import World
from perdure.worlds import open_world

# How long an example takes says more about the machine than about us.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


@pytest.fixture
def anyio_backend() -> str:
    """Tests run on asyncio, as services that use Perdure do."""
    return "asyncio"


@pytest.fixture(params=["memory", "sqlite"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """An open, empty world of each kind."""
    urls = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/perdure.db"}
    async with open_world(urls[request.param]) as made:
        yield made
