"""The S3 world keeps the contracts, on both servers."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from servers import Server

from perdure.testing.conformance import MakeWorld, Tier, check_world
from perdure_s3 import S3World

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["ministack", "seaweed"])
def test_the_s3_world_passes(request: pytest.FixtureRequest, name: str) -> None:
    server: Server = request.getfixturevalue(name)

    @contextmanager
    def store() -> Generator[MakeWorld, None, None]:
        url = server.url()
        yield lambda clock: S3World(url, clock=clock)

    check_world(store, tier=Tier(os.environ.get("PERDURE_TIER", "smoke")), seed=1)
