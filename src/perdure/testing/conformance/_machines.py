"""Machines: random programs of calls, one state machine for each contract.

A failure names the contract and shrinks to the shortest program that shows it.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import rule

from ..._model.commit import Append, TurnCommit
from ..._model.events import EventType
from ..._model.ids import Digest, EntityId, RunId
from ..._model.queue import Lease, LeaseEnd, Message, MessageClaim, NewMessage, WakeClaim
from ..._model.runs import RunFilter, RunStatus
from ._moving import MovingMachine
from ._programs import (
    BLOB,
    DATA,
    HOOKS,
    PAYLOADS,
    RUNS,
    SHORT_MS,
    TOKENS,
    PairMachine,
    choice,
)

__all__ = ("MACHINES",)

OWNERS = st.sampled_from([None, RunId("run_a"), RunId("run_b"), RunId("run_c")])
BLOBS = st.integers(0, 2)
MOST_REOPENINGS = 3  # of a program; the calls between them are what it is about


class StorageMachine(PairMachine):
    """Runs, logs, hook tokens, commits."""

    @rule(data=DATA, run_id=RUNS)
    def create_keyed(self, data: st.DataObject, run_id: RunId) -> None:
        """A run that is started with a token."""
        claim = self.draw_claim(data, EntityId("hook_0"))
        new = replace(self.new_run(run_id, "w", b"a"), hook=claim)
        self.pair.do("storage.create_run", new)

    @rule(run_id=RUNS, after=st.integers(-1, 4), limit=st.integers(1, 3))
    def read_events(self, run_id: RunId, after: int, limit: int) -> None:
        self.pair.do("storage.read_events", run_id, after=after, limit=limit)

    @rule(run_id=RUNS, after=st.sampled_from([None, 0, 2]))
    def load_run(self, run_id: RunId, after: int | None) -> None:
        self.pair.do("storage.load_run", run_id, after=after)

    @rule(run_id=RUNS, reason=PAYLOADS)
    def cancel(self, run_id: RunId, reason: bytes | None) -> None:
        self.end_run(run_id, reason)

    @rule(
        run_id=RUNS,
        hook=HOOKS,
        kind=st.sampled_from([EventType.HOOK_RECEIVED, EventType.HOOK_DISPOSED]),
        n=st.integers(1, 2),
    )
    def send_to_hook(self, run_id: RunId, hook: EntityId, kind: EventType, n: int) -> None:
        key = f"{hook}/end" if kind is EventType.HOOK_DISPOSED else f"{hook}/received/{n}"
        self.do_append(Append(run_id=run_id, event=self.event(kind, key, hook, b"p")))

    @rule(token=TOKENS)
    def get_hook(self, token: str) -> None:
        self.pair.do("storage.get_hook", token)

    @rule(run_id=RUNS)
    def wait_ended(self, run_id: RunId) -> None:
        self.pair.do("storage.wait_ended", run_id, wait_ms=0)


class QueueMachine(PairMachine):
    """Wakes, messages, leases."""

    @rule(run_id=RUNS, in_ms=SHORT_MS)
    def wake(self, run_id: RunId, in_ms: int) -> None:
        self.pair.do("queue.wake", run_id, due_ms=self.now + in_ms)

    @rule(limit=st.integers(1, 3))
    def claim_wakes(self, limit: int) -> None:
        self.wakes += self.pair.do("queue.claim_wakes", limit=limit, visibility_ms=100)

    @rule(data=DATA, run_id=RUNS)
    def send(self, data: st.DataObject, run_id: RunId) -> None:
        messages = self.draw_messages(data, run_id)
        self.pair.do("queue.send", list(messages))

    @rule(
        topics=st.sampled_from([["default/one", "default/two"], ["default/one"], []]),
        limit=st.integers(1, 3),
    )
    def claim_messages(self, topics: list[str], limit: int) -> None:
        self.claims += self.pair.do("queue.claim_messages", topics, limit=limit, visibility_ms=100)

    @rule(data=DATA, moved=st.sampled_from([0, 0, -1]), in_ms=st.sampled_from([None, 0, 50]))
    def finish(self, data: st.DataObject, moved: int, in_ms: int | None) -> None:
        claim = choice(data, [*self.wakes, *self.claims])
        if claim is None:
            return
        generation = claim.generation + moved if isinstance(claim, WakeClaim) else 0
        self.end(claim, generation, None if in_ms is None else self.now + in_ms)

    def end(self, claim: WakeClaim | MessageClaim, generation: int, due: int | None) -> None:
        end = LeaseEnd(lease=claim.lease, generation=generation, next_due_ms=due)
        self.pair.do("queue.finish", end)

    @rule(data=DATA, delay=SHORT_MS, ran=st.booleans())
    def release(self, data: st.DataObject, delay: int, ran: bool) -> None:
        claim = choice(data, [*self.wakes, *self.claims])
        if claim is not None:
            self.pair.do("queue.release", claim.lease, delay_ms=delay, ran=ran)

    @rule(data=DATA, ran=st.booleans())
    def claim_again(self, data: st.DataObject, ran: bool) -> None:
        """Claim a message, give it back or let its lease run out, and claim it anew."""
        self.send(data, RunId("run_a"))
        self.pair.advance(1000)
        self.claim_messages(["default/one", "default/two"], 3)
        give_back = data.draw(st.booleans())
        if self.claims and give_back:
            self.release(data, 0, ran)
        self.pair.advance(data.draw(SHORT_MS))
        self.claim_messages(["default/one", "default/two"], 3)

    @rule(run_id=RUNS, in_ms=SHORT_MS, moved=st.sampled_from([0, 0, -1]))
    def wake_while_claimed(self, run_id: RunId, in_ms: int, moved: int) -> None:
        """Wake a run that is claimed, end the claim, and claim again."""
        self.claim_wakes(3)
        self.wake(run_id, in_ms)
        for claim in self.wakes[-2:]:
            self.end(claim, claim.generation + moved, None)
        self.pair.advance(in_ms)
        self.claim_wakes(3)

    @rule(visibility=st.sampled_from([1, 100, 500]))
    def extend(self, visibility: int) -> None:
        claims: list[WakeClaim | MessageClaim] = [*self.wakes, *self.claims]
        leases = [claim.lease for claim in claims][-4:]
        self.pair.do("queue.extend", leases, visibility_ms=visibility)

    @rule(data=DATA, delay=st.sampled_from([None, None, 0, 50]))
    def append_with_lease(self, data: st.DataObject, delay: int | None) -> None:
        claim = choice(data, self.claims[-3:])
        if claim is None:
            return
        entity = EntityId(claim.message.message_id.partition("/")[2])
        kind = EventType.STEP_COMPLETED if delay is None else EventType.STEP_RETRYING
        self.counter += 1  # another key each time, so that only the lease can refuse it
        key = f"{entity}/{self.counter}"
        elsewhere = data.draw(st.sampled_from([False, False, False, True]))
        append = Append(
            run_id=data.draw(RUNS) if elsewhere else claim.message.run_id,
            event=self.event(kind, key, entity, b"r"),
            wake=delay is None,
            lease=claim.lease,
            release_delay_ms=delay,
        )
        self.do_append(append)

    @rule(topics=st.sampled_from([None, ["default/one"]]))
    def count_waiting(self, topics: list[str] | None) -> None:
        self.pair.do("queue.count_waiting", topics)

    def note_lease(self, lease: Lease, commit: TurnCommit) -> None:
        message = next(m for m in commit.messages if m.message_id == lease.item)
        self.claims.append(_claim_of(message, lease))


def _claim_of(new: NewMessage, lease: Lease) -> MessageClaim:
    message = Message(message_id=new.message_id, run_id=new.run_id, topic=new.topic, body=new.body)
    return MessageClaim(message=message, lease=lease, claims=1, losses=0, returned=0)


class SnapshotsMachine(PairMachine):
    """Snapshot chains."""

    @rule(data=DATA, run_id=RUNS, turn=st.integers(1, 6))
    def save(self, data: st.DataObject, run_id: RunId, turn: int) -> None:
        self.counter += 1
        self.pair.do("snapshots.save", run_id, self.draw_snapshot(data, turn))

    @rule(run_id=RUNS)
    def load(self, run_id: RunId) -> None:
        self.pair.do("snapshots.load", run_id)

    @rule(run_id=RUNS)
    def delete(self, run_id: RunId) -> None:
        self.pair.do("snapshots.delete", run_id)


NAMES = st.sampled_from(["log", "out é", "$reply"])
WRITERS = st.sampled_from(["w", "v"])
ATTEMPTS = st.sampled_from([1, 1, 2, 3])


class StreamsMachine(PairMachine):
    """Streams."""

    @rule(
        run_id=RUNS,
        name=NAMES,
        chunks=st.lists(st.sampled_from([b"", b"a", b"\x00\xff\xc3"]), max_size=3),
        writer=WRITERS,
        sequence=st.integers(0, 2),
        attempt=ATTEMPTS,
    )
    def append_chunks(
        self,
        run_id: RunId,
        name: str,
        chunks: list[bytes],
        writer: str,
        sequence: int,
        attempt: int,
    ) -> None:
        self.pair.do(
            "streams.append",
            run_id,
            name,
            chunks,
            writer=writer,
            sequence=sequence,
            attempt=attempt,
        )

    @rule(run_id=RUNS, name=NAMES, start=st.integers(-3, 4), limit=st.integers(1, 3))
    def read(self, run_id: RunId, name: str, start: int, limit: int) -> None:
        self.pair.do("streams.read", run_id, name, start=start, limit=limit)

    @rule(run_id=RUNS, name=NAMES, back=st.integers(1, 3))
    def look_back(self, run_id: RunId, name: str, back: int) -> None:
        """Write, and read the last chunks."""
        self.counter += 1
        self.append_chunks(run_id, name, [b"a", b"%d" % self.counter], "u", self.counter, 1)
        self.read(run_id, name, -back, 3)

    @rule(run_id=RUNS, name=NAMES)
    def close(self, run_id: RunId, name: str) -> None:
        self.pair.do("streams.close", run_id, name)

    @rule(run_id=RUNS, name=NAMES, writer=WRITERS, attempt=ATTEMPTS)
    def close_by(self, run_id: RunId, name: str, writer: str, attempt: int) -> None:
        self.pair.do("streams.close", run_id, name, writer=writer, attempt=attempt)

    @rule(run_id=RUNS, name=NAMES, writer=WRITERS, data=DATA)
    def retry(self, run_id: RunId, name: str, writer: str, data: st.DataObject) -> None:
        """Write, fence that attempt, and ask for it again beside the next one."""
        first, second = data.draw(ATTEMPTS), data.draw(ATTEMPTS)
        self.append_chunks(run_id, name, [b"a"], writer, 0, first)
        self.append_chunks(run_id, name, [], writer, 0, second)
        self.append_chunks(run_id, name, [b"b"], writer, 1, first)
        self.close_by(run_id, name, writer, first)

    @rule(run_id=RUNS, name=NAMES)
    def delete_stream(self, run_id: RunId, name: str) -> None:
        self.pair.do("streams.delete", run_id, name)

    @rule(run_id=RUNS)
    def list_streams(self, run_id: RunId) -> None:
        self.pair.do("streams.list_streams", run_id)

    @rule(run_id=RUNS, name=NAMES)
    def info(self, run_id: RunId, name: str) -> None:
        self.pair.do("streams.info", run_id, name)


class CatalogueMachine(PairMachine):
    """Lists, deletion, retention."""

    @rule(
        status=st.sampled_from([None, *RunStatus]),
        workflow=st.sampled_from([None, "w"]),
        attributes=st.sampled_from([{}, {"colour": "v"}, {"size": "1"}]),
        limit=st.integers(1, 2),
    )
    def list_all(
        self,
        status: RunStatus | None,
        workflow: str | None,
        attributes: dict[str, str],
        limit: int,
    ) -> None:
        where = RunFilter(status=status, workflow=workflow, attributes=attributes)
        self.pair.do("list_all_runs", where, limit=limit)

    @rule(run_id=RUNS)
    def cancel_it(self, run_id: RunId) -> None:
        self.end_run(run_id)

    @rule(run_id=RUNS)
    def delete_run(self, run_id: RunId) -> None:
        self.pair.do("catalogue.delete_run", run_id)

    @rule(ago=SHORT_MS, limit=st.integers(1, 2))
    def purge(self, ago: int, limit: int) -> None:
        self.pair.do("catalogue.purge", ended_before_ms=self.now - ago, limit=limit)

    @rule(run_id=RUNS)
    def keep_blob(self, run_id: RunId) -> None:
        self.pair.do("blobs.put", BLOB, b"blob", run_id=run_id)

    @rule(run_id=RUNS)
    def delete_with_blob(self, run_id: RunId) -> None:
        """A run that goes takes its blobs with it."""
        self.keep_blob(run_id)
        self.end_run(run_id)
        self.delete_run(run_id)
        self.has_blob(run_id)

    @rule(run_id=RUNS)
    def has_blob(self, run_id: RunId) -> None:
        self.pair.do("blobs.has", BLOB, run_id=run_id)


class BlobsMachine(PairMachine):
    """Bytes by their digest, a run's or nobody's."""

    def __init__(self) -> None:
        super().__init__()
        self.blobs = set[tuple[RunId | None, int]]()
        self.salt = secrets.token_bytes(8)  # what is nobody's stays in storage that is used again

    def blob(self, n: int) -> tuple[Digest, bytes]:
        """One of a few blobs of this program."""
        data = self.salt + bytes([n]) if n else self.salt
        return Digest(hashlib.sha256(data).hexdigest()), data

    @rule(run_id=OWNERS, n=BLOBS, wrong=st.sampled_from([False, False, False, True]))
    def put(self, run_id: RunId | None, n: int, wrong: bool) -> None:
        digest, data = self.blob(n)
        self.blobs.add((run_id, n))
        self.pair.do("blobs.put", digest, data + b"\x00" if wrong else data, run_id=run_id)

    @rule(run_id=OWNERS, n=BLOBS)
    def get(self, run_id: RunId | None, n: int) -> None:
        self.pair.do("blobs.get", self.blob(n)[0], run_id=run_id)

    @rule(run_id=OWNERS, n=BLOBS)
    def has(self, run_id: RunId | None, n: int) -> None:
        self.pair.do("blobs.has", self.blob(n)[0], run_id=run_id)

    @rule(run_id=RUNS)
    def end_and_delete(self, run_id: RunId) -> None:
        """A run goes with its blobs; those of others and of nobody stay."""
        self.end_run(run_id)
        self.pair.do("catalogue.delete_run", run_id)

    def compare_everything(self) -> None:
        for run_id, n in sorted(self.blobs, key=repr):
            self.has(run_id, n)
        super().compare_everything()


class TransfersMachine(MovingMachine, QueueMachine, StreamsMachine):
    """Runs that leave and come, with claims, streams and hooks."""


class ReopenMachine(TransfersMachine, StorageMachine, SnapshotsMachine, CatalogueMachine):
    """Everything at once, with the world closed and opened in between."""

    reopenings = 0

    @rule()
    def reopen(self) -> None:
        claimed = self.wakes or self.claims  # claims belong to the handle that made them
        if not claimed and self.reopenings < MOST_REOPENINGS:
            self.reopenings += 1
            self.pair.reopen()


MACHINES: dict[str, type[PairMachine]] = {
    "storage": StorageMachine,
    "queue": QueueMachine,
    "snapshots": SnapshotsMachine,
    "streams": StreamsMachine,
    "catalogue": CatalogueMachine,
    "blobs": BlobsMachine,
    "transfers": TransfersMachine,
    "everything": ReopenMachine,
}
