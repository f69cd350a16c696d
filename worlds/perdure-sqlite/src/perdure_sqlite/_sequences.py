"""Sequences: the commits of inline steps one after another, in two statements each.

A run's first turn starts a step, each further one brings a step's result and starts the next, and
the last one ends the run. As long as nothing else happens, all there is to ask and to do fits one
statement on the run's row and one on the log; the step's message stands in the row. Where any of it
is not so, nothing stays written, and ``_turn``, which can do everything, finds out what to say.
"""

from __future__ import annotations

from typing import final

from perdure.lowlevel import created_event, ended_event
from perdure.model import (
    Committed,
    EventType,
    Lease,
    NewRun,
    RunId,
    RunOutcome,
    TurnCommit,
)

from ._ends import ENDED, let_go
from ._log import Log
from ._messages import MAX_INLINE_BYTES, Inline, lease_inline
from ._owners import Owner
from ._runs import pack_committed
from ._schema import OF_RUN, Row, pack_map
from ._snapshots import keep_snapshot
from ._writer import Transaction

__all__ = ("Sequences",)

_MAX_KNOWN = 4096
_BEGIN = (
    "INSERT INTO runs (turn, position, consumed, log_digest, commit_id, committed, run_id,"
    " workflow, bundle, engine, created_at_ms, started_at_ms, idempotency_key, attributes,"
    f" leased_ms, {Inline.ALL}, status, wake_generation)"
    f" VALUES ({'?, ' * 21}'running', 1) ON CONFLICT (run_id) DO NOTHING"
)
_ADVANCED = "turn = ?, position = ?, consumed = ?, log_digest = ?, commit_id = ?, committed = ?"
_AS_IT_WAS = (
    "n = ? AND run_id = ? AND status = 'running' AND turn = ? AND position = ?"
    " AND commit_id IS NOT ? AND wake_attempt = 0 AND inline_token = ? AND inline_expires_ms > ?"
)
_GO_ON = (
    f"UPDATE runs SET {_ADVANCED}, {Inline.CHANGED} WHERE {_AS_IT_WAS} AND leased_ms <= ?"
    " AND inline_name != ?"
    " AND NOT EXISTS (SELECT 1 FROM messages WHERE messages.n = runs.n AND name = ?)"
)
_END = f"UPDATE runs SET {_ADVANCED}, {ENDED} WHERE {_AS_IT_WAS}"


@final
class Sequences:
    """The runs whose last commit, landed here, left an inline message.

    Only a guess: others write to the same file. Used by whoever has the connection.
    """

    def __init__(self) -> None:
        self._known: dict[RunId, tuple[int, str]] = {}  # the run's number, the message's token

    def __repr__(self) -> str:
        return f"<Sequences of {len(self._known)} runs>"

    def note(self, run_id: RunId, n: int, token: str | None) -> None:
        """A commit of the run left an inline message under this token, or none."""
        if token is None:
            self._known.pop(run_id, None)
            return
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[run_id] = n, token

    def commit(
        self, transaction: Transaction, commit: TurnCommit, owner: Owner
    ) -> Committed | None:
        """Land *commit* if it is one of those and all is as it should be; else None."""
        if not _is_plain(commit):
            return None
        if commit.new is not None:
            return self._begin(transaction, commit, commit.new, owner)
        n, token = self._known.get(commit.run_id, (0, ""))
        if len(commit.leases) != 1 or commit.leases[0].lease.token != token:
            return None
        log = Log(transaction.db, n, commit.expected_position)
        if commit.outcome is not None:
            committed = self._end(transaction, commit, commit.outcome, log)
        else:
            committed = self._go_on(transaction, commit, log, owner)
        if committed is None and log.position > commit.expected_position:
            # They are this transaction's: there was nothing at these positions.
            written = (n << 32 | commit.expected_position + 1, n << 32 | log.position)
            transaction.db.execute(f"DELETE FROM events WHERE {OF_RUN}", written)
        return committed

    def _begin(
        self, transaction: Transaction, commit: TurnCommit, new: NewRun, owner: Owner
    ) -> Committed | None:
        """The run is created, and its first turn starts a step."""
        if commit.turn or commit.expected_position != 1 or commit.leases or not commit.messages:
            return None
        db = transaction.db
        lease, inline = lease_inline(transaction, commit.messages[0], owner.new_token())
        events = (*commit.deliveries, *commit.events)
        committed = _committed(commit, len(events), lease)
        transaction.is_promise = True
        made = db.execute(
            _BEGIN,
            (
                *_advanced(commit, committed),
                *(new.run_id, new.workflow, new.bundle, new.engine, new.created_at_ms),
                events[0].at_ms if events else transaction.now_ms,
                *(new.idempotency_key, pack_map(new.attributes), lease.expires_at_ms),
                *inline,
            ),
        )
        n = made.lastrowid
        if made.rowcount != 1 or n is None:
            return None
        if not Log(db, n, 0).write_new((created_event(new), *events)):
            db.execute("DELETE FROM runs WHERE n = ?", (n,))
            return None
        return self._landed(transaction, commit, n, committed)

    def _go_on(
        self, transaction: Transaction, commit: TurnCommit, log: Log, owner: Owner
    ) -> Committed | None:
        """A step has ended, the next one starts."""
        if not commit.messages:
            return None
        events = (*commit.deliveries, *commit.events)
        if not log.write_new(events):
            return None
        lease, inline = lease_inline(transaction, commit.messages[0], owner.new_token())
        committed = _committed(commit, len(events), lease)
        values = (
            *_advanced(commit, committed),
            *inline,
            *_as_it_was(transaction, commit, log.n),
            *(lease.expires_at_ms, inline[0], inline[0]),
        )
        if not transaction.db.execute(_GO_ON, values).rowcount:
            return None
        return self._landed(transaction, commit, log.n, committed)

    def _end(
        self, transaction: Transaction, commit: TurnCommit, outcome: RunOutcome, log: Log
    ) -> Committed | None:
        """A step has ended, and the run with it."""
        events = (*commit.deliveries, *commit.events, ended_event(outcome))
        if not log.write_new(events):
            return None
        committed = _committed(commit, len(events), None)
        values = (
            *_advanced(commit, committed),
            *(outcome.status, outcome.payload, outcome.at_ms),
            *_as_it_was(transaction, commit, log.n),
        )
        if not transaction.db.execute(_END, values).rowcount:
            return None
        let_go(transaction, log.n, commit.run_id)
        return self._landed(transaction, commit, log.n, committed)

    def _landed(
        self, transaction: Transaction, commit: TurnCommit, n: int, committed: Committed
    ) -> Committed:
        if commit.snapshot is not None:
            keep_snapshot(transaction.db, n, commit.snapshot)
        leases = committed.leases
        self.note(commit.run_id, n, leases[0].token if leases else None)
        return committed


def _is_plain(commit: TurnCommit) -> bool:
    """Whether it touches no hook, timer or attribute, and sends no more than an inline message."""
    if commit.hooks_claimed or commit.hooks_released or commit.wake_at_ms is not None:
        return False
    if EventType.ATTRIBUTES_SET in [event.type for event in commit.events]:
        return False
    if not commit.messages:
        return True
    message = commit.messages[0]
    small = message.lease_ms is not None and len(message.body) <= MAX_INLINE_BYTES
    return small and len(commit.messages) == 1 and commit.outcome is None


def _committed(commit: TurnCommit, written: int, lease: Lease | None) -> Committed:
    return Committed(
        turn=commit.turn + 1,
        position=commit.expected_position + written,
        first_position=commit.expected_position + 1,
        leases=() if lease is None else (lease,),
    )


def _advanced(commit: TurnCommit, committed: Committed) -> Row:
    """The values of ``_ADVANCED``."""
    return (
        committed.turn,
        committed.position,
        commit.consumed,
        commit.log_digest,
        commit.commit_id,
        pack_committed(committed),
    )


def _as_it_was(transaction: Transaction, commit: TurnCommit, n: int) -> Row:
    """The values of ``_AS_IT_WAS``."""
    run = (n, commit.run_id, commit.turn, commit.expected_position, commit.commit_id)
    return (*run, commit.leases[0].lease.token, transaction.now_ms)
