"""Fault programs: short lives of runs, played by a caller that never gives up.

Each is written as a worker would be: it claims, and claims again when a claim was lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias

from ..._model.children import ChildStart, Watch
from ..._model.commit import Append
from ..._model.events import EventType
from ..._model.hooks import HookClaim
from ..._model.ids import Digest, EntityId, RunId
from ..._model.queue import LeaseEnd, NewMessage
from ..._model.runs import RunOutcome, RunStatus
from ..._model.snapshot import Snapshot
from ..._model.transfer import Departure, RunCopy
from ..clock import ManualClock
from ._case import RUN, append_of, commit_of, event_of, new_run

__all__ = ("PROGRAMS", "RUNS", "TOKENS", "TOPICS", "VISIBILITY_MS", "Caller", "Program")

VISIBILITY_MS = 1000
OTHER = RunId("run_b")
RUNS = (RUN, OTHER)
TOKENS = ("t", "u")
TOPICS = ("q/one", "q/two")
HOOK = EntityId("hook_1")


class Caller(Protocol):
    """Calls by name until there is an answer."""

    clock: ManualClock

    async def do(self, name: str, /, *args: Any, **named: Any) -> Any: ...


Program: TypeAlias = Callable[[Caller], Awaitable[None]]


def message(name: str, topic: str = "q/one", lease_ms: int | None = None) -> NewMessage:
    """A step of the run."""
    return NewMessage(
        message_id=f"{RUN}/{name}",
        run_id=RUN,
        topic=topic,
        body=name.encode(),
        due_ms=0,
        lease_ms=lease_ms,
    )


async def claim(client: Caller, kind: str, *args: Any) -> Any:
    """The one item that is due, however many claims of it were lost."""
    for _ in range(4):
        claims = await client.do(kind, *args, limit=1, visibility_ms=VISIBILITY_MS)
        if claims:
            return claims[0]
        client.clock.advance(VISIBILITY_MS)
    return None


async def a_turn(client: Caller) -> None:
    """A run's first turns: appends beside them, a snapshot, messages, an end."""
    await client.do("storage.create_run", new_run())
    await client.do("storage.append", append_of("step_9/end"))
    snapshot = Snapshot(turn=1, parent_turn=None, consumed=2, data=b"heap")
    await client.do(
        "storage.commit",
        commit_of(
            0,
            expected_position=2,
            deliveries=(event_of("step_8/end"),),
            snapshot=snapshot,
            messages=(message("step_1"), message("step_2", "q/two")),
            wake_at_ms=client.clock.now_ms(),
        ),
    )
    link = Snapshot(turn=2, parent_turn=1, consumed=4, data=b"more")
    await client.do("storage.commit", commit_of(1, expected_position=4, snapshot=link))
    await client.do("storage.append", append_of("step_1/end"))
    await client.do("storage.load_run", RUN)


async def a_whole_life(client: Caller) -> None:
    """A run created by its first commit, with all in one commit that there can be, to its end."""
    await client.do("storage.commit", commit_of(0, new=new_run(), messages=(message("step_1"),)))
    await client.do("queue.wake", RUN, due_ms=0)
    wake = await claim(client, "queue.claim_wakes")
    leases = () if wake is None else (LeaseEnd(lease=wake.lease, generation=wake.generation),)
    everything = commit_of(
        1,
        expected_position=2,
        deliveries=(event_of("step_8/end"),),
        events=(event_of("hook_1/created", EventType.HOOK_CREATED),),
        snapshot=Snapshot(turn=1, parent_turn=None, consumed=1, data=b"of an earlier turn"),
        messages=(message("step_2", "q/two"),),
        hooks_claimed=(HookClaim(hook_id=HOOK, token="u"),),
        wake_at_ms=client.clock.now_ms(),
        leases=leases,
    )
    await client.do("storage.commit", everything)
    outcome = RunOutcome(status=RunStatus.COMPLETED, payload=b"r", at_ms=5)
    await client.do("storage.commit", commit_of(2, expected_position=4, outcome=outcome))
    await client.do("storage.commit", commit_of(2, expected_position=4, outcome=outcome))
    await client.do("storage.append", append_of("step_1/end"))


async def steps_elsewhere(client: Caller) -> None:
    """Messages that are claimed, retried and ended by their results."""
    await client.do("storage.create_run", new_run())
    await client.do("queue.send", [message("step_1"), message("step_2", "q/two")])
    first = await claim(client, "queue.claim_messages", ["q/one"])
    if first is not None:
        retry = event_of("step_1/retry", EventType.STEP_RETRYING)
        append = Append(run_id=RUN, event=retry, wake=False, lease=first.lease, release_delay_ms=0)
        await client.do("storage.append", append)
    again = await claim(client, "queue.claim_messages", ["q/one"])
    if again is not None:
        await client.do("storage.append", append_of("step_1/end", lease=again.lease))
    other = await claim(client, "queue.claim_messages", ["q/two"])
    if other is not None:
        await client.do("queue.release", other.lease, delay_ms=10)


async def wakes(client: Caller) -> None:
    """A mailbox that is claimed, woken meanwhile, ended and claimed again."""
    await client.do("storage.create_run", new_run())
    wake = await claim(client, "queue.claim_wakes")
    await client.do("queue.wake", RUN, due_ms=client.clock.now_ms())
    if wake is not None:
        await client.do("queue.extend", [wake.lease], visibility_ms=VISIBILITY_MS)
        await client.do("queue.finish", LeaseEnd(lease=wake.lease, generation=wake.generation))
    again = await claim(client, "queue.claim_wakes")
    if again is not None:
        end = LeaseEnd(lease=again.lease, generation=again.generation)
        await client.do("storage.commit", commit_of(0, leases=(end,), wake_at_ms=10**15))


async def hooks(client: Caller) -> None:
    """Two runs that want one token, and its way from one to the other."""
    await client.do("storage.create_run", new_run())
    await client.do("storage.create_run", new_run(OTHER))
    created = event_of("hook_1/created", EventType.HOOK_CREATED)
    claims = (HookClaim(hook_id=HOOK, token="t"),)
    await client.do("storage.commit", commit_of(0, events=(created,), hooks_claimed=claims))
    loser = commit_of(0, run_id=OTHER, commit_id="o0", events=(created,), hooks_claimed=claims)
    await client.do("storage.commit", loser)
    received = event_of("hook_1/received/1", EventType.HOOK_RECEIVED)
    await client.do("storage.append", Append(run_id=RUN, event=received))
    disposed = event_of("hook_1/end", EventType.HOOK_DISPOSED)
    await client.do("storage.append", Append(run_id=RUN, event=disposed))
    hook = EntityId("hook_2")
    created_later = event_of("hook_2/created", EventType.HOOK_CREATED)
    winner = commit_of(
        1,
        run_id=OTHER,
        commit_id="o1",
        expected_position=2,
        events=(created_later,),
        hooks_claimed=(HookClaim(hook_id=hook, token="t"),),
    )
    await client.do("storage.commit", winner)


async def tokens(client: Caller) -> None:
    """A keyed start and its loser; the token is taken by force, kept, and free again."""
    claim = HookClaim(hook_id=EntityId("hook_0"), token="t")
    await client.do("storage.create_run", new_run(hook=claim))
    await client.do("storage.create_run", new_run(OTHER, hook=claim))
    await client.do("storage.create_run", new_run(OTHER))
    forced = HookClaim(hook_id=HOOK, token="t", force=True, keep_until_ms=10**15)
    taker = commit_of(
        0,
        run_id=OTHER,
        commit_id="o0",
        events=(event_of("hook_1/created", EventType.HOOK_CREATED),),
        hooks_claimed=(forced,),
    )
    await client.do("storage.commit", taker)
    await client.do("storage.get_hook", "t")
    for run_id, hook in ((RUN, "hook_0"), (OTHER, "hook_1")):
        received = event_of(f"{hook}/received/1", EventType.HOOK_RECEIVED)
        await client.do("storage.append", Append(run_id=run_id, event=received))
    cancelled = event_of("run/ended", EventType.RUN_CANCELLED)
    await client.do("storage.append", Append(run_id=OTHER, event=cancelled, wake=False))
    await client.do("storage.get_hook", "t")
    await client.do("catalogue.delete_run", OTHER)
    await client.do("storage.create_run", new_run(OTHER, hook=claim))


async def streams(client: Caller) -> None:
    """Chunks, the same write again, another attempt, the close, a deletion."""
    await client.do("storage.create_run", new_run())
    for sequence in range(2):
        chunks = [b"a%d" % sequence, b"\xff"]
        await client.do("streams.append", RUN, "s", chunks, writer="w", sequence=sequence)
    await client.do("streams.append", RUN, "s", [b"v"], writer="v", sequence=0)
    await client.do("streams.append", RUN, "s", [], writer="w", sequence=0, attempt=2)
    await client.do("streams.append", RUN, "s", [b"w"], writer="w", sequence=1, attempt=2)
    await client.do("streams.close", RUN, "s", writer="w", attempt=2)
    await client.do("streams.read", RUN, "s", start=-2)
    await client.do("streams.append", RUN, "$r", [b"r"], writer="w", sequence=0)
    await client.do("streams.delete", RUN, "$r")


async def retention(client: Caller) -> None:
    """Snapshots and blobs of runs that end and go, beside one that stays."""
    digest = Digest(hashlib.sha256(b"x").hexdigest())
    for run_id in RUNS:
        await client.do("storage.create_run", new_run(run_id))
        await client.do("blobs.put", digest, b"x", run_id=run_id)
    root = Snapshot(turn=1, parent_turn=None, consumed=1, data=b"heap")
    await client.do("snapshots.save", OTHER, root)
    link = Snapshot(turn=2, parent_turn=1, consumed=1, data=b"more")
    await client.do("snapshots.save", OTHER, link)
    cancelled = event_of("run/ended", EventType.RUN_CANCELLED)
    await client.do("storage.append", Append(run_id=RUN, event=cancelled, wake=False))
    await client.do("catalogue.purge", ended_before_ms=10**15)
    await client.do("catalogue.delete_run", RUN)
    await client.do("blobs.has", digest, run_id=RUN)
    await client.do("blobs.has", digest, run_id=OTHER)


async def a_move(client: Caller) -> None:
    """A run that leaves, is gone, and comes back with all it had."""
    await client.do("storage.create_run", new_run())
    commit = commit_of(
        0,
        events=(event_of("hook_1/created", EventType.HOOK_CREATED),),
        snapshot=Snapshot(turn=1, parent_turn=None, consumed=1, data=b"heap"),
        messages=(message("step_1"), message("step_2", "q/two")),
        hooks_claimed=(HookClaim(hook_id=HOOK, token="t"),),
    )
    await client.do("storage.commit", commit)
    await client.do("streams.append", RUN, "s", [b"a", b"\xff"], writer="w", sequence=0)
    record = await client.do("transfer.depart", Departure(run_id=RUN, to="elsewhere://"))
    copy = RunCopy(
        record=record,
        events=await client.do("storage.read_events", RUN),
        chain=await client.do("snapshots.load", RUN),
        streams=await client.do("transfer.read_streams", RUN),
    )
    await client.do("transfer.confirm", RUN)
    await client.do("catalogue.delete_run", RUN)
    await client.do("transfer.arrive", copy)
    await client.do("storage.append", append_of("step_1/end"))


async def a_family(client: Caller) -> None:
    """Runs that a turn starts and watches: each is there once, and each end is told once."""
    third = RunId("run_c")
    await client.do("storage.create_run", new_run())
    starts = (
        ChildStart(entity=EntityId("child_1"), new=new_run(OTHER), asks=True),
        ChildStart(entity=EntityId("child_2"), new=new_run(OTHER, b"another")),
    )
    watches = (_watch(3, OTHER), _watch(4, RunId("run_nobody")), _watch(5, RUN))
    await client.do("storage.commit", commit_of(0, starts=starts, watches=watches))
    outcome = RunOutcome(status=RunStatus.COMPLETED, payload=b"r", at_ms=5)
    end = commit_of(0, run_id=OTHER, commit_id="o0", outcome=outcome)
    await client.do("storage.commit", end)
    later = commit_of(
        1,
        expected_position=6,
        starts=(ChildStart(entity=EntityId("child_6"), new=new_run(third)),),
        watches=(_watch(7, OTHER), _watch(8, third)),
    )
    await client.do("storage.commit", later)
    await client.do("catalogue.delete_run", OTHER)
    await client.do("storage.commit", later)
    cancelled = event_of("run/ended", EventType.RUN_CANCELLED)
    await client.do("storage.append", Append(run_id=third, event=cancelled, wake=False))
    await client.do("catalogue.purge", ended_before_ms=10**15)
    last = ChildStart(entity=EntityId("child_9"), new=new_run(third))
    await client.do(
        "storage.commit", commit_of(2, expected_position=9, starts=(last,), outcome=outcome)
    )


def _watch(n: int, run_id: RunId) -> Watch:
    return Watch(entity=EntityId(f"watch_{n}"), run_id=run_id)


PROGRAMS: dict[str, Program] = {
    "a turn": a_turn,
    "a whole life": a_whole_life,
    "steps elsewhere": steps_elsewhere,
    "wakes": wakes,
    "hooks": hooks,
    "tokens": tokens,
    "streams": streams,
    "retention": retention,
    "a move": a_move,
    "a family": a_family,
}
