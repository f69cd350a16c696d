"""The check of worlds that are not open calls every method there is."""

from __future__ import annotations

from typing import cast

import pytest

from perdure import abc
from perdure.model import RunCopy
from perdure.testing.conformance._edges import calls_of
from perdure.testing.memory import MemoryWorld

CONTRACTS = {
    "storage": abc.Storage,
    "catalogue": abc.Catalogue,
    "queue": abc.Queue,
    "snapshots": abc.Snapshots,
    "streams": abc.Streams,
    "blobs": abc.Blobs,
    "transfer": abc.Transfer,
}


@pytest.mark.parametrize("contract", CONTRACTS)
def test_every_method_of_every_contract_is_called_on_a_closed_world(contract: str) -> None:
    methods = CONTRACTS[contract].__abstractmethods__
    calls = calls_of(MemoryWorld(), cast(RunCopy, None))
    called = {name.partition(" ")[0] for name in calls}
    assert {f"{contract}.{method}" for method in methods} <= called


def test_every_contract_is_there() -> None:
    assert set(CONTRACTS) == set(abc.World.__annotations__)
