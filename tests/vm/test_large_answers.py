"""Large answers: as many commands as a turn may make, and not more."""

from __future__ import annotations

import cbor2
import pytest

from perdure._model.commands import Failed, StartWait
from perdure._protocol.codec import decode_error
from perdure._protocol.frames import LARGE_BYTES, decode_answer
from perdure._vm import instance
from perdure.errors import ProtocolError
from tests.vm.conftest import RunOf

WAITS = """
import { sleep } from "workflow";
export async function w(n) {
  await Promise.all(Array.from({ length: n }, () => sleep("1 hour")));
}
"""


def test_many_commands_arrive_in_order(run_of: RunOf) -> None:
    answer = run_of(WAITS).start(3000)
    commands = [command for turn in answer.turns for command in turn.commands]
    assert [command.id for command in commands] == [f"wait_{n}" for n in range(1, 3001)]
    assert all(isinstance(command, StartWait) for command in commands)


def test_more_commands_than_a_turn_may_make_fail_the_run_by_name(
    run_of: RunOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance, "MAX_COMMANDS", 2999)
    answer = run_of(WAITS).start(3000)
    assert isinstance(answer.outcome, Failed)
    error = decode_error(answer.outcome.error)
    assert error.name == "OutputLimitError"
    assert "in batches" in error.text
    assert answer.turns == ()


def test_a_large_answer_that_is_damaged_is_a_protocol_error() -> None:
    frame = cbor2.dumps([[[1, [], [["info", "x" * LARGE_BYTES]]]], 1, None, [], 0, 0, 0, 0])
    assert decode_answer(frame).turns[0].console[0][0] == "info"
    shared = frame[:-1] + b"\xd8\x1c\x80"
    for damaged in (frame[:-1], frame + b"\0", shared):
        with pytest.raises(ProtocolError):
            decode_answer(damaged)
