"""Values: frozen, and consistent with one another."""

from __future__ import annotations

import dataclasses
import importlib
import pickle
import pkgutil
from enum import Enum

import pytest
from hypothesis import given, strategies as st

from perdure import _model
from perdure._core.transitions import ENTITY_OF, TABLES, EntityKind
from perdure._model.events import DELIVERED
from perdure.model import EventType, Lease, RunStatus

MODULES = [
    importlib.import_module(f"{_model.__name__}.{found.name}")
    for found in pkgutil.iter_modules(_model.__path__)
]
VALUES = [
    value
    for module in MODULES
    for name in module.__all__
    if isinstance(value := getattr(module, name), type) and dataclasses.is_dataclass(value)
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.__name__)
def test_every_value_is_frozen_slotted_and_says_what_it_is(value: type) -> None:
    assert vars(value)["__dataclass_params__"].frozen
    assert "__slots__" in vars(value)
    assert value.__doc__
    assert not value.__doc__.startswith(f"{value.__name__}(")


@given(st.integers(0, 99), st.integers(0, 99))
def test_a_lease_is_dead_at_the_instant_it_expires(expires: int, now: int) -> None:
    lease = Lease(item="run_1", token="t", is_wake=True, expires_at_ms=expires)
    assert lease.is_live(now_ms=now) == (now < expires)
    assert pickle.loads(pickle.dumps(lease)) == lease


# Where a run is, which its log goes on after.
AWAY = frozenset({RunStatus.MOVING, RunStatus.MOVED})


@pytest.mark.parametrize("status", sorted(set(RunStatus) - AWAY))
def test_a_status_has_ended_where_the_table_ends(status: RunStatus) -> None:
    assert status.is_ended == status.is_over == (not TABLES[EntityKind.RUN][status.value])


def test_a_run_that_is_away_has_ended_here_and_is_over_once_it_has_arrived() -> None:
    assert all(status.is_ended for status in AWAY)
    assert [status for status in sorted(AWAY) if status.is_over] == [RunStatus.MOVED]


@pytest.mark.parametrize("kind", EventType)
def test_what_is_delivered_belongs_to_what_the_guest_can_await(kind: EventType) -> None:
    assert (ENTITY_OF[kind] is not EntityKind.RUN) or kind not in DELIVERED - {
        EventType.RUN_CREATED,
        EventType.CANCEL_REQUESTED,  # which ends what it awaits
    }


def test_names_of_enums_are_their_values() -> None:
    for module in MODULES:
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, type) and issubclass(value, Enum):
                assert all(member.value in (member.name.lower(), member.name) for member in value)
