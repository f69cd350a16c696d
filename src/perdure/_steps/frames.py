"""Frames: the messages between the host and the guest of a step, as bytes. See docs/protocol.md.

Payloads inside frames stay opaque bytes. Of an answer each field is checked: the guest runs
code that nobody has looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import cbor2

from .._protocol.frames import CONSOLE_LEVELS, MAX_LINE
from .._value_class import value_class
from ..errors import ProtocolError
from .limits import StepLimits

__all__ = (
    "Answer",
    "Delivery",
    "Operation",
    "Outcome",
    "StepFrame",
    "decode_answer",
    "encode_call",
    "encode_deliveries",
    "step_bundle",
)

MAX_NUMBER = 2**53 - 1
Delivery: TypeAlias = "tuple[str, int | str, object]"  # kind, which operation, what came of it
_OUTCOMES = {"completed": True, "failed": False}


@value_class(kw_only=False)
class Outcome:
    """How the step ended."""

    is_result: bool
    payload: bytes  # of the result, or of what was thrown


@value_class(kw_only=False)
class Operation:
    """Something that the step asks of the host."""

    kind: str
    id: int
    fields: tuple[object, ...]


@value_class
class Answer:
    """What the guest answers to a call or to deliveries."""

    operations: tuple[Operation, ...]
    console: tuple[tuple[str, str], ...]
    outcome: Outcome | None  # None: it waits
    unhandled: tuple[bytes, ...]  # rejections
    wake_ms: int | None  # until its first timer is due
    max_retries: int | None  # as the step's own property says
    instructions: int
    heap_bytes: int


@value_class
class StepFrame:
    """The call of a step."""

    step: str
    input: bytes  # the payload of arguments, this and closure
    seed: bytes
    metadata: Mapping[str, Mapping[str, object]]
    env: Mapping[str, str]
    limits: StepLimits
    hold: bool = False  # tell how often it may be tried again, and wait for word before it runs


def step_bundle(encoded: bytes) -> tuple[bytes, Mapping[str, Mapping[str, object]]]:
    """What the guest loads of a bundle, and the bundle's table of steps."""
    fields: dict[str, Any] = cbor2.loads(encoded)
    steps = fields.get("js_steps", {})
    parts = {
        "modules": fields.get("step_modules", {}),
        "js_steps": steps,
        "classes": fields.get("classes", {}),
        "steps": fields.get("steps", {}),
    }
    data: bytes = cbor2.dumps(parts)
    return data, steps


def encode_call(frame: StepFrame) -> bytes:
    """The call frame's bytes."""
    limits = frame.limits
    data: bytes = cbor2.dumps(
        {
            "step": frame.step,
            "input": frame.input,
            "seed": frame.seed,
            "metadata": frame.metadata,
            "env": frame.env,
            "hold": frame.hold,
            "limits": {
                "instructions": limits.instructions,
                "heap_bytes": limits.heap_bytes,
                "payload_bytes": limits.payload_bytes,
            },
        }
    )
    return data


def encode_deliveries(deliveries: Sequence[Delivery]) -> bytes:
    """The deliveries' bytes."""
    data: bytes = cbor2.dumps([list(delivery) for delivery in deliveries])
    return data


def decode_answer(data: bytes) -> Answer:
    """The guest's answer to a call or to deliveries.

    Raises:
        ProtocolError: it is not one; says which field.
    """
    try:
        operations, console, outcome, unhandled, wake_ms, retries, spent, heap = cbor2.loads(data)
        return Answer(
            operations=tuple([_operation(*one) for one in operations]),
            console=tuple([_line(*one) for one in console]),
            outcome=None if outcome is None else _outcome(*outcome),
            unhandled=tuple([_bytes(one) for one in unhandled]),
            wake_ms=None if wake_ms is None else _number(wake_ms),
            max_retries=None if retries is None else _number(retries),
            instructions=_number(spent),
            heap_bytes=_number(heap),
        )
    except Exception as exc:  # tags bring in parsers with errors of their own
        raise ProtocolError(f"the step guest's answer is malformed: {exc!r}") from exc


def _operation(kind: object, number: object, *fields: object) -> Operation:
    if type(kind) is not str:
        raise TypeError(f"an operation is {kind!r}")
    return Operation(kind, _number(number), fields)


def _line(level: object, text: object) -> tuple[str, str]:
    if level not in CONSOLE_LEVELS or type(text) is not str or len(text) > MAX_LINE:
        raise TypeError("a console line")
    return str(level), text


def _outcome(kind: str, payload: object) -> Outcome:
    return Outcome(_OUTCOMES[kind], _bytes(payload))


def _bytes(value: object) -> bytes:
    if type(value) is not bytes:
        raise TypeError(f"a payload is a {type(value).__name__}")
    return value


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_NUMBER:
        raise TypeError(f"a number is {value!r}")
    return value
