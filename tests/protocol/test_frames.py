"""Frames: what the host says and what it understands of a guest's answer."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given, strategies as st

from perdure._model.commands import (
    Command,
    Completed,
    DeliveryOutput,
    DisposeHook,
    Failed,
    Interrupted,
    OpenHook,
    Outcome,
    ScheduleStep,
    SetAttributes,
    StartWait,
)
from perdure._protocol.frames import (
    GuestDelivery,
    Limits,
    StartFrame,
    decode_answer,
    decode_result,
    encode_evaluate,
    encode_resume,
    encode_start,
)
from perdure.errors import ProtocolError
from perdure.model import EntityId

ANSWER: dict[str, object] = {
    "turns": [],
    "consumed": 1,
    "outcome": None,
    "unhandled": [],
    "instructions": 2,
    "heap_bytes": 3,
    "clock_ms": 4,
    "open": 5,
}
COMMANDS: list[tuple[dict[str, object], Command]] = [
    (
        {"type": "step", "id": "step_1", "step": "m:f", "args": b"a", "at": "w.ts:1:1"},
        ScheduleStep(id=EntityId("step_1"), step="m:f", args=b"a", at="w.ts:1:1"),
    ),
    (
        {"type": "wait", "id": "wait_2", "resume_at_ms": 9, "at": ""},
        StartWait(id=EntityId("wait_2"), resume_at_ms=9, at=""),
    ),
    (
        {
            "type": "hook",
            "id": "hook_3",
            "token": "t",
            "metadata": None,
            "webhook": True,
            "at": "",
        },
        OpenHook(id=EntityId("hook_3"), token="t", metadata=None, webhook=True, at=""),
    ),
    ({"type": "dispose", "id": "hook_3"}, DisposeHook(id=EntityId("hook_3"))),
    (
        {"type": "attributes", "id": "attributes_4", "changes": {"a": None}, "at": ""},
        SetAttributes(id=EntityId("attributes_4"), changes={"a": None}, at=""),
    ),
]


def test_a_start_frame_is_that_of_the_protocol_page() -> None:
    frame = StartFrame(
        run_id="run_a",
        workflow="w",
        seed=b"s",
        at_ms=7,
        input=b"\x80",
        limits=Limits(instructions=1, heap_bytes=2, payload_bytes=3),
    )
    assert cbor2.loads(encode_start(frame)) == {
        "run_id": "run_a",
        "workflow": "w",
        "seed": b"s",
        "at_ms": 7,
        "position": 1,
        "input": b"\x80",
        "limits": {"instructions": 1, "heap_bytes": 2, "payload_bytes": 3},
    }


@given(
    st.lists(
        st.builds(
            GuestDelivery,
            position=st.integers(0, 2**53),
            at_ms=st.integers(0, 2**53),
            kind=st.text(max_size=4),
            id=st.text(max_size=4),
            value=st.none() | st.binary(max_size=4),
        ),
        max_size=4,
    )
)
def test_a_resume_frame_has_every_delivery_in_order(deliveries: list[GuestDelivery]) -> None:
    found = cbor2.loads(encode_resume(deliveries))["deliveries"]
    assert [GuestDelivery(**fields) for fields in found] == deliveries


def test_an_evaluate_frame_has_the_source() -> None:
    assert cbor2.loads(encode_evaluate("1 + é")) == {"source": "1 + é"}


@given(st.lists(st.sampled_from(COMMANDS), max_size=5))
def test_commands_are_read_in_order(commands: list[tuple[dict[str, object], Command]]) -> None:
    turn = {
        "position": 6,
        "commands": [frame for frame, _ in commands],
        "console": [["log", "a"], ["error", "b"]],
    }
    answer = decode_answer(cbor2.dumps({**ANSWER, "turns": [turn], "unhandled": [b"u"]}))
    assert answer.turns == (
        DeliveryOutput(
            position=6,
            commands=tuple(command for _, command in commands),
            console=(("log", "a"), ("error", "b")),
        ),
    )
    assert (answer.consumed, answer.instructions, answer.heap_bytes) == (1, 2, 3)
    assert (answer.clock_ms, answer.open, answer.unhandled) == (4, 5, (b"u",))


@pytest.mark.parametrize(
    ("frame", "outcome"),
    [
        (None, None),
        ({"kind": "completed", "value": b"v"}, Completed(b"v")),
        ({"kind": "failed", "error": b"e"}, Failed(b"e")),
        ({"kind": "interrupted"}, Interrupted()),
    ],
)
def test_outcomes_are_read(frame: dict[str, object] | None, outcome: Outcome | None) -> None:
    assert decode_answer(cbor2.dumps({**ANSWER, "outcome": frame})).outcome == outcome


@pytest.mark.parametrize(
    "frame",
    [
        {},
        [],
        5,
        {**ANSWER, "turns": 5},
        {**ANSWER, "turns": [{"position": 1}]},
        {**ANSWER, "outcome": {"kind": "completed"}},
        {**ANSWER, "turns": [{"position": 1, "commands": [{"type": "step"}], "console": []}]},
        {**ANSWER, "turns": [{"position": 1, "commands": [], "console": [["one"]]}]},
    ],
)
def test_an_answer_of_another_shape_is_a_protocol_error(frame: object) -> None:
    with pytest.raises(ProtocolError, match="malformed"):
        decode_answer(cbor2.dumps(frame))


def test_an_unknown_command_is_named() -> None:
    commands = [{"type": "teleport", "id": "x_1"}]
    turn = {"position": 1, "commands": commands, "console": []}
    with pytest.raises(ProtocolError, match="unknown command 'teleport'"):
        decode_answer(cbor2.dumps({**ANSWER, "turns": [turn]}))


@given(st.binary(max_size=40))
def test_any_bytes_are_an_answer_or_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_answer(data)


@pytest.mark.parametrize(
    ("frame", "result"),
    [
        ({"ok": True}, (True, b"")),
        ({"ok": True, "value": b"v"}, (True, b"v")),
        ({"ok": False, "error": b"e"}, (False, b"e")),
    ],
)
def test_results_are_read(frame: dict[str, object], result: tuple[bool, bytes]) -> None:
    assert decode_result(cbor2.dumps(frame)) == result
