"""Values and helpers of this package's tests."""

# tests look inside
# pyright: reportPrivateUsage=false
from __future__ import annotations

from typing import Any

from perdure.model import (
    Digest,
    EntityId,
    Event,
    EventType,
    NewRun,
    RunId,
    TurnCommit,
)
from perdure_s3 import S3World

RUN = RunId("run_a")


def new_run(name: str = RUN, payload: bytes = b"\x80", created_at_ms: int = 1) -> NewRun:
    return NewRun(
        run_id=RunId(name),
        workflow="flow",
        bundle=Digest("b"),
        engine=Digest("e"),
        input=payload,
        created_at_ms=created_at_ms,
    )


def event(key: str, size: int = 1) -> Event:
    return Event(
        type=EventType.STEP_COMPLETED,
        key=key,
        at_ms=2,
        entity=EntityId(key.partition("/")[0]),
        payload=b"p" * size,
    )


def commit_of(turn: int, position: int = 1, run_id: str = RUN, **changes: Any) -> TurnCommit:
    values: dict[str, Any] = {
        "run_id": run_id,
        "commit_id": f"c{turn}",
        "turn": turn,
        "expected_position": position,
        "consumed": position,
        "log_digest": b"d",
    }
    return TurnCommit(**{**values, **changes})


async def names(world: S3World, prefix: str = "") -> list[str]:
    return [listed.key async for listed in world._handle.cas.names(prefix)]
