"""The body of a step's message, as a store gives it back."""

from __future__ import annotations

import pytest

from perdure._model.commands import ScheduleStep
from perdure._model.ids import EntityId
from perdure._runtime.worker.step_call import StepCall
from perdure.errors import WorldContractError
from tests.damage import DAMAGE


def test_a_call_survives_its_message() -> None:
    command = ScheduleStep(id=EntityId("step_1"), step="s", args=b"\x80", at="here")
    body = StepCall.encode(
        command, workflow="w", run_started_ms=1, created_ms=2, base_url="https://a.b", bundle="b"
    )
    assert StepCall.decoded(body) == StepCall(
        entity=EntityId("step_1"),
        step="s",
        args=b"\x80",
        workflow="w",
        run_started_ms=1,
        created_ms=2,
        base_url="https://a.b",
    )


def test_the_message_of_a_step_in_javascript_names_the_bundle() -> None:
    command = ScheduleStep(id=EntityId("step_1"), step="step//a//f", args=b"\x80", at="here")
    body = StepCall.encode(
        command, workflow="w", run_started_ms=1, created_ms=2, base_url="", bundle="b"
    )
    assert StepCall.decoded(body).bundle == "b"


@pytest.mark.parametrize(
    "damage", [*DAMAGE, "few parts", "other types", "many parts", "odd bundle"]
)
def test_a_message_that_cannot_be_read_is_named(damage: str) -> None:
    others = {"few parts": b"\x81\x01", "other types": b"\x87\x01\x01\x01\x01\x01\x01\x01"}
    sound = b"\x61a\x61b\x40\x61w\x01\x02\x60"
    others |= {"many parts": b"\x89" + sound + b"\x60\x60", "odd bundle": b"\x88" + sound + b"\x01"}
    with pytest.raises(WorldContractError, match="a step's message cannot be read"):
        StepCall.decoded((DAMAGE | others)[damage])
