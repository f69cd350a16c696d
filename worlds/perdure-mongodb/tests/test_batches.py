"""What shares a transaction means the same as one after another."""

from __future__ import annotations

import anyio
import pytest

from perdure.model import (
    Append,
    Digest,
    EntityId,
    Event,
    EventType,
    MessageClaim,
    NewMessage,
    NewRun,
    RunId,
)
from perdure_mongodb import MongoWorld
from perdure_mongodb._transaction import insert

pytestmark = pytest.mark.anyio
RUN = RunId("run_a")


def message(body: bytes) -> NewMessage:
    return NewMessage(message_id="run_a/m", run_id=RUN, topic="t", body=body, due_ms=0)


async def claim(world: MongoWorld) -> MessageClaim:
    (found,) = await world.queue.claim_messages(["t"], limit=1, visibility_ms=60_000)
    return found


async def test_a_message_that_is_ended_and_sent_anew_in_one_write_is_a_new_one(
    motor_url: str,
) -> None:
    async with MongoWorld(motor_url) as world:
        new = NewRun(
            run_id=RUN,
            workflow="flow",
            bundle=Digest("b"),
            engine=Digest("e"),
            input=b"\x80",
            created_at_ms=1,
        )
        await world.storage.create_run(new)
        await world.queue.send([message(b"first")])
        first = await claim(world)
        step = EntityId("step_1")
        event = Event(type=EventType.STEP_COMPLETED, key="step_1/end", at_ms=1, entity=step)
        async with anyio.create_task_group() as group:
            group.start_soon(world.queue.send, [message(b"passed over")])  # takes the lane
            group.start_soon(
                world.storage.append, Append(run_id=RUN, event=event, lease=first.lease)
            )
            group.start_soon(world.queue.send, [message(b"second")])
        again = await claim(world)
        assert again.message.body == b"second"
        assert (again.claims, again.losses, again.returned) == (1, 0, 0)


def test_what_is_more_than_a_message_holds_is_sent_in_several() -> None:
    documents = [{"_id": n, "payload": bytes(1 << 20)} for n in range(100)]
    commands = [command.body["documents"] for command in insert("events", documents)]
    assert [document for batch in commands for document in batch] == documents
    assert [sum(len(d["payload"]) for d in batch) <= 16_000_000 for batch in commands] == [True] * 7
    small = [{"_id": n} for n in range(5_000)]
    assert [len(command.body["documents"]) for command in insert("events", small)] == [5_000]
