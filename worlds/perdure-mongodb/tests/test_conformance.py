"""The MongoDB world keeps the contracts, with either driver."""

from __future__ import annotations

import itertools
import os
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from perdure.testing.conformance import MakeWorld, Tier, certify
from perdure_mongodb import MongoWorld
from perdure_mongodb.testing import Mongod

pytestmark = pytest.mark.slow


def test_the_world_passes(server: Mongod, database: str, driver: str) -> None:
    """A database for each store that is in use, emptied for the next: making one takes longer.

    With PyMongo's client, in the smoke tier, without the machines that the one for everything
    contains. ``PERDURE_TIER=full`` makes it minutes.
    """
    tier = Tier(os.environ.get("PERDURE_TIER", "smoke"))
    free: list[str] = []
    made = itertools.count()

    @contextmanager
    def store() -> Generator[MakeWorld, None, None]:
        name = free.pop() if free else f"{database}n{next(made)}"
        url = f"{server.url(name)}&driver={driver}"
        yield lambda clock: MongoWorld(url, clock=clock)
        with server.client() as client:
            for collection in client[name].list_collection_names():
                if collection != "meta":
                    client[name][collection].delete_many({})
        free.append(name)

    def wanted(name: str) -> bool:
        whole = tier is Tier.FULL or driver == "motor"
        return whole or name.startswith("everything") or "random" not in name

    try:
        report = certify(store, tier=tier, seed=1, only=wanted)
        assert report.passed, [check for check in report.checks if not check.passed]
        assert len(report.checks) > 30
    finally:
        with server.client() as client:
            for number in range(next(made)):
                client.drop_database(f"{database}n{number}")
