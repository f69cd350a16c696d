"""Frames: what crosses between host and guest, as bytes. See docs/protocol.md.

Pure. Payloads inside frames stay opaque bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

__all__ = (
    "GuestDelivery",
    "Limits",
    "StartFrame",
    "decode_answer",
    "decode_result",
    "encode_evaluate",
    "encode_resume",
    "encode_start",
)


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
    data: bytes = cbor2.dumps(
        {
            "deliveries": [
                {
                    "position": d.position,
                    "at_ms": d.at_ms,
                    "kind": d.kind,
                    "id": d.id,
                    "value": d.value,
                }
                for d in deliveries
            ]
        }
    )
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
        frame: dict[str, Any] = cbor2.loads(data)
        return Answer(
            turns=tuple(
                [
                    DeliveryOutput(
                        position=turn["position"],
                        commands=tuple([_command(c) for c in turn["commands"]]),
                        console=tuple([(level, text) for level, text in turn["console"]]),
                    )
                    for turn in frame["turns"]
                ]
            ),
            consumed=frame["consumed"],
            outcome=_outcome(frame["outcome"]),
            unhandled=tuple(frame["unhandled"]),
            instructions=frame["instructions"],
            heap_bytes=frame["heap_bytes"],
            clock_ms=frame["clock_ms"],
            open=frame["open"],
        )
    except (cbor2.CBORDecodeError, KeyError, TypeError, ValueError) as exc:
        raise ProtocolError(f"the guest's answer is malformed: {exc!r}") from exc


def decode_result(data: bytes) -> tuple[bool, bytes]:
    """The answer to load or evaluate: whether it worked, and the value or error payload."""
    frame: dict[str, Any] = cbor2.loads(data)
    return bool(frame["ok"]), bytes(frame.get("value") or frame.get("error") or b"")


def _outcome(frame: Mapping[str, Any] | None) -> Outcome | None:
    if frame is None:
        return None
    if frame["kind"] == "completed":
        return Completed(frame["value"])
    return Failed(frame["error"]) if frame["kind"] == "failed" else Interrupted()


def _command(frame: Mapping[str, Any]) -> Command:
    entity = EntityId(frame["id"])
    match frame["type"]:
        case "step":
            return ScheduleStep(id=entity, step=frame["step"], args=frame["args"], at=frame["at"])
        case "wait":
            return StartWait(id=entity, resume_at_ms=frame["resume_at_ms"], at=frame["at"])
        case "hook":
            return OpenHook(
                id=entity,
                token=frame["token"],
                metadata=frame["metadata"],
                webhook=frame["webhook"],
                at=frame["at"],
            )
        case "dispose":
            return DisposeHook(id=entity)
        case "attributes":
            return SetAttributes(id=entity, changes=frame["changes"], at=frame["at"])
        case other:
            raise ProtocolError(f"the guest made an unknown command {other!r}")
