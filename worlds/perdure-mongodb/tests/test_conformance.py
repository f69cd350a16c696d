"""The MongoDB world keeps the contracts, with either driver."""

from __future__ import annotations

import itertools
import os
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from faulty_driver import fail_commands

from perdure.testing.conformance import MakeWorld, check_world
from perdure_mongodb import MongoWorld
from perdure_mongodb.testing import Mongod

pytestmark = pytest.mark.slow


def test_the_world_passes(server: Mongod, database: str, driver: str) -> None:
    """``PERDURE_TIER=full`` makes it minutes."""
    made = itertools.count()

    @contextmanager
    def store() -> Generator[MakeWorld, None, None]:
        name = f"{database}n{next(made)}"
        url = f"{server.url(name)}&driver={driver}"
        yield lambda clock: MongoWorld(url, clock=clock)
        with server.client() as client:
            client.drop_database(name)

    tier = os.environ.get("PERDURE_TIER", "smoke")
    check_world(store, tier=tier, seed=1, fail_io=fail_commands)
