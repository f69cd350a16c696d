"""Values and helpers of this package's tests."""

from __future__ import annotations

from perdure.model import (
    Digest,
    EntityId,
    Event,
    EventType,
    NewRun,
    RunId,
    TurnCommit,
)
from perdure_mongodb import MongoWorld
from perdure_mongodb.testing import Mongod

__all__ = ("RUN", "apart", "commit_of", "created", "left_over", "new_run", "wait_live")

RUN = RunId("run_a")


def new_run(run_id: RunId = RUN, payload: bytes = b"\x80") -> NewRun:
    return NewRun(
        run_id=run_id,
        workflow="flow",
        bundle=Digest("b"),
        engine=Digest("e"),
        input=payload,
        created_at_ms=1,
    )


def created(n: int, payload: bytes | None = None) -> Event:
    return Event(
        type=EventType.STEP_CREATED,
        key=f"step_{n}/created",
        at_ms=1,
        entity=EntityId(f"step_{n}"),
        payload=payload,
    )


def commit_of(turn: int, **changes: object) -> TurnCommit:
    values: dict[str, object] = {
        "run_id": RUN,
        "commit_id": f"c{turn}",
        "turn": turn,
        "expected_position": 1,
        "consumed": 1,
        "log_digest": b"d",
    }
    return TurnCommit(**{**values, **changes})  # type: ignore[arg-type]  # the fields' own types


def left_over(server: Mongod, database: str) -> dict[str, int]:
    """How many documents each collection still has."""
    with server.client() as client:
        made = client[database]
        names = [name for name in made.list_collection_names() if name != "meta"]
        counts = {name: made[name].count_documents({}) for name in names}
    return {name: count for name, count in counts.items() if count}


def apart(url: str) -> tuple[str, str]:
    """Two URLs of one store whose worlds share no connection, as in two processes."""
    return url, f"{url}&retryReads=true"


async def wait_live(world: MongoWorld) -> None:
    """Begin its change stream, and return once it is there; until then it rings nobody."""
    bells, watcher = world._handle.bells, world._handle.connection.watcher
    watcher.begin()
    async for _ in bells.looks("wakes", 10_000, check=lambda: None, poll_s=lambda: 0.01):
        if watcher.is_live:
            return
    raise AssertionError("no change stream")
