"""The MongoDB world keeps the contracts, with either driver."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from perdure.testing.conformance import MakeWorld, check_world
from perdure_mongodb import MongoWorld
from perdure_mongodb.testing import Mongod

pytestmark = pytest.mark.slow


def test_the_world_passes(server: Mongod, url: str, database: str) -> None:
    """One database, emptied after each program: making one takes longer than most programs do.

    ``PERDURE_TIER=full`` makes it minutes.
    """

    @contextmanager
    def store() -> Generator[MakeWorld, None, None]:
        yield lambda clock: MongoWorld(url, clock=clock)
        with server.client() as client:
            made = client[database]
            for name in made.list_collection_names():
                if name != "meta":
                    made[name].delete_many({})

    check_world(store, tier=os.environ.get("PERDURE_TIER", "smoke"), seed=1)
