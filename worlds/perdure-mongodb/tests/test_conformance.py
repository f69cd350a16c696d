"""The MongoDB world keeps the contracts, with either driver."""

from __future__ import annotations

import itertools
import os
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from faulty_driver import fail_commands
from mongo_values import apart

from perdure.testing.conformance import MakeWorld, Tier, certify
from perdure_mongodb import MongoWorld
from perdure_mongodb.testing import Mongod

pytestmark = pytest.mark.slow


def test_the_world_passes(server: Mongod, database: str, driver: str) -> None:
    """With PyMongo's client, in the smoke tier, without what the check of everything contains.

    Of two clients of a store each has a connection of its own, as in two processes.
    ``PERDURE_TIER=full`` makes it minutes.
    """
    tier = Tier(os.environ.get("PERDURE_TIER", "smoke"))
    made = itertools.count()

    @contextmanager
    def store() -> Generator[MakeWorld, None, None]:
        name = f"{database}n{next(made)}"
        urls = itertools.cycle(apart(f"{server.url(name)}&driver={driver}"))
        yield lambda clock: MongoWorld(next(urls), clock=clock)
        with server.client() as client:
            client.drop_database(name)

    def wanted(name: str) -> bool:
        whole = tier is Tier.FULL or driver == "motor"
        return whole or name.startswith("everything") or "random" not in name

    report = certify(store, tier=tier, seed=1, only=wanted, fail_io=fail_commands)
    assert report.passed, [check for check in report.checks if not check.passed]
    assert len(report.checks) > 30
