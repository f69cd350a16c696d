"""The S3 world keeps the contracts, on both servers."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from wrapped import fail_requests

from perdure.testing.conformance import MakeWorld, Store, Tier, certify, check_world
from perdure.worldkit.clock import Clock
from perdure_s3 import S3World
from perdure_s3.testing import Server

pytestmark = pytest.mark.slow

TIER = Tier(os.environ.get("PERDURE_TIER", "smoke"))


def store_on(server: Server) -> Store:
    """Fresh storage is a prefix of its own."""

    @contextmanager
    def store() -> Generator[MakeWorld, None, None]:
        url = server.url()

        def make(clock: Clock) -> S3World:
            return S3World(url, clock=clock)

        yield make

    return store


def test_the_s3_world_passes_on_ministack(ministack: Server) -> None:
    check_world(store_on(ministack), tier=TIER, seed=1, fail_io=fail_requests)


def test_the_s3_world_passes_on_seaweedfs(seaweed: Server) -> None:
    """In the smoke tier without the machines that the one for everything contains or repeats."""

    def wanted(name: str) -> bool:
        return TIER is Tier.FULL or name.startswith("everything") or "random" not in name

    report = certify(store_on(seaweed), tier=TIER, seed=1, only=wanted, fail_io=fail_requests)
    assert report.passed, [check for check in report.checks if not check.passed]
    assert len(report.checks) >= 8
