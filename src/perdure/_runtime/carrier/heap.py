"""Heap: a run's VM in memory, and the facts known beside it.

It comes from the run's newest snapshot or, where there is none that passes its checks, from the
log. Used by one VM thread at a time. Deliveries that are told again on the way to where the run is
must bring the commands that the log holds, and the digest that the run's record holds; else nothing
of it is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, final

from ..._core.cursor import Cursor
from ..._core.ledger import Ledger
from ..._core.turn import check_repeated
from ..._model.commands import Answer, DeliveryOutput
from ..._model.commit import Committed
from ..._model.events import Event, EventType, LoggedEvent
from ..._model.ids import Digest
from ..._model.runs import RunRecord
from ..._model.snapshot import Snapshot
from ..._protocol.frames import Limits, StartFrame
from ..._protocol.snapshot_format import (
    SnapshotHeader,
    decode_ledger,
    decode_snapshot,
    encode_ledger,
    encode_snapshot,
)
from ..._vm.image import MAX_MEMORY_BYTES, Baseline, take_image
from ..._vm.instance import Instance
from ..._vm.lineage import MAX_LINKS, Lineage
from ...errors import DivergenceError, SnapshotRejectedError
from .deliveries import as_delivery, in_calls, of_log
from .probation import check_answer, check_open, refusal

__all__ = ("Heap",)

_WASM_PAGE = 64 << 10
_ROOM = 3  # times the heap's limit, for memory: what is freed is not given back (2.4, measured)
_PRINTED_CHARS = 64 << 10  # of what a turn printed, in its snapshot


@final
class Heap:
    """A run's live VM."""

    def __init__(self, baseline: Baseline, record: RunRecord, *, limits: Limits) -> None:
        """A heap before ``run_created``."""
        self.run_id = record.run_id
        self.baseline = baseline
        self.ledger = Ledger.empty()
        self.cursor = Cursor.start(record)  # only this class sets it
        self.thawed = False  # it comes from a snapshot, so its word must be checked
        self.vouched = True  # by the log, or by a snapshot's tag
        self.chains = (
            False  # its next snapshot may build on the newest, so that must be saved first
        )
        self.record = record  # of the run, as it was when this was made
        self.unsaved: Snapshot | None = None  # the newest snapshot, until it is in the world
        self._untried = False
        self._printed: tuple[DeliveryOutput, ...] = ()  # by its turn, and perhaps not written
        self._limits = limits
        self._instance: Instance | None = None
        self._lineage = Lineage(baseline)

    def __repr__(self) -> str:
        cursor = self.cursor
        return f"<Heap of {self.run_id} at turn {cursor.turn}, position {cursor.consumed}>"

    @classmethod
    def thaw(
        cls,
        baseline: Baseline,
        record: RunRecord,
        chain: Sequence[Snapshot],
        *,
        limits: Limits,
        key: bytes | None,
    ) -> Heap:
        """The heap that a snapshot chain holds; with an empty chain one before the first delivery.

        Raises:
            SnapshotRejectedError: the chain is damaged, foreign or not of this run's past, or
                anything went wrong with it.
        """
        heap = cls(baseline, record, limits=limits)
        if not chain:
            return heap
        try:
            heap._thaw(chain, key)
        except Exception as exc:
            heap.close()
            raise refusal(exc) from exc
        except BaseException:
            heap.close()
            raise
        return heap

    def _thaw(self, chain: Sequence[Snapshot], key: bytes | None) -> None:
        if len(chain) > MAX_LINKS + 1:
            raise SnapshotRejectedError(f"its chain has {len(chain)} links")
        baseline, record = self.baseline, self.record
        parts = [decode_snapshot(snapshot.data, key=key) for snapshot in chain]
        _check_chain(parts, chain, record, baseline)
        sizes = _sizes(parts, baseline, self._limits)
        header, fold, _ = parts[-1]
        deltas = [delta for _, _, delta in parts]
        steps, waits, hooks, digest, *printed = decode_ledger(fold)
        self.ledger = Ledger(steps=steps, waits=waits, hooks=hooks, digest=digest)
        if printed and isinstance(printed[-1], dict | tuple):
            _add_late_parts(self.ledger, printed)
        self.cursor = self.cursor.thawed(turn=header.turn, consumed=header.consumed)
        self._printed = tuple(_as_output(*parts) for parts in printed)
        self.thawed, self.vouched = True, key is not None
        if digest != header.log_digest or (
            header.consumed == record.consumed and digest != record.log_digest
        ):
            raise SnapshotRejectedError("it has seen another log")
        self._instance = instance = baseline.thaw(deltas, sizes=sizes)
        self._lineage = Lineage.resume(baseline, instance, turn=header.turn, deltas=deltas)
        self.chains = self._lineage.chains
        self._untried = True

    @property
    def held_bytes(self) -> int:
        """The memory that it costs."""
        instance = self._instance
        return self._lineage.held_bytes + (0 if instance is None else instance.heap_bytes)

    @property
    def baseline_key(self) -> tuple[Digest, Digest]:
        """Engine and bundle of its baseline."""
        return self.record.engine, self.record.bundle

    def note_request(self, cancel_at_ms: int) -> None:
        """Take note that the run was asked to end by then: the log says so to the guest."""
        self.record = replace(self.record, cancel_at_ms=cancel_at_ms)

    def close(self) -> None:
        """Free memory. Idempotent."""
        instance, self._instance = self._instance, None
        if instance is not None:
            instance.close()

    def read(self, events: Sequence[LoggedEvent]) -> list[LoggedEvent]:
        """Take note of the log's newest events; returns the deliveries new to the guest."""
        self.cursor = cursor = self.cursor.read(events[-1].position)
        return of_log(events, above=cursor.consumed)

    def catch_up(self, events: Sequence[LoggedEvent]) -> Answer | None:
        """Tell the guest the deliveries of earlier turns again, and compare its commands.

        Args:
            events: the log from above the cursor's ``consumed``.

        Raises:
            SnapshotRejectedError: the heap's past is not the log's.
            DivergenceError: the guest asks for something else than the log says.
        """
        cursor = self.cursor
        deliveries = of_log(events, above=cursor.consumed)
        again = [logged for logged in deliveries if logged.position <= cursor.recorded]
        if not again:
            if self.ledger.digest != self.record.log_digest:
                raise SnapshotRejectedError("it has seen another log")
            return None
        answer = self.deliver(again, recorded=True)
        commands = [c for output in answer.turns for c in output.commands]
        recorded: Mapping[str, Event] = {e.event.key: e.event for e in events}
        try:
            check_repeated(self.run_id, commands, recorded)
            if self.ledger.digest != self.record.log_digest:
                raise DivergenceError(self.run_id, reason="its record has another log digest")
        except DivergenceError as exc:
            if self.thawed:  # the log is the truth: ask it alone before giving up
                raise SnapshotRejectedError(f"what follows from it differs: {exc}") from exc
            raise
        return answer

    def deliver(self, deliveries: Sequence[LoggedEvent], *, recorded: bool = False) -> Answer:
        """Tell the guest these events, in order; one answer for all of them.

        Args:
            recorded: the log holds the guest's commands, so ledger and cursor take note of them
                here. Else the planner notes them in the ledger, and ``end_turn`` in the cursor.
        """
        if self._instance is not None and len(deliveries) == 1:
            return self._tell(deliveries, recorded=recorded)
        answers: list[Answer] = []
        rest = list(deliveries)
        if self._instance is None:
            created = rest.pop(0)
            if created.event.type is not EventType.RUN_CREATED:
                raise SnapshotRejectedError("the log does not begin with run_created")
            self._instance = self.baseline.instantiate()
            answers.append(
                self._instance.start(_start_frame(self.record, created.event, self._limits))
            )
            self._note([created], answers[-1], recorded=recorded)
        for call in in_calls(rest):
            if answers and answers[-1].outcome is not None:
                self._leave(call)
                continue
            answers.append(self._tell(call, recorded=recorded))
        return _joined(answers)

    def _tell(self, call: Sequence[LoggedEvent], *, recorded: bool) -> Answer:
        """Tell it in one guest call."""
        assert self._instance is not None
        answer = self._instance.resume([as_delivery(logged) for logged in call])
        if self.thawed:
            check_answer(call, answer, self.ledger)
        self._note(call, answer, recorded=recorded)
        return answer

    def try_out(self) -> None:
        """Pass only a heap that waits for as much as its fold says; the guest is not changed.

        One that was not thawed, or has passed, passes at once.

        Raises:
            SnapshotRejectedError: it does not.
        """
        if self._untried:
            self._untried = False
            assert self._instance is not None
            check_open(self._instance.resume([]), self.ledger)

    def end_turn(self, inline: int) -> Cursor:
        """Take note that a turn is planned; it must land, or the heap be discarded.

        Args:
            inline: deliveries of the turn that are not in the log yet.
        """
        self.cursor = cursor = self.cursor.planned(inline)
        return cursor

    def land(self, committed: Committed) -> None:
        """Take note that the turn which was planned last has landed, with its unsaved snapshot."""
        self.unsaved = None
        self.cursor = self.cursor.landed(turn=committed.turn, position=committed.position)

    def take_printed(self) -> tuple[DeliveryOutput, ...]:
        """The console output of its snapshot's turn, the first time; then nothing."""
        printed, self._printed = self._printed, ()
        return printed

    def freeze(
        self, *, commit_id: str, key: bytes | None, printed: Iterable[DeliveryOutput] = ()
    ) -> Snapshot:
        """The heap as the snapshot at the end of the turn that was planned, or landed, last.

        It is ``unsaved`` until that is taken, or the next turn lands.

        Args:
            printed: by that turn; a worker that thaws the snapshot writes it to the console, lest
                nobody has. Of very much only the beginning is kept.
        """
        assert self._instance is not None
        turn, consumed = self.cursor.turn, self.cursor.consumed
        delta, parent = self._lineage.freeze(self._instance, turn=turn)
        ledger, record = self.ledger, self.record
        header = SnapshotHeader(
            engine=bytes.fromhex(record.engine),
            bundle=bytes.fromhex(record.bundle),
            baseline=self.baseline.digest,
            run_id=self.run_id,
            turn=turn,
            commit_id=commit_id,
            consumed=consumed,
            log_digest=ledger.digest,
            memory_bytes=self._instance.memory_bytes,
            stack_pointer=self._instance.layout.stack_pointer,
            parent_turn=parent,
        )
        fields = [ledger.steps, ledger.waits, ledger.hooks, ledger.digest]
        fold = encode_ledger([*fields, *_as_parts(printed), *_late_parts(ledger)])
        data = encode_snapshot(header, fold, delta, key=key)
        self.cursor = self.cursor.with_snapshot()
        self.chains = self._lineage.chains
        self.unsaved = Snapshot(turn=turn, parent_turn=parent, consumed=consumed, data=data)
        return self.unsaved

    def take_unsaved(self) -> Snapshot | None:
        """The unsaved snapshot, for the caller to save; the second time there is none."""
        snapshot, self.unsaved = self.unsaved, None
        return snapshot

    def image_digest(self) -> bytes:
        """sha256 of the guest's memory as it is."""
        assert self._instance is not None
        return take_image(self._instance).digest()

    def _note(self, deliveries: Sequence[LoggedEvent], answer: Answer, *, recorded: bool) -> None:
        if answer.outcome is not None and 0 < len(answer.turns) < len(deliveries):
            self._leave(deliveries[len(answer.turns) :])
            deliveries = deliveries[: len(answer.turns)]
        if not recorded:
            for logged in deliveries:
                self.ledger.deliver(logged.event)
            return
        commands = {output.position: output.commands for output in answer.turns}
        for logged in deliveries:  # in order: what one delivery asks for, a later one may end
            self.ledger.deliver(logged.event)
            self.ledger.note(commands.get(logged.position, ()))
        self.cursor = self.cursor.told(deliveries[-1].position)

    def _leave(self, deliveries: Sequence[LoggedEvent]) -> None:
        """Note what came after the end: the guest is not told, so the digest goes without it."""
        digest = self.ledger.digest
        for logged in deliveries:
            self.ledger.deliver(logged.event)
        self.ledger.digest = digest


def _late_parts(ledger: Ledger) -> list[Any]:
    """The parts that a snapshot has only where there is something in them."""
    if ledger.cancel is not None:
        return [ledger.runs, ledger.aborts, ledger.cancel]
    if ledger.aborts:
        return [ledger.runs, ledger.aborts]
    return [ledger.runs] if ledger.runs else []


def _add_late_parts(ledger: Ledger, parts: list[Any]) -> None:
    """Take ``_late_parts`` off the end of a fold's parts."""
    if isinstance(parts[-1], tuple):
        ledger.cancel = parts.pop()
    if len(parts) > 1 and isinstance(parts[-2], dict):
        ledger.aborts = parts.pop()
    ledger.runs = parts.pop()


def _seed(record: RunRecord) -> bytes:
    """Where all that is random in the run comes from: no one else can compute it."""
    label = b"perdure seed\0" + record.secret if record.secret else b""
    return hashlib.sha256(label + record.run_id.encode()).digest()


def _start_frame(record: RunRecord, created: Event, limits: Limits) -> StartFrame:
    token, entry = created.facts.get("hook"), created.facts.get("entry")
    return StartFrame(
        run_id=record.run_id,
        workflow=record.workflow,
        seed=_seed(record),
        at_ms=created.at_ms,
        input=created.payload or b"\x80",
        limits=limits,
        url=record.base_url,
        hook=token if isinstance(token, str) else None,
        entry=entry if isinstance(entry, str) else "",
    )


def _check_chain(
    parts: Sequence[tuple[SnapshotHeader, bytes, bytes]],
    chain: Sequence[Snapshot],
    record: RunRecord,
    baseline: Baseline,
) -> None:
    parent: int | None = None
    for (header, _, _), snapshot in zip(parts, chain, strict=True):
        expected = {
            "engine": bytes.fromhex(record.engine),
            "bundle": bytes.fromhex(record.bundle),
            "baseline": baseline.digest,
            "run_id": record.run_id,
            "turn": snapshot.turn,
            "consumed": snapshot.consumed,
            "parent_turn": parent,
        }
        for name, value in expected.items():
            if getattr(header, name) != value:
                raise SnapshotRejectedError(f"its {name} is not this run's")
        if parent is not None and header.turn <= parent:
            raise SnapshotRejectedError("its chain goes back")
        parent = header.turn
    newest = parts[-1][0]
    if newest.turn > record.turn or newest.consumed > record.consumed:
        raise SnapshotRejectedError("it is of a turn that was never committed")


def _sizes(
    parts: Sequence[tuple[SnapshotHeader, bytes, bytes]], baseline: Baseline, limits: Limits
) -> list[int]:
    """The size of memory that each link of a chain says, within the run's limit."""
    size = baseline.image.memory_bytes
    most = size + _ROOM * limits.heap_bytes if limits.heap_bytes else MAX_MEMORY_BYTES
    pointer = baseline.image.layout.stack_pointer
    sizes: list[int] = []
    for header, _, _ in parts:
        claim = header.memory_bytes
        if not size <= claim <= most or claim % _WASM_PAGE:
            raise SnapshotRejectedError(f"its memory of {claim} bytes is not sound")
        if header.stack_pointer != pointer:
            raise SnapshotRejectedError("its stack is not at rest")
        sizes.append(claim)
        size = claim
    return sizes


def _as_parts(printed: Iterable[DeliveryOutput]) -> Iterator[list[object]]:
    chars = 0
    for output in printed:
        if output.console:
            chars += sum(len(text) for _, text in output.console)
            if chars > _PRINTED_CHARS:
                return
            yield [output.position, [list(line) for line in output.console]]


def _as_output(position: int, console: Sequence[Sequence[str]]) -> DeliveryOutput:
    lines = tuple((level, text) for level, text in console)
    return DeliveryOutput(position=position, commands=(), console=lines)


def _joined(answers: Sequence[Answer]) -> Answer:
    last = answers[-1]
    if len(answers) == 1:
        return last
    return Answer(
        turns=tuple(turn for answer in answers for turn in answer.turns),
        consumed=last.consumed,
        outcome=last.outcome,
        unhandled=last.unhandled,
        instructions=sum(answer.instructions for answer in answers),
        heap_bytes=last.heap_bytes,
        clock_ms=last.clock_ms,
        open=last.open,
    )
