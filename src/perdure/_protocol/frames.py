"""Frames: what crosses between host and guest, as bytes. See docs/protocol.md.

Pure. Payloads inside frames stay opaque bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any

import cbor2

from .._frozen import frozen
from .._model.commands import (
    Answer,
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
from .._model.ids import EntityId
from ..errors import ProtocolError
from .decoding import decode_frame

__all__ = (
    "LARGE_BYTES",
    "GuestDelivery",
    "Limits",
    "StartFrame",
    "decode_answer",
    "decode_result",
    "encode_evaluate",
    "encode_resume",
    "encode_start",
)


LARGE_BYTES = 64 << 10  # a frame so long takes milliseconds to decode


@frozen
class Limits:
    """What one run may use; 0 is no limit."""

    instructions: int = 2_000_000_000  # per delivery, in the engine's own ticks
    heap_bytes: int = 256 << 20
    payload_bytes: int = 8 << 20


@frozen
class StartFrame:
    """The delivery of ``run_created``."""

    run_id: str
    workflow: str
    seed: bytes
    at_ms: int
    input: bytes
    limits: Limits = field(default_factory=Limits)


@frozen
class GuestDelivery:
    """One event, as the guest is told it."""

    position: int
    at_ms: int
    kind: str
    id: str
    value: bytes | None


def encode_start(frame: StartFrame) -> bytes:
    """The start frame's bytes."""
    limits = frame.limits
    data: bytes = cbor2.dumps(
        {
            "run_id": frame.run_id,
            "workflow": frame.workflow,
            "seed": frame.seed,
            "at_ms": frame.at_ms,
            "position": 1,
            "input": frame.input,
            "limits": {
                "instructions": limits.instructions,
                "heap_bytes": limits.heap_bytes,
                "payload_bytes": limits.payload_bytes,
            },
        }
    )
    return data


def encode_resume(deliveries: Sequence[GuestDelivery]) -> bytes:
    """The resume frame's bytes."""
    data: bytes = cbor2.dumps([[d.position, d.at_ms, d.kind, d.id, d.value] for d in deliveries])
    return data


def encode_evaluate(source: str) -> bytes:
    """The evaluate frame's bytes."""
    data: bytes = cbor2.dumps({"source": source})
    return data


def decode_answer(data: bytes) -> Answer:
    """The guest's answer to start or resume.

    Raises:
        ProtocolError: it is not one.
    """
    try:
        turns, consumed, outcome, unhandled, *numbers = _loaded(data)
        spent, heap_bytes, clock_ms, waiting = numbers
        return Answer(
            turns=tuple([_turn(*turn) for turn in turns]),
            consumed=consumed,
            outcome=None if outcome is None else _outcome(*outcome),
            unhandled=tuple(unhandled),
            instructions=spent,
            heap_bytes=heap_bytes,
            clock_ms=clock_ms,
            open=waiting,
        )
    except (cbor2.CBORDecodeError, KeyError, TypeError, ValueError) as exc:
        raise ProtocolError(f"the guest's answer is malformed: {exc!r}") from exc


def _loaded(data: bytes) -> Any:
    # A large one in pieces: cbor2 keeps the interpreter while it reads one.
    return cbor2.loads(data) if len(data) < LARGE_BYTES else decode_frame(data)


def decode_result(data: bytes) -> tuple[bool, bytes]:
    """The answer to load or evaluate: whether it worked, and the value or error payload."""
    frame: dict[str, Any] = cbor2.loads(data)
    return bool(frame["ok"]), bytes(frame.get("value") or frame.get("error") or b"")


def _turn(position: int, commands: list[list[Any]], console: list[list[str]]) -> DeliveryOutput:
    return DeliveryOutput(
        position=position,
        commands=tuple([_command(*command) for command in commands]),
        console=tuple([(level, text) for level, text in console]),
    )


def _outcome(kind: str, *payload: bytes) -> Outcome:
    return _OUTCOMES[kind](*payload)


def _command(kind: str, *fields: Any) -> Command:
    made = _COMMANDS.get(kind)
    if made is None:
        raise ProtocolError(f"the guest made an unknown command {kind!r}")
    return made(*fields)


def _schedule_step(entity: str, step: str, args: bytes, at: str) -> Command:
    return ScheduleStep(id=EntityId(entity), step=step, args=args, at=at)


def _start_wait(entity: str, resume_at_ms: int, at: str) -> Command:
    return StartWait(id=EntityId(entity), resume_at_ms=resume_at_ms, at=at)


def _open_hook(entity: str, token: str, metadata: bytes | None, webhook: bool, at: str) -> Command:
    return OpenHook(id=EntityId(entity), token=token, metadata=metadata, webhook=webhook, at=at)


def _dispose_hook(entity: str) -> Command:
    return DisposeHook(id=EntityId(entity))


def _set_attributes(entity: str, changes: dict[str, str | None], at: str) -> Command:
    return SetAttributes(id=EntityId(entity), changes=changes, at=at)


_COMMANDS: dict[str, Callable[..., Command]] = {
    "step": _schedule_step,
    "wait": _start_wait,
    "hook": _open_hook,
    "dispose": _dispose_hook,
    "attributes": _set_attributes,
}
_OUTCOMES: dict[str, Callable[..., Outcome]] = {
    "completed": Completed,
    "failed": Failed,
    "interrupted": Interrupted,
}
