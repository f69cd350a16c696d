"""The guest of a step: nothing of one execution is there in the next; frames that are none."""

from __future__ import annotations

import ctypes

import cbor2
import pytest

from perdure._protocol.codec import encode
from perdure._steps.frames import StepFrame, decode_answer, encode_call, step_bundle
from perdure._steps.limits import StepLimits
from perdure._vm.guest import step_engine
from perdure._vm.image import Baseline
from perdure._vm.instance import Instance
from perdure._vm.spares import Spares
from perdure._vm.stack import run_with_room
from perdure.errors import GuestError, ProtocolError
from tests.steps.by_hand import PREFIX, flow_of

STEPS = """
globalThis.secret = "of the module";
step("f", async (text) => {
  globalThis.mine = text + text;
  Object.prototype.polluted = text;
  Array.prototype.push = () => { throw new Error(text); };
  return globalThis.mine.length;
});
"""


def call_of(text: str) -> bytes:
    run = {"id": "run_a", "workflow": "w", "started_ms": 1, "url": "", "encryption": False}
    step = {"id": "run_a/step_1", "name": "f", "attempt": 1, "started_ms": 1}
    return encode_call(
        StepFrame(
            step=PREFIX + "f",
            input=encode([[text], None, []], where="input"),
            seed=bytes(range(32)),
            metadata={"run": run, "step": step},
            env={"KEY": text},
            limits=StepLimits(),
        )
    )


def memory_of(guest: Instance) -> bytes:
    return ctypes.string_at(guest.address, guest.memory_bytes)


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    parts, _ = step_bundle(flow_of("", STEPS).compile().encoded)
    return run_with_room(lambda: Baseline.build_for_steps(step_engine(), parts, Spares()))


def test_memory_is_at_its_baseline_again_byte_for_byte(baseline: Baseline) -> None:
    def play() -> None:
        first = baseline.instantiate()
        fresh = memory_of(first)
        address = first.address
        answer = decode_answer(first.exchange(b"call", call_of("a secret of its own")))
        assert answer.outcome is not None
        assert answer.outcome.is_result
        assert b"a secret of its own" in memory_of(first)
        first.close()
        second = baseline.instantiate()
        assert second.address == address  # else this test shows nothing
        again, stack = memory_of(second), second.layout.stack_pointer
        assert again[stack:] == fresh[stack:]
        assert not any(again[:stack])  # where a new one has what is left of its boot
        second.close()

    run_with_room(play)


def test_two_guests_at_a_time_share_nothing(baseline: Baseline) -> None:
    def play() -> None:
        one, other = baseline.instantiate(), baseline.instantiate()
        one.exchange(b"call", call_of("the secret of one"))
        other.exchange(b"call", call_of("another"))
        assert b"the secret of one" not in memory_of(other)
        one.close()
        other.close()

    run_with_room(play)


FRAMES: list[list[tuple[bytes, bytes]]] = [  # calls of a fresh guest, the last of which is refused
    [(b"deliver", cbor2.dumps([]))],
    [(b"call", b"\xff")],
    [(b"call", cbor2.dumps(1))],
    [(b"call", call_of("a")), (b"call", call_of("a"))],
    [(b"call", call_of("a")), (b"deliver", cbor2.dumps([]))],
    [(b"load", cbor2.dumps({}))],
]


@pytest.mark.parametrize("frames", FRAMES)
def test_a_frame_that_is_none_is_refused(
    baseline: Baseline, frames: list[tuple[bytes, bytes]]
) -> None:
    def play() -> None:
        guest = baseline.instantiate()
        *before, last = frames
        try:
            for frame in before:
                guest.exchange(*frame)
            with pytest.raises(ProtocolError):
                guest.exchange(*last)
        finally:
            guest.close()

    run_with_room(play)


@pytest.mark.parametrize(
    ("index", "value"),
    [
        *((0, value) for value in (None, [1], [[1, 2]], [["timer", "x"]], [["timer", -1]])),
        *((1, value) for value in ([["loud", "x"]], [["info", 1]], [["info", "x" * 70_000]])),
        *((2, value) for value in (1, ["done", b""], ["completed", "text"], ["failed"])),
        *((3, value) for value in (None, ["text"])),
        *((k, value) for k in (4, 5, 6, 7) for value in (-1, 1.5, "1", True, 2**60)),
        (8, "more"),
    ],
)
def test_an_answer_with_a_field_that_is_none_is_refused(index: int, value: object) -> None:
    answer: list[object] = [[], [], None, [], None, None, 0, 0]
    decode_answer(cbor2.dumps(answer))
    answer[index : index + 1] = [value]
    with pytest.raises(ProtocolError, match="the step guest's answer is malformed"):
        decode_answer(cbor2.dumps(answer))


def test_modules_that_do_not_compile_are_told_by_place() -> None:
    parts, _ = step_bundle(flow_of("", "step('f', () => {").compile().encoded)
    with pytest.raises(GuestError, match="SyntaxError"):
        run_with_room(lambda: Baseline.build_for_steps(step_engine(), parts, Spares()))
