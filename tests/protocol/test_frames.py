"""Frames: what the host says and what it understands of a guest's answer."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given, strategies as st

from perdure._model.commands import (
    AskHook,
    AwaitAbort,
    CancelRun,
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
    StartChild,
    StartWait,
    WatchRun,
)
from perdure._protocol.frames import (
    BUILTIN_STEPS,
    GuestDelivery,
    Limits,
    StartFrame,
    decode_answer,
    decode_result,
    encode_evaluate,
    encode_resume,
    encode_start,
    imported_steps,
)
from perdure.errors import ProtocolError
from perdure.model import EntityId

COMMANDS: list[tuple[list[object], Command]] = [
    (
        ["step", "step_1", "m:f", b"a", "w.ts:1:1"],
        ScheduleStep(id=EntityId("step_1"), step="m:f", args=b"a", at="w.ts:1:1"),
    ),
    (["wait", "wait_2", 9, ""], StartWait(id=EntityId("wait_2"), resume_at_ms=9, at="")),
    (
        ["hook", "hook_3", "t", None, True, 0, False, ""],
        OpenHook(id=EntityId("hook_3"), token="t", metadata=None, webhook=True, at=""),
    ),
    (
        ["hook", "hook_3", "t", b"m", False, 9, True, "w.ts:1:1"],
        OpenHook(
            id=EntityId("hook_3"),
            token="t",
            metadata=b"m",
            webhook=False,
            keep_ms=9,
            force=True,
            at="w.ts:1:1",
        ),
    ),
    (["ask", "hook_3"], AskHook(id=EntityId("hook_3"))),
    (["listen", "abort_3", "w.ts:1:1"], AwaitAbort(id=EntityId("abort_3"), at="w.ts:1:1")),
    (["dispose", "hook_3"], DisposeHook(id=EntityId("hook_3"))),
    (
        ["attributes", "attributes_4", {"a": None}, ""],
        SetAttributes(id=EntityId("attributes_4"), changes={"a": None}, at=""),
    ),
    (
        ["start", "child_5", "w.ts#f", "f", b"i", {"a": "b"}, None, "run_c", False, ""],
        StartChild(
            id=EntityId("child_5"),
            entry="w.ts#f",
            name="f",
            input=b"i",
            attributes={"a": "b"},
            token=None,
            run_id="run_c",
            asks=False,
            at="",
        ),
    ),
    (
        ["start", "child_6", "w.ts#f", "f", b"i", {}, "t", "run_k", True, "w.ts:1:1"],
        StartChild(
            id=EntityId("child_6"),
            entry="w.ts#f",
            name="f",
            input=b"i",
            attributes={},
            token="t",
            run_id="run_k",
            asks=True,
            at="w.ts:1:1",
        ),
    ),
    (
        ["watch", "watch_7", "run_c", ""],
        WatchRun(id=EntityId("watch_7"), run_id="run_c", at=""),
    ),
    (
        ["cancel", "cancel_8", "run_c", b"why", 5, True, ""],
        CancelRun(
            id=EntityId("cancel_8"),
            run_id="run_c",
            reason=b"why",
            graceful_ms=5,
            children=True,
            at="",
        ),
    ),
]


def answer_frame(
    turns: object = (), outcome: object = None, unhandled: object = ()
) -> list[object]:
    """An answer frame with nothing in it but this."""
    return [turns, 1, outcome, unhandled, 2, 3, 4, 5]


def test_a_start_frame_is_that_of_the_protocol_page() -> None:
    frame = StartFrame(
        run_id="run_a",
        workflow="w",
        seed=b"s",
        at_ms=7,
        input=b"\x80",
        limits=Limits(instructions=1, heap_bytes=2, payload_bytes=3),
        url="https://example.com",
        hook="order-17",
        entry="w.ts#f",
    )
    assert cbor2.loads(encode_start(frame)) == {
        "run_id": "run_a",
        "workflow": "w",
        "seed": b"s",
        "at_ms": 7,
        "position": 1,
        "input": b"\x80",
        "url": "https://example.com",
        "hook": "order-17",
        "entry": "w.ts#f",
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
    assert cbor2.loads(encode_resume(deliveries)) == [
        [d.position, d.at_ms, d.kind, d.id, d.value] for d in deliveries
    ]


def test_an_evaluate_frame_has_the_source() -> None:
    assert cbor2.loads(encode_evaluate("1 + é")) == {"source": "1 + é"}


@given(st.lists(st.sampled_from(COMMANDS), max_size=5))
def test_commands_are_read_in_order(commands: list[tuple[list[object], Command]]) -> None:
    turn = [6, [frame for frame, _ in commands], [["info", "a"], ["error", "b"]]]
    answer = decode_answer(cbor2.dumps(answer_frame([turn], unhandled=[b"u"])))
    assert answer.turns == (
        DeliveryOutput(
            position=6,
            commands=tuple(command for _, command in commands),
            console=(("info", "a"), ("error", "b")),
        ),
    )
    assert (answer.consumed, answer.instructions, answer.heap_bytes) == (1, 2, 3)
    assert (answer.clock_ms, answer.open, answer.unhandled) == (4, 5, (b"u",))


@pytest.mark.parametrize(
    ("frame", "outcome"),
    [
        (None, None),
        (["completed", b"v"], Completed(b"v")),
        (["failed", b"e"], Failed(b"e")),
        (["interrupted"], Interrupted()),
    ],
)
def test_outcomes_are_read(frame: list[object] | None, outcome: Outcome | None) -> None:
    assert decode_answer(cbor2.dumps(answer_frame(outcome=frame))).outcome == outcome


@pytest.mark.parametrize(
    "frame",
    [
        {},
        [],
        5,
        answer_frame()[:-1],
        [*answer_frame(), 6],
        answer_frame(5),
        answer_frame([[1]]),
        answer_frame(outcome=[]),
        answer_frame(outcome=["completed"]),
        answer_frame(outcome=["failed", b"e", 1]),
        answer_frame([[1, [["step"]], []]]),
        answer_frame([[1, [5], []]]),
        answer_frame([[1, [], [["one"]]]]),
    ],
)
def test_an_answer_of_another_shape_is_a_protocol_error(frame: object) -> None:
    with pytest.raises(ProtocolError, match="malformed"):
        decode_answer(cbor2.dumps(frame))


LONG = "x" * 70_000
WRONG: list[object] = [None, True, 5, -1, 1.5, "", "x", b"x", [], {}, LONG, 2**60, cbor2.undefined]


def is_like(value: object, wrong: object) -> bool:
    """Whether *wrong* may stand where *value* does: fields of one type, in range."""
    if type(value) is not type(wrong):
        return False
    if isinstance(wrong, str):
        return wrong in ("", "x") and value in ("", "t", "m:f", "w.ts:1:1", "a")
    if isinstance(wrong, int):
        return 0 <= wrong <= 2**53
    return not isinstance(wrong, bool) and wrong != []


PLACES = [(frame, at) for frame, _ in COMMANDS for at in range(len(frame))]


def _is_other_text(frame: list[object], at: int, wrong: object) -> bool:
    """Whether a start or watch may have this text there, or no token."""
    is_token = frame[0] == "start" and at == 6
    if frame[0] == "start" and at == 2:
        return False
    return (wrong == "x" and (is_token or isinstance(frame[at], str))) or (
        is_token and wrong is None
    )


@pytest.mark.parametrize(("frame", "at"), PLACES)
def test_each_field_of_a_command_has_its_type(frame: list[object], at: int) -> None:
    for wrong in WRONG:
        if is_like(frame[at], wrong) or (frame[0] == "hook" and at == 3 and wrong in (None, b"x")):
            continue
        if isinstance(frame[at], dict) and wrong == {}:
            continue
        if frame[0] == "hook" and at == 4 and wrong is True:
            continue
        turn = [1, [[*frame[:at], wrong, *frame[at + 1 :]]], []]
        if frame[0] == "hook" and at == 2 and wrong == "x":
            continue
        if frame[0] == "cancel" and (at, wrong) in ((2, "x"), (3, None), (4, None)):
            continue
        if frame[0] in ("start", "watch") and at > 1 and _is_other_text(frame, at, wrong):
            continue
        with pytest.raises(ProtocolError, match="malformed"):
            decode_answer(cbor2.dumps(answer_frame([turn])))


@pytest.mark.parametrize(
    "command",
    [
        ["teleport", "x_1"],
        [["step"], "step_1", "m:f", b"", ""],
        ["step", "wait_1", "m:f", b"", ""],
        ["step", "step_", "m:f", b"", ""],
        ["step", "step_1x", "m:f", b"", ""],
        ["step", "step_" + "1" * 40, "m:f", b"", ""],
        ["step", "step_1", "m:f" * 1000, b"", ""],
        ["step", "step_1", "m:f", b"", "w" * 301],
        ["wait", "wait_1", 8_640_000_000_000_001, ""],
        ["hook", "hook_1", "", None, False, 0, False, ""],
        ["hook", "hook_1", "t" * 501, None, False, 0, False, ""],
        ["hook", "hook_1", "t", None, {}, 0, False, ""],
        ["hook", "hook_1", "t", None, 1, 0, False, ""],
        ["hook", "hook_1", "t", None, False, 8_640_000_000_000_001, False, ""],
        ["hook", "hook_1", "t", None, False, 0, 1, ""],
        ["hook", "hook_1", "t", None, False, ""],
        ["ask", "step_1"],
        ["listen", "hook_1", ""],
        ["listen", "abort_1", None],
        ["start", "step_1", "w.ts#f", "f", b"", {}, None, "run_c", False, ""],
        ["start", "child_1", "w.ts#f", "f", b"", {}, "", "run_c", False, ""],
        ["start", "child_1", "w.ts#f", "f", b"", {}, "t" * 501, "run_c", False, ""],
        ["start", "child_1", "w.ts#f", "f", b"", {"a": None}, None, "run_c", False, ""],
        ["start", "child_1", "w.ts#f", "f", b"", [], None, "run_c", False, ""],
        ["start", "child_1", "w.ts#f", "f", b"", {}, None, "", False, ""],
        ["start", "child_1", "w.ts#f", "f", b"", {}, None, "r" * 201, False, ""],
        ["start", "child_1", "w.ts#f", "f", b"", {}, None, "run_c", 1, ""],
        ["watch", "child_1", "run_c", ""],
        ["watch", "watch_1", "", ""],
        ["cancel", "cancel_1", "", None, None, False, ""],
        ["cancel", "cancel_1", "run_c", "why", None, False, ""],
        ["cancel", "cancel_1", "run_c", None, -1, False, ""],
        ["cancel", "cancel_1", "run_c", None, 2**53, False, ""],
        ["cancel", "cancel_1", "run_c", None, 8_640_000_000_000_001, False, ""],
        ["cancel", "cancel_1", "run_c", None, None, 1, ""],
        ["attributes", "attributes_1", {"a": 1}, ""],
        ["attributes", "attributes_1", {1: "a"}, ""],
        ["attributes", "attributes_1", {"a": "b" * 20_000}, ""],
    ],
)
def test_a_command_out_of_its_range_is_refused(command: list[object]) -> None:
    with pytest.raises(ProtocolError, match="malformed"):
        decode_answer(cbor2.dumps(answer_frame([[1, [command], []]])))


@pytest.mark.parametrize("at", range(8))
def test_each_field_of_an_answer_has_its_type(at: int) -> None:
    frame = answer_frame([[1, [], [["info", "a"]]]], ["completed", b"v"], [b"u"])
    others: list[object] = [True, -1, 1.5, "x", b"x", {}, [1], [[1]], 2**60, cbor2.undefined]
    for wrong in others:
        with pytest.raises(ProtocolError, match="malformed"):
            decode_answer(cbor2.dumps([*frame[:at], wrong, *frame[at + 1 :]]))


@pytest.mark.parametrize("line", [["log", "a"], [1, "a"], ["info", 1], ["info", LONG], ["info"]])
def test_a_console_line_is_a_level_and_a_text(line: list[object]) -> None:
    with pytest.raises(ProtocolError, match="malformed"):
        decode_answer(cbor2.dumps(answer_frame([[1, [], [line]]])))


@pytest.mark.parametrize("frame", [5, [], {}, {"ok": 1}, {"ok": False}, {"ok": True, "error": b""}])
def test_a_result_of_another_shape_is_a_protocol_error(frame: object) -> None:
    with pytest.raises(ProtocolError, match="no result"):
        decode_result(cbor2.dumps(frame))


def test_the_steps_of_a_bundle_are_what_its_modules_import() -> None:
    bundle = {"steps": {"python:a": {"f": "a:f", "g": "a:g"}, "python:b": {"f": "b:f"}}}
    imported = imported_steps(cbor2.dumps(bundle)) - BUILTIN_STEPS
    assert imported == {"a:f", "a:g", "b:f"}


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
