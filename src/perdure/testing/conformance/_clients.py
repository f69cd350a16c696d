"""Clients: the calls of each of several callers to one run at once, by a seed.

The same code runs as coroutines of one process, paced by a seeded scheduler, and in processes of
their own. A client looks at its answers before it chooses its next call.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, TypeAlias, TypeVar, final

from ..._model.commit import Append, Committed
from ..._model.events import EventType
from ..._model.hooks import HookClaim
from ..._model.ids import EntityId, RunId
from ..._model.queue import Lease, LeaseEnd, NewMessage
from ..._model.runs import RunRecord
from ..._model.snapshot import Snapshot
from ...abc import World
from ...errors import PerdureError, StaleTurnError, WorldError
from ._calls import Call, answer_of
from ._case import append_of, commit_of, event_of, new_run
from ._linear import Operation

__all__ = ("CONTRACTS", "Client", "Paced", "prepare", "run_client", "wins_turn")

T = TypeVar("T")
VISIBILITY_MS = 600_000  # no lease runs out while a history is made


@final
class Paced(Generic[T]):
    """Awaits *call*; before it begins and after each suspension others may go first."""

    def __init__(self, call: Awaitable[T], rng: random.Random) -> None:
        self._call = call
        self._rng = rng

    def __await__(self) -> Generator[Any, Any, T]:
        inner = self._call.__await__()
        failure: BaseException | None = None
        while True:
            for _ in range(self._rng.randrange(4)):
                yield
            try:
                waited = inner.send(None) if failure is None else inner.throw(failure)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # what the awaitable gives
            failure = None
            try:
                yield waited
            except BaseException as error:  # handed on to the call, as its own await would
                failure = error


@final
class Client:
    """One caller of a history."""

    def __init__(self, world: World, run_id: str, number: int, seed: int, *, paced: bool) -> None:
        self.rng = random.Random(f"{seed}/{number}")
        self.run_id = RunId(run_id)
        self.number = number
        self.turn, self.position = 0, 1
        self.leases: list[tuple[Lease, int]] = []  # with the generation that the claim saw
        self.history: list[Operation] = []
        self._world = world
        self._paced = paced
        self._name_count = 0

    def fresh(self, of: str) -> str:
        """A name that nobody else uses."""
        self._name_count += 1
        return f"{of}{self.number}_{self._name_count}"

    async def do(self, name: str, *args: Any, **named: Any) -> Any:
        """Make a call and note it. Returns its answer or error."""
        settles = name.startswith("queue.claim")
        began = time.monotonic_ns()
        if settles:
            await self._world.settle()
        call = answer_of(self._world, name, args, named)
        answer = await (Paced(call, self.rng) if self._paced else call)
        operation = Operation(
            self.number,
            Call(len(self.history), name, args, named),
            began,
            time.monotonic_ns(),
            answer,
        )
        self.history.append(operation)
        self._learn(answer)
        return answer

    def _learn(self, answer: Any) -> None:
        """Remember where the run is."""
        record = answer[0] if isinstance(answer, tuple) and answer else answer  # pyright: ignore[reportUnknownVariableType]  # a run and whether it was made
        if isinstance(record, RunRecord | Committed):
            self.turn, self.position = record.turn, record.position


async def on_storage(client: Client) -> None:
    """Appends, commits, hooks and reads of one run."""
    rng, run_id = client.rng, client.run_id
    what = rng.choice(
        ("append", "append", "commit", "commit", "commit", "look", "read", "load", "hook")
    )
    if what == "append":
        await client.do("storage.append", append_of(f"step_{rng.randrange(3)}/end", run_id))
    elif what == "commit":
        inline = (event_of(f"step_{rng.randrange(3)}/end"),) if rng.random() < 0.4 else ()
        created = event_of(f"{client.fresh('step_')}/created", EventType.STEP_CREATED)
        commit = commit_of(
            client.turn,
            run_id=run_id,
            commit_id=client.fresh("c"),
            expected_position=client.position,
            deliveries=inline,
            events=(created,),
            snapshot=_snapshot(client) if rng.random() < 0.5 else None,
        )
        await client.do("storage.commit", commit)
        if rng.random() < 0.3:
            await client.do("storage.commit", commit)
    elif what == "look":
        await client.do("storage.get_run", run_id)
    elif what == "read":
        await client.do("storage.read_events", run_id, after=rng.randrange(3))
    elif what == "load":
        await client.do("storage.load_run", run_id)
    else:
        await _hook(client)


def _snapshot(client: Client) -> Snapshot:
    """A heap after this turn or the one before it, with all deliveries that the client knows."""
    turn = max(1, client.turn + client.rng.randrange(2))
    parent = client.rng.choice((None, turn - 1))
    data = client.fresh("heap").encode()
    return Snapshot(turn=turn, parent_turn=parent, consumed=client.position, data=data)


async def _hook(client: Client) -> None:
    hook = EntityId(f"hook_{client.number}")
    token = f"{client.run_id}/token"  # other clients' hooks of this run want it too
    if client.rng.random() < 0.5:
        await client.do("storage.get_hook", token)
        return
    commit = commit_of(
        client.turn,
        run_id=client.run_id,
        commit_id=client.fresh("c"),
        expected_position=client.position,
        events=(event_of(f"{hook}/created", EventType.HOOK_CREATED),),
        hooks_claimed=(HookClaim(hook_id=hook, token=token),),
    )
    await client.do("storage.commit", commit)


async def on_queue(client: Client) -> None:
    """Wakes and messages of one run: claimed, given back, ended."""
    rng, run_id = client.rng, client.run_id
    topics = [f"{run_id}/{n}" for n in range(2)]
    what = rng.choice(("claim", "claim", "claim wake", "send", "wake", "end", "end", "end"))
    if what == "claim":
        await _claim(client, "queue.claim_messages", [rng.choice(topics)])
    elif what == "claim wake":
        await _claim(client, "queue.claim_wakes")
    elif what == "send":
        n = rng.randrange(2)
        message = NewMessage(
            message_id=f"{run_id}/m{n}", run_id=run_id, topic=topics[n], body=b"b", due_ms=0
        )
        await client.do("queue.send", [message])
    elif what == "wake":
        await client.do("queue.wake", run_id, due_ms=0)
    elif client.leases:
        await _end(client, *client.leases.pop(rng.randrange(len(client.leases))))


async def _claim(client: Client, name: str, *args: Any) -> None:
    answer = await client.do(name, *args, limit=1, visibility_ms=VISIBILITY_MS)
    if isinstance(answer, PerdureError):
        return
    for claim in answer:
        client.leases.append((claim.lease, getattr(claim, "generation", 0)))


async def _end(client: Client, lease: Lease, generation: int) -> None:
    how = client.rng.choice(("finish", "release", "append", "twice"))
    if how == "release":
        await client.do("queue.release", lease, ran=True)
        return
    if how == "append" and not lease.is_wake:
        result = event_of(f"{client.fresh('step_')}/end")
        await client.do("storage.append", Append(run_id=client.run_id, event=result, lease=lease))
        return
    for _ in range(2 if how == "twice" else 1):
        await client.do("queue.finish", LeaseEnd(lease=lease, generation=generation))


async def on_streams(client: Client) -> None:
    """Writes, repeated ones and later attempts' too, and reads of one stream.

    A negative start is looked up first and read from then, which is no one instant.
    """
    rng, run_id = client.rng, client.run_id
    what = rng.choice(("append", "append", "append", "fence", "read", "read", "close", "delete"))
    if what in ("append", "fence"):
        chunks = [client.fresh("chunk").encode()] if what == "append" else []
        await client.do(
            "streams.append",
            run_id,
            "s",
            chunks,
            writer=rng.choice("vw"),
            sequence=rng.randrange(3),
            attempt=rng.choice((1, 1, 2)),
        )
    elif what == "read":
        await client.do("streams.read", run_id, "s", start=rng.randrange(3))
    elif rng.random() < 0.3 and what == "close":
        await client.do("streams.close", run_id, "s", writer=rng.choice("vw"))
    elif rng.random() < 0.3:
        await client.do("streams.delete", run_id, "s")


async def on_snapshots(client: Client) -> None:
    """Saves of one chain, and its reading."""
    rng, run_id = client.rng, client.run_id
    if rng.random() < 0.4:
        await client.do("snapshots.load", run_id)
        return
    turn = rng.randrange(1, 6)
    parent = rng.choice((None, turn - 1))
    data = client.fresh("heap").encode()
    await client.do(
        "snapshots.save", run_id, Snapshot(turn=turn, parent_turn=parent, consumed=1, data=data)
    )


OnContract: TypeAlias = Callable[[Client], Awaitable[None]]
CONTRACTS: dict[str, OnContract] = {
    "storage": on_storage,
    "queue": on_queue,
    "streams": on_streams,
    "snapshots": on_snapshots,
}


async def prepare(world: World, run_id: str) -> None:
    """The run that a history is about."""
    await world.storage.create_run(new_run(run_id))
    await world.settle()


async def wins_turn(world: World, run_id: str, turn: int, number: int) -> bool:
    """Commit this turn, until there is an answer: whether it landed, or another's had."""
    commit = commit_of(turn, run_id=RunId(run_id), commit_id=f"c{turn}/{number}")
    while True:
        try:
            await world.storage.commit(commit)
        except StaleTurnError:
            return False
        except WorldError as error:
            if not error.retryable:
                raise
        else:
            return True


async def run_client(
    world: World, contract: str, run_id: str, number: int, *, seed: int, calls: int, paced: bool
) -> list[Operation]:
    """One client's part of a history."""
    client = Client(world, run_id, number, seed, paced=paced)
    while len(client.history) < calls:
        await CONTRACTS[contract](client)
    return client.history
