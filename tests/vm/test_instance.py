"""Instances: turns, failures, interruption, reuse of memory."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from perdure._model.commands import Completed, Failed, Interrupted, ScheduleStep
from perdure._protocol.codec import decode, decode_error, encode
from perdure._protocol.frames import GuestDelivery, Limits
from perdure._protocol.tags import Tag
from perdure._vm.cell import Cell
from perdure._vm.guest import default_engine
from perdure._vm.image import Baseline
from perdure._vm.instance import Instance
from perdure.errors import GuestError, ProtocolError
from tests.vm.conftest import RunOf

TWO_STEPS = """
import { work } from "python:steps";
export async function w(n) { return (await work(n)) + (await work(n + 1)); }
"""
SPIN = "export async function w() { for (;;) {} }"


def test_a_run_goes_from_start_to_its_result(run_of: RunOf) -> None:
    run = run_of(TWO_STEPS)
    answer = run.start(1)
    (command,) = answer.turns[0].commands
    assert isinstance(command, ScheduleStep)
    assert (command.step, decode(command.args), command.at) == ("steps:work", [1], "w.ts:3:49")
    assert answer.outcome is None
    assert answer.open == 1
    run.complete(10)
    answer = run.complete(20)
    assert isinstance(answer.outcome, Completed)
    assert decode(answer.outcome.value) == 30


def test_an_unknown_delivery_changes_nothing(run_of: RunOf) -> None:
    run = run_of(TWO_STEPS)
    run.start(1)
    noise = GuestDelivery(position=2, at_ms=0, kind="step_completed", id="step_9", value=b"\xf6")
    answer = run.guest.resume([noise])
    assert (answer.consumed, answer.outcome, answer.turns[0].commands) == (2, None, ())


def test_a_bundle_that_does_not_compile_is_refused() -> None:
    with pytest.raises(GuestError, match="SyntaxError"):
        Baseline.build(
            default_engine(),
            encode(
                {
                    "format": 1,
                    "entry": "w.ts",
                    "export": "w",
                    "name": "w",
                    "modules": {"w.ts": "export function ("},
                    "steps": {},
                },
                where="bundle",
            ),
        )


def test_evaluate_reads_and_reports_errors(run_of: RunOf) -> None:
    run = run_of(TWO_STEPS)
    run.start(1)
    assert decode(run.guest.evaluate("1 + 1")) == 2
    with pytest.raises(GuestError, match="boom"):
        run.guest.evaluate("throw new TypeError('boom')")


def test_counted_limits_fail_the_run_by_name(run_of: RunOf) -> None:
    answer = run_of(SPIN).start(limits=Limits(instructions=100_000))
    assert isinstance(answer.outcome, Failed)
    assert decode_error(answer.outcome.error).name == "InstructionLimitError"


def test_an_interrupt_from_another_thread_ends_the_call_and_the_guest(run_of: RunOf) -> None:
    run, answered = run_of(SPIN), threading.Event()

    def interrupt() -> None:  # one that comes before the call is forgotten
        while not answered.wait(0.005):
            run.guest.interrupt()

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    answer = run.start(limits=Limits(instructions=0))
    answered.set()
    thread.join()
    assert isinstance(answer.outcome, Interrupted)
    assert run.guest.dead


def test_an_interrupt_while_the_frame_is_read_is_no_damage_to_it(
    run_of: RunOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, call = run_of(SPIN), Cell.call

    def call_interrupted(cell: Cell, name: bytes, argument: int = 0) -> int:
        run.guest.interrupt()
        return call(cell, name, argument)

    monkeypatch.setattr(Cell, "call", call_interrupted)
    answer = run.start(limits=Limits(instructions=0))
    assert isinstance(answer.outcome, Interrupted)
    assert run.guest.dead


LARGE = {key: key for key in range(300_000)}
SIZE = """
import { work } from "python:steps";
export async function w() { return (await work()).size; }
"""


def test_a_limit_met_while_a_value_is_read_fails_the_run_by_name(run_of: RunOf) -> None:
    run = run_of(SIZE)
    run.start(limits=Limits(instructions=100_000))
    answer = run.complete(LARGE)
    assert isinstance(answer.outcome, Failed)
    assert decode_error(answer.outcome.error).name == "InstructionLimitError"


def test_an_interrupt_while_a_value_is_read_is_an_interrupt(run_of: RunOf) -> None:
    run = run_of(SIZE)
    run.start()
    delivery, answered = run.next_delivery(LARGE), threading.Event()

    def interrupt() -> None:  # one that comes before the call is forgotten
        while not answered.wait(0.005):
            run.guest.interrupt()

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    answer = run.guest.resume([delivery])
    answered.set()
    thread.join()
    assert isinstance(answer.outcome, Interrupted)


_INSTANT = b"\xda" + Tag.INSTANT.to_bytes(4, "big")
_LATE = b"\x1b\0\x1e\xb2\x08\xc2\xdc\0\1"  # past all time
_THOUSAND = b"\1\x19\3\xe8"


@pytest.mark.parametrize(
    "value",
    [
        b"\xff",
        *[_INSTANT + part for part in (b"", b"\1", b"\x81\1", b"\x82\1", b"\x82\1\x20")],
        *[_INSTANT + b"\x82" + part for part in (b"\xf5\1", _LATE + b"\1", b"\1\xf5", _THOUSAND)],
    ],
    ids=bytes.hex,
)
def test_a_value_that_is_none_ends_the_guest_as_a_protocol_error(
    run_of: RunOf, value: bytes
) -> None:
    run = run_of(SIZE)
    run.start()
    with pytest.raises(ProtocolError, match="malformed"):
        run.guest.resume([replace(run.next_delivery(), value=value)])
    assert run.guest.dead


def test_an_interrupt_between_calls_is_forgotten(run_of: RunOf) -> None:
    run = run_of(TWO_STEPS)
    run.guest.interrupt()
    assert run.start(1).outcome is None


def test_a_closed_guest_answers_nothing(run_of: RunOf) -> None:
    run = run_of(TWO_STEPS)
    run.guest.close()
    run.guest.close()
    run.guest.interrupt()
    with pytest.raises(ProtocolError):
        run.start(1)
    assert run.guest.memory_bytes == 0
    assert "closed" in repr(run.guest)


def test_a_call_out_of_turn_is_a_protocol_error(run_of: RunOf) -> None:
    run = run_of(TWO_STEPS)
    with pytest.raises(ProtocolError, match="wrong state"):
        run.complete()
    assert run.guest.dead


def test_a_reused_guest_is_at_the_baseline_again(run_of: RunOf) -> None:
    run = run_of(TWO_STEPS)
    run.start(1)
    run.guest.close()
    again = run.baseline.instantiate()
    digest = type(run.baseline.image)(again).digest()
    again.close()
    assert digest == run.baseline.digest


def test_an_answer_that_is_none_fails_the_run_by_name(
    run_of: RunOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(TWO_STEPS)

    def answer(self: Instance, name: bytes, request: bytes) -> bytes:
        empty: list[object] = []
        webhook: dict[str, object] = {}
        turn: list[object] = [1, [["hook", "hook_1", "t", None, webhook, 0, False, ""]], empty]
        return encode([[turn], 1, None, empty, 0, 0, 0, 1], where="answer")

    monkeypatch.setattr(Instance, "_call", answer)
    outcome = run.start(1).outcome
    assert isinstance(outcome, Failed)
    error = decode_error(outcome.error)
    assert (error.name, run.guest.dead) == ("GuestAnswerError", True)
    assert "webhook is '{}', a dict" in str(error)
