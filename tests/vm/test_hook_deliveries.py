"""Deliveries to hooks, and those that a guest does not know."""

from __future__ import annotations

import pytest

from perdure._protocol.codec import encode
from perdure._protocol.frames import GuestDelivery
from tests.vm.conftest import RunOf, ValueOf

ENTITIES = {
    "step": ("await work()", "step_1", "step_completed"),
    "wait": ("await sleep(5)", "wait_1", "wait_completed"),
    "hook": ("await createHook()", "hook_1", "hook_received"),
    "iterated hook": (
        "(await createHook()[Symbol.asyncIterator]().next()).value",
        "hook_1",
        "hook_received",
    ),
}


def delivery(kind: str, entity: str, position: int, value: object = None) -> GuestDelivery:
    payload = encode(value, where="payload")
    return GuestDelivery(position=position, at_ms=0, kind=kind, id=entity, value=payload)


@pytest.mark.parametrize(("awaited", "entity", "kind"), ENTITIES.values(), ids=ENTITIES)
def test_a_guest_passes_over_deliveries_that_it_does_not_know(
    run_of: RunOf, value_of: ValueOf, awaited: str, entity: str, kind: str
) -> None:
    run = run_of(
        'import { work } from "python:steps"; import { createHook, sleep } from "workflow";\n'
        f"export async function w() {{ return [{awaited}, 1]; }}"
    )
    run.start()
    answer = run.guest.resume(
        [delivery("child_ended", entity, 2), delivery("hook_registered", entity, 3)]
    )
    assert (answer.outcome, answer.open, answer.consumed) == (None, 1, 3)
    told = run.guest.resume([delivery(kind, entity, 4, 7)])
    assert value_of(told) == [7, 1]
