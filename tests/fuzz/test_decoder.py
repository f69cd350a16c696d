"""The decoder in C takes any bytes: a value, or a refusal; never a trap.

``PERDURE_FUZZ_INPUTS`` says how many (20,000), ``PERDURE_FUZZ_SEED`` from which seed; the session
``fuzz`` of nox takes a million. In wasm a wild read or write traps or breaks the guest, and both
are looked for: after each batch values still go through it unharmed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
from collections import Counter
from itertools import islice

import pytest

from perdure._model.commands import Answer, Failed, ScheduleStep
from perdure._protocol.codec import decode, decode_error, encode
from perdure._protocol.frames import (
    GuestDelivery,
    decode_answer,
    encode_resume,
)
from perdure._vm import foreign
from perdure._vm.cell import Cell
from perdure._vm.guest import default_engine
from perdure._vm.instance import Instance
from perdure.errors import ValueNotCarriableError
from tests.fuzz.mutations import HEALTHY, inputs, mutated
from tests.guests import start_frame

INPUTS = int(os.environ.get("PERDURE_FUZZ_INPUTS", "20000"))
SEED = int(os.environ.get("PERDURE_FUZZ_SEED", "0")) or random.SystemRandom().getrandbits(32)
BATCH = 1000
MALFORMED = -1
AT_MS = 1_700_000_000_000
HEAP_BYTES = 32 << 20  # far more than a guest of this workflow needs
# Whatever arrives is sent on, so the encoder sees what the decoder made.
ECHO = """
import { work } from "python:steps";
export async function w() {
  let value = null;
  for (;;) {
    try { value = await work(value); } catch { value = null; }
  }
}
"""
BUNDLE = {
    "format": 1,
    "entry": "w.ts",
    "export": "w",
    "name": "w",
    "modules": {"w.ts": ECHO},
    "steps": {"python:steps": {"work": "steps:work"}},
}


class Echo:
    """A guest whose workflow sends back what it is given, called without the host's safeguards.

    ``Instance`` gives a guest up at its first refusal; here the same one goes on.
    """

    def __init__(self) -> None:
        engine = default_engine()
        self.cell = Cell(engine.prepared, engine.engine)
        self.guest = Instance(engine, cell=self.cell)
        self.guest.load(encode(BUNDLE, where="bundle"))
        self.waiting = _steps(self.guest.start(start_frame(at_ms=AT_MS)))[-1]
        self.position = 1

    def frame(self, payload: bytes) -> bytes:
        """The frame that completes the step the workflow waits for."""
        delivery = GuestDelivery(
            position=self.position + 1,
            at_ms=AT_MS,
            kind="step_completed",
            id=self.waiting.id,
            value=payload,
        )
        return encode_resume([delivery])

    def send(self, frame: bytes) -> Answer | None:
        """Deliver a frame's bytes; None if the guest refused them.

        Raises:
            wasmtime.Trap: it crashed.
        """
        layout = self.guest.layout
        foreign.copy(self.cell.address + layout.arena, frame, len(frame))
        size = self.cell.call(b"resume", len(frame))
        size = (size & 0xFFFFFFFF) - ((size & 0x80000000) << 1)
        if size < 0:
            assert size == MALFORMED
            return None
        self.position += 1
        return decode_answer(ctypes.string_at(self.cell.address + layout.answer, size))

    def close(self) -> None:
        """Free its memory."""
        self.guest.close()

    def check_health(self) -> None:
        """Values of every kind still go through it."""
        for value in HEALTHY:
            payload = encode(value, where="value")
            answer = self.send(self.frame(payload))
            assert answer is not None
            self.waiting = _steps(answer)[-1]
            assert encode(decode(self.waiting.args), where="v") == encode([value], where="v")
            assert answer.heap_bytes < HEAP_BYTES


def _steps(answer: Answer) -> list[ScheduleStep]:
    return [c for turn in answer.turns for c in turn.commands if isinstance(c, ScheduleStep)]


def _feed(echo: Echo, payload: bytes) -> str:
    """What became of one payload."""
    answer = echo.send(echo.frame(payload))
    if answer is None:
        return "refused"
    if answer.outcome is not None:
        assert isinstance(answer.outcome, Failed)
        return decode_error(answer.outcome.error).name
    steps = _steps(answer)
    if not steps:
        return "stalled"  # an object with a step as its "then" never settles
    echo.waiting = steps[-1]
    with contextlib.suppress(ValueNotCarriableError):  # a Map with an object for a key
        decode(echo.waiting.args)
    return "taken"


def test_any_payload_is_a_value_or_refused() -> None:
    print(f"seed {SEED}, {INPUTS} inputs")
    stream = inputs(random.Random(SEED))
    ends: Counter[str] = Counter()
    echo = Echo()
    left = INPUTS
    while left > 0:
        for payload in islice(stream, min(BATCH, left)):
            try:
                end = _feed(echo, payload)
            except Exception as exc:
                pytest.fail(f"seed {SEED}: {payload.hex()}: {exc!r}")
            ends[end] += 1
            if end not in {"refused", "taken"}:
                echo.close()
                echo = Echo()
        echo.check_health()
        left -= BATCH
    echo.close()
    print(dict(ends))
    assert set(ends) <= {"refused", "taken", "stalled"}
    assert ends["taken"] > INPUTS // 100
    assert ends["refused"] > INPUTS // 10


def test_any_resume_frame_is_answered_or_refused() -> None:
    """The frame around the payload, mutated whole: its maps, its lengths, its kinds."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    ends: Counter[bool] = Counter()
    for _ in range(INPUTS // 1000):
        echo = Echo()
        for _ in range(100):
            frame = mutated(rng, echo.frame(b"\xf6"))
            try:
                answer = echo.send(frame)
            except Exception as exc:
                pytest.fail(f"seed {SEED}: {frame.hex()}: {exc!r}")
            ends[answer is None] += 1
            if answer is not None and answer.outcome is not None:
                break
            steps = [] if answer is None else _steps(answer)
            echo.waiting = steps[-1] if steps else echo.waiting
        echo.close()
    assert set(ends) == {True, False}
