"""Turn: landing one ``TurnCommit``: find its row, plan, run the plan's statements.

Synchronous; the caller is in a transaction, and an error leaves nothing behind. The row
is expected where that can be, see ``_sequences``, else it is read. Either way there is one plan and
one place that runs it; where a row is not as expected, nothing stays written and it is read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from perdure.errors import StaleTurnError
from perdure.model import Committed, HookRecord, RunStatus, TurnCommit
from perdure.worldkit.pure import check_turn, created_event, revocation

from ._appending import cancel_others
from ._children import land_children
from ._ends import let_go
from ._hooks import find_hook
from ._log import remove_events, write_events
from ._notices import bring
from ._owners import Owner
from ._plan import NOTHING_READ, ExpectedRow, Landing, Reads, RunRow, plan
from ._runs import find_run, unpack_committed
from ._schema import pack_key, pack_map
from ._sequences import Sequences
from ._snapshots import keep_snapshot
from ._writer import Transaction

__all__ = ("commit_turn",)

_STATUSES = {status.value: status for status in RunStatus}
_NO_KEYS: frozenset[str] = frozenset()
_MANY = 500  # values of a statement
_SEND = (
    "INSERT INTO messages (n, name, id, topic, body, due_ms, token, expires_ms, attempt)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_AS_EXPECTED = (
    "n = ? AND run_id = ? AND status = 'running' AND turn = ? AND position = ?"
    " AND commit_id IS NOT ? AND wake_attempt = 0 AND inline_token = ? AND inline_expires_ms > ?"
)
_AS_EXPECTED_TO_SEND = (
    f"{_AS_EXPECTED} AND leased_ms <= ? AND inline_name != ?"
    " AND NOT EXISTS (SELECT 1 FROM messages WHERE messages.n = runs.n AND name = ?)"
)


def commit_turn(
    commit: TurnCommit, owner: Owner, sequences: Sequences, transaction: Transaction
) -> Committed:
    """Land *commit*, or give the answer it had; nothing has been written when it raises.

    But for a new run, and hooks: the caller rolls back.
    """
    expected = sequences.expected(commit, now_ms=transaction.now_ms)
    if expected is not None:
        committed = _land(commit, owner, sequences, transaction, expected, NOTHING_READ)
        if committed is not None:
            return committed
    if commit.new is not None:
        committed = _create(commit, owner, sequences, transaction)
        if committed is not None:
            return committed
    row = _read_row(transaction, commit)
    if row.committed is not None and row.commit_id == commit.commit_id:
        return unpack_committed(row.committed)
    if commit.new is not None:
        raise StaleTurnError(commit.run_id, reason="it is there already")
    check_turn(
        commit,
        status=_STATUSES[row.status],
        turn=row.turn,
        position=row.position,
        cancel_at_ms=row.cancel_at_ms,
    )
    committed = _land(commit, owner, sequences, transaction, row, _read(transaction, commit, row))
    if committed is None:  # a key is in the log
        row = _read_row(transaction, commit)
        reads = _read(transaction, commit, row, _logged_keys(transaction, commit, row.n))
        committed = _land(commit, owner, sequences, transaction, row, reads)
    assert committed is not None  # none of the keys is there
    return committed


def _create(
    commit: TurnCommit, owner: Owner, sequences: Sequences, transaction: Transaction
) -> Committed | None:
    """Land the first turn of a run, and with it the run; None if there is one."""
    assert commit.new is not None
    transaction.is_promise = True
    for keys in (None, _NO_KEYS):  # again if two of its events have one key
        row = RunRow.of(commit.new)
        reads = _read(transaction, commit, row, keys)
        committed = _land(commit, owner, sequences, transaction, row, reads)
        if committed is not None:
            check_turn(commit, status=RunStatus.PENDING, turn=0, position=1)
            return committed
    return None


def _read_row(transaction: Transaction, commit: TurnCommit) -> RunRow:
    return RunRow.read(find_run(transaction.db, commit.run_id, RunRow.COLUMNS))


def _read(
    transaction: Transaction, commit: TurnCommit, row: RunRow, keys: frozenset[str] | None = None
) -> Reads:
    """The rows that *commit* depends on besides its run's."""
    if not (commit.hooks_claimed or (row.n and commit.messages) or keys is not None):
        return NOTHING_READ
    db, names = transaction.db, set[str]()
    holders: dict[str, HookRecord] = {}
    for claim in commit.hooks_claimed:
        holder = find_hook(db, claim.token, now_ms=transaction.now_ms)
        if holder is not None:
            holders[claim.token] = holder
    if row.n and commit.messages:
        wanted = [message.message_id.partition("/")[2] for message in commit.messages]
        names = _those_there(db, "SELECT name FROM messages WHERE n = ? AND name", row.n, wanted)
    return Reads(holders=holders, names=names, keys=keys)


def _logged_keys(transaction: Transaction, commit: TurnCommit, n: int) -> frozenset[str]:
    """Which keys of the commit's events are in the log."""
    keys = {pack_key(event.key): event.key for event in (*commit.deliveries, *commit.events)}
    keys[pack_key("run/ended")] = "run/ended"
    there = _those_there(
        transaction.db, "SELECT key FROM events WHERE n = ? AND key", n, list(keys)
    )
    return frozenset([keys[key] for key in there])


def _those_there(db: sqlite3.Connection, select: str, n: int, values: Sequence[Any]) -> set[Any]:
    """Which of the *values* the rows of a run have."""
    there: set[Any] = set()
    for start in range(0, len(values), _MANY):
        some = values[start : start + _MANY]
        rows = db.execute(f"{select} IN ({', '.join('?' * len(some))})", (n, *some))
        there.update([row[0] for row in rows])
    return there


def _land(
    commit: TurnCommit,
    owner: Owner,
    sequences: Sequences,
    transaction: Transaction,
    row: RunRow | ExpectedRow,
    reads: Reads,
) -> Committed | None:
    """Plan, and run the plan's statements: the log first, then the row, then all else.

    Returns:
        None if a key was in the log, or the row is not as expected; nothing is written then.
    """
    landing = plan(commit, row, reads, now_ms=transaction.now_ms, new_token=owner.new_token)
    if commit.new is None:
        n = row.n
        is_written = _write(commit, row, landing, transaction)
    else:
        n = _insert(commit, landing, transaction)
        is_written = n > 0
    if not is_written:
        return None
    if commit.snapshot is not None:
        keep_snapshot(transaction.db, n, commit.snapshot)
    if landing.messages:
        transaction.cursor.executemany(_SEND, [(n, *values) for values in landing.messages])
    for hook in landing.revoked:
        bring(transaction, revocation(hook, commit.run_id, now_ms=transaction.now_ms))
    for statement, values in landing.statements:
        transaction.cursor.execute(statement, (n, *values))
    committed = landing.committed
    if commit.starts or commit.watches:
        committed = land_children(transaction, n, commit, committed)
    if commit.outcome is not None:
        let_go(transaction, n, commit.run_id)
    if commit.cancels:
        cancel_others(transaction, commit.cancels)
    if landing.rings:
        transaction.rings.update(landing.rings)
    sequences.note(commit.run_id, n, landing.columns.get("inline_token"))
    return committed


def _write(
    commit: TurnCommit, row: RunRow | ExpectedRow, landing: Landing, transaction: Transaction
) -> bool:
    """Write the log and change the row of a run that is there."""
    cursor, n, position, columns = transaction.cursor, row.n, row.position, landing.columns
    is_read = isinstance(row, RunRow)
    if not write_events(cursor, n, position, landing.events, is_last=is_read):
        return False
    if is_read:
        cursor.execute(_update(tuple(columns), "n = ?"), (*columns.values(), n))
        return True
    where, values = _AS_EXPECTED, [*columns.values(), n, commit.run_id, commit.turn, position]
    values += (commit.commit_id, row.inline_token, transaction.now_ms)
    if commit.messages:
        where, name = _AS_EXPECTED_TO_SEND, columns["inline_name"]
        values += (columns["inline_expires_ms"], name, name)
    cursor.execute(_update(tuple(columns), where), values)
    if cursor.rowcount:
        return True
    remove_events(cursor, n, position)
    return False


def _insert(commit: TurnCommit, landing: Landing, transaction: Transaction) -> int:
    """Create the run and its log; its number, or 0 if it is there or a key comes twice."""
    new, cursor = commit.new, transaction.cursor
    assert new is not None
    columns = {
        "run_id": new.run_id,
        "workflow": new.workflow,
        "bundle": new.bundle,
        "engine": new.engine,
        "created_at_ms": new.created_at_ms,
        "idempotency_key": new.idempotency_key,
        "attributes": pack_map(new.attributes),
        "level": new.level,
        "secret": new.secret,
        "base_url": new.base_url,
        "wake_generation": 1,
    }
    columns.update(landing.columns)
    cursor.execute(_insertion(tuple(columns)), [*columns.values()])
    n = cursor.lastrowid
    if cursor.rowcount != 1 or n is None:
        return 0
    if write_events(cursor, n, 0, [created_event(new), *landing.events], is_last=True):
        return n
    cursor.execute("DELETE FROM runs WHERE n = ?", (n,))
    return 0


@lru_cache(maxsize=128)  # by which columns a commit changes, as plans put them
def _update(columns: tuple[str, ...], where: str) -> str:
    return f"UPDATE runs SET {', '.join([f'{column} = ?' for column in columns])} WHERE {where}"


@lru_cache(maxsize=16)
def _insertion(columns: tuple[str, ...]) -> str:
    places = ", ".join("?" * len(columns))
    return (
        f"INSERT INTO runs ({', '.join(columns)}) VALUES ({places}) ON CONFLICT (run_id) DO NOTHING"
    )
