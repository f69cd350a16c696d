"""Programs: the calls of every random program: make runs, commit, append, let time pass.

A drawn call may well be unsound: then both worlds must refuse it alike.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Sequence
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from ..._core.landing import fresh_record
from ..._model.commit import Append, TurnCommit
from ..._model.events import Event, EventType, Fact
from ..._model.hooks import HookClaim
from ..._model.ids import Digest, EntityId, RunId
from ..._model.queue import Lease, LeaseEnd, MessageClaim, NewMessage, WakeClaim
from ..._model.runs import LEVEL, NewRun, RunFilter, RunOutcome, RunRecord, RunStatus
from ..._model.snapshot import Snapshot
from ._pair import Pair, Store

__all__ = (
    "BLOB",
    "DATA",
    "HOOKS",
    "PAYLOADS",
    "RUNS",
    "SHORT_MS",
    "TOKENS",
    "TOPICS",
    "Enough",
    "PairMachine",
    "choice",
)

RUNS = st.sampled_from([RunId("run_a"), RunId("run_a"), RunId("run_b"), RunId("run_c")])
STEPS = st.sampled_from([EntityId(f"step_{n}") for n in (1, 2, 3)])
HOOKS = st.sampled_from([EntityId("hook_0"), EntityId("hook_1"), EntityId("hook_2")])
TOKENS = st.sampled_from(["t", "u"])
TOPICS = st.sampled_from(["default/one", "default/two"])
PAYLOADS = st.sampled_from([None, b"", b"\x00\xff", b"value"])
SHORT_MS = st.sampled_from([0, 0, 1, 50, 1000])
DATA = st.data()
BLOB = Digest("fa2c8cc4f28176bbeed4b736df569a34c79cd3723e9ec42f9674b4d46ac6b8b8")  # of b"blob"


def choice(draw: st.DataObject, items: list[Any]) -> Any:
    """One of the items; None if there is none."""
    return draw.draw(st.sampled_from(items)) if items else None


class Enough(BaseException):  # hypothesis looks into mere exceptions
    """The time for random programs is over."""


class PairMachine(RuleBasedStateMachine):
    """The rules of every contract's machine: runs, and time."""

    store: ClassVar[Store]
    seconds: ClassVar[float] = math.inf  # in which programs begin; one with calls always does
    until: ClassVar[float] = math.inf
    played: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        own = type(self)
        if own.until == math.inf:
            own.until = time.monotonic() + own.seconds
        self.commits: list[TurnCommit] = []
        self.wakes: list[WakeClaim] = []
        self.claims: list[MessageClaim] = []
        self.counter = 0
        self._runs_first = 0
        self._pair: Pair | None = None

    @property
    def pair(self) -> Pair:
        """Both worlds, opened by the first call: a third of hypothesis's programs have none."""
        if self._pair is None:
            self._pair = Pair(type(self).store)
            for run_id in (RunId("run_a"), RunId("run_b"))[: self._runs_first]:
                self.create_run(run_id, "w", b"a")
        return self._pair

    def teardown(self) -> None:
        own = type(self)
        if self._pair is not None:
            own.played += 1
            try:
                if not self._pair.has_difference:
                    self.compare_everything()
            finally:
                self._pair.close()
        failed = sys.exc_info()[0] is not None  # then this is called on its way out
        if not failed and own.played and time.monotonic() > own.until:
            raise Enough

    @property
    def now(self) -> int:
        return self.pair.clock.now_ms()

    def record(self, run_id: RunId) -> RunRecord | None:
        answer = self.pair.ask("storage.get_run", run_id)
        return answer if isinstance(answer, RunRecord) else None

    @initialize(count=st.integers(1, 2))
    def begin(self, count: int) -> None:
        """Most programs need a run."""
        self._runs_first = count

    @rule(run_id=RUNS, workflow=st.sampled_from(["w", "v"]), payload=st.sampled_from([b"a", b"b"]))
    def create_run(self, run_id: RunId, workflow: str, payload: bytes) -> None:
        self.pair.do("storage.create_run", self.new_run(run_id, workflow, payload))

    @rule(ms=SHORT_MS)
    def let_time_pass(self, ms: int) -> None:
        self.pair.advance(ms)

    @rule(
        run_id=RUNS,
        entity=STEPS,
        kind=st.sampled_from([EventType.STEP_COMPLETED, EventType.STEP_RETRYING]),
        payload=PAYLOADS,
        wake=st.booleans(),
    )
    def append(
        self, run_id: RunId, entity: EntityId, kind: EventType, payload: bytes | None, wake: bool
    ) -> None:
        event = self.event(kind, f"{entity}/end", entity, payload)
        self.do_append(Append(run_id=run_id, event=event, wake=wake))

    @rule(data=DATA, run_id=RUNS, off=st.sampled_from([0, 0, 0, 0, 1, -1]))
    def commit(self, data: st.DataObject, run_id: RunId, off: int) -> None:
        record = self.record(run_id)
        if record is not None:
            self.do_commit(self.draw_commit(data, record, off))

    @rule(data=DATA, run_id=RUNS, off=st.sampled_from([0, 0, 0, 1]))
    def commit_new(self, data: st.DataObject, run_id: RunId, off: int) -> None:
        """A run that is created by its first turn's commit, or is there already."""
        new = self.new_run(run_id, "w", b"a")
        commit = self.draw_commit(data, fresh_record(new), off)
        self.do_commit(dataclasses.replace(commit, new=new))

    @rule(data=DATA)
    def commit_again(self, data: st.DataObject) -> None:
        again = choice(data, self.commits)
        if again is not None:
            self.do_commit(again, again=True)

    def new_run(self, run_id: RunId, workflow: str, payload: bytes) -> NewRun:
        """A run to create."""
        return NewRun(
            run_id=run_id,
            workflow=workflow,
            bundle=Digest("b" * 64),
            engine=Digest("e" * 64),
            input=payload,
            created_at_ms=self.now,
            attributes={"colour": workflow},
            level=LEVEL + (payload == b"b"),
            secret=f"{run_id}/{self.counter}".encode(),
            base_url=f"http://{workflow}",
        )

    def event(
        self, kind: EventType, key: str, entity: EntityId | None, payload: bytes | None = None
    ) -> Event:
        return Event(
            type=kind,
            key=key,
            at_ms=self.now,
            entity=entity,
            payload=payload,
            facts={"n": 1, "text": "é\x00", "yes": True, "none": None} if payload else {},
        )

    def do_append(self, append: Append) -> None:
        self.pair.do("storage.append", append)

    def end_run(self, run_id: RunId, reason: bytes | None = None) -> None:
        """Cancel it."""
        event = self.event(EventType.RUN_CANCELLED, "run/ended", None, reason)
        self.do_append(Append(run_id=run_id, event=event, wake=False))

    def draw_commit(self, data: st.DataObject, record: RunRecord, off: int) -> TurnCommit:
        """A commit that may well be sound."""
        draw = data.draw
        self.counter += 1
        entity = draw(STEPS)
        behind = draw(st.sampled_from([0, 0, 0, 1]))
        ended = draw(st.sampled_from([None, None, None, None, RunStatus.COMPLETED]))
        turn = record.turn + off
        claims = self.draw_hooks(data)
        releases = tuple(draw(st.lists(HOOKS, max_size=2, unique=True)))
        return TurnCommit(
            run_id=record.run_id,
            commit_id=f"commit{self.counter}",
            turn=turn,
            expected_position=record.position - behind,
            consumed=record.position,
            log_digest=bytes([self.counter % 256]),
            deliveries=draw(
                st.sampled_from(
                    [(), (), (self.event(EventType.STEP_COMPLETED, f"{entity}/end", entity, b"d"),)]
                )
            ),
            events=(*self.draw_events(data), *self.draw_hook_events(data, claims, releases)),
            snapshot=draw(st.sampled_from([None, self.draw_snapshot(data, turn + 1)])),
            messages=self.draw_messages(data, record.run_id),
            hooks_claimed=claims,
            hooks_released=releases,
            outcome=None
            if ended is None
            else RunOutcome(
                status=ended,
                payload=b"out",
                at_ms=self.now,
                code="USER_ERROR" if ended is RunStatus.FAILED else None,
            ),
            wake_at_ms=draw(st.sampled_from([None, self.now, self.now + 50])),
        )

    def draw_events(self, data: st.DataObject) -> tuple[Event, ...]:
        events: list[Event] = []
        for entity in data.draw(st.lists(STEPS, max_size=2)):
            events.append(self.event(EventType.STEP_CREATED, f"{entity}/created", entity, b"a"))
        if data.draw(st.booleans()):
            self.counter += 1
            facts: dict[str, Fact] = data.draw(
                st.sampled_from([{"colour": None}, {"size": "1"}, {"colour": "x"}])
            )
            events.append(
                Event(
                    type=EventType.ATTRIBUTES_SET,
                    key=f"attributes_{self.counter}/created",
                    at_ms=self.now,
                    facts=facts,
                )
            )
        return tuple(events)

    def draw_snapshot(self, data: st.DataObject, turn: int) -> Snapshot:
        """Of that turn, or of one before it; others may be kept already."""
        turn = max(1, turn - data.draw(st.sampled_from([0, 0, 1, 2])))
        parent = data.draw(st.sampled_from([None, turn - 1, turn - 2]))
        heap = b"heap%d of %d" % (turn, self.counter)  # a turn's images are never the same twice
        return Snapshot(turn=turn, parent_turn=parent, consumed=turn, data=heap)

    def draw_messages(self, data: st.DataObject, run_id: RunId) -> tuple[NewMessage, ...]:
        entities = data.draw(st.lists(STEPS, max_size=2, unique=True))
        return tuple(
            NewMessage(
                message_id=f"{run_id}/{entity}",
                run_id=run_id,
                topic=data.draw(TOPICS),
                body=b"body",
                due_ms=self.now + data.draw(SHORT_MS),
                lease_ms=data.draw(st.sampled_from([None, 100])),
            )
            for entity in entities
        )

    def draw_hooks(self, data: st.DataObject) -> tuple[HookClaim, ...]:
        hooks = data.draw(st.lists(HOOKS, max_size=2, unique=True))
        return tuple(self.draw_claim(data, hook) for hook in hooks)

    def draw_claim(self, data: st.DataObject, hook: EntityId) -> HookClaim:
        return HookClaim(
            hook_id=hook,
            token=data.draw(TOKENS),
            metadata=b"m",
            force=data.draw(st.sampled_from([False, False, True])),
            keep_until_ms=data.draw(st.sampled_from([None, None, self.now + 50, self.now + 999])),
        )

    def draw_hook_events(
        self, data: st.DataObject, claims: Sequence[HookClaim], releases: Sequence[EntityId]
    ) -> list[Event]:
        """Those of the claims and releases, in any order, or none."""
        created, disposed = EventType.HOOK_CREATED, EventType.HOOK_DISPOSED
        events = [self.event(created, f"{one.hook_id}/created", one.hook_id) for one in claims]
        events += [self.event(disposed, f"{hook}/end", hook) for hook in releases]
        if not events or data.draw(st.booleans()):
            return []
        return data.draw(st.permutations(events))

    def do_commit(self, commit: TurnCommit, *, again: bool = False) -> None:
        if not again:
            self.commits.append(commit)
        ends: list[WakeClaim | MessageClaim] = [*self.wakes, *self.claims]
        leases = tuple(
            LeaseEnd(
                lease=claim.lease,
                generation=claim.generation if isinstance(claim, WakeClaim) else 0,
            )
            for claim in ends
            if _is_of(claim, commit.run_id)
        )
        answer = self.pair.do("storage.commit", dataclasses.replace(commit, leases=leases))
        for lease in getattr(answer, "leases", ()):
            self.note_lease(lease, commit)

    def note_lease(self, lease: Lease, commit: TurnCommit) -> None:
        """A message came back leased."""

    def compare_everything(self) -> None:
        """Both worlds hold the same: all that can be read, then all that can be claimed."""
        do = self.pair.do
        there = [record.run_id for record in do("list_all_runs", RunFilter(), limit=2)]
        for run_id in (RunId("run_a"), RunId("run_b"), RunId("run_c")):
            for name in _OF_A_RUN if run_id in there else _OF_NONE:
                do(name, run_id)
            do("blobs.get", BLOB, run_id=run_id)
        for token in ("t", "u"):
            do("storage.get_hook", token)
        do("queue.count_waiting")
        self.pair.advance(10_000)  # every claim has run out, everything is due
        do("queue.claim_wakes", limit=9, visibility_ms=100)
        do("queue.claim_messages", ["default/one", "default/two"], limit=9, visibility_ms=100)


_OF_A_RUN = (
    "storage.get_run",
    "storage.read_events",
    "snapshots.load",
    "storage.load_run",
    "transfer.read_streams",
)
_OF_NONE = ("storage.get_run",)


def _is_of(claim: WakeClaim | MessageClaim, run_id: RunId) -> bool:
    return run_id == (claim.run_id if isinstance(claim, WakeClaim) else claim.message.run_id)
