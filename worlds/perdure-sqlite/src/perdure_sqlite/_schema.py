"""Schema: the tables, and how an event becomes a row.

A run is an integer in every table but ``runs``. Keys and entities that follow the usual pattern
(``step_12/end``) are packed into a few bytes, because a run may have a hundred thousand of them.
Nothing here runs SQL but ``create_tables``.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias, cast

import cbor2

from perdure.errors import WorldContractError
from perdure.model import LEVEL, EntityId, Event, EventType, Fact, LoggedEvent
from perdure.worldkit.pure import load_plain

__all__ = (
    "APPLICATION_ID",
    "CHILD_EVENTS",
    "EVENT_COLUMNS",
    "EVENT_INSERT",
    "EVENT_PLACES",
    "KNOWN",
    "OF_RUN",
    "VERSION",
    "Row",
    "bounded",
    "create_tables",
    "ids_of",
    "is_current",
    "pack_event",
    "pack_events",
    "pack_key",
    "pack_map",
    "unpack_event",
    "unpack_map",
    "unreadable",
)

Row: TypeAlias = tuple[Any, ...]  # SQLite's columns have no static types

APPLICATION_ID = 0x50455244  # "PERD"
VERSION = 10

# Runs that this version knows how to carry. A later version has an index of its own for its runs.
KNOWN = f"level <= {LEVEL}"
# A claimed wake keeps in wake_due_ms what came meanwhile; claimable it is when its lease runs out.
_TABLES = f"""
CREATE TABLE runs (
  n INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL UNIQUE,
  workflow TEXT NOT NULL,
  bundle TEXT NOT NULL,
  engine TEXT NOT NULL,
  status TEXT NOT NULL,
  turn INTEGER NOT NULL,
  position INTEGER NOT NULL,
  consumed INTEGER NOT NULL,
  log_digest BLOB NOT NULL,
  created_at_ms INTEGER NOT NULL,
  started_at_ms INTEGER,
  ended_at_ms INTEGER,
  payload BLOB,
  idempotency_key TEXT,
  attributes BLOB,
  level INTEGER NOT NULL,
  secret BLOB NOT NULL,
  base_url TEXT NOT NULL,
  code TEXT,
  cancel_at_ms INTEGER,
  commit_id TEXT,
  committed BLOB,
  wake_due_ms INTEGER,
  wake_generation INTEGER NOT NULL,
  wake_attempt INTEGER NOT NULL DEFAULT 0,
  wake_token TEXT,
  wake_expires_ms INTEGER,
  wake_claimable_ms INTEGER GENERATED ALWAYS AS
    (CASE WHEN wake_token IS NULL THEN wake_due_ms ELSE wake_expires_ms END) VIRTUAL,
  leased_ms INTEGER, -- no lease on a message of it runs out before
  inline_name TEXT, -- one message that is leased, see _messages
  inline_topic TEXT,
  inline_body BLOB,
  inline_due_ms INTEGER,
  inline_token TEXT,
  inline_expires_ms INTEGER
);
CREATE INDEX runs_by_creation ON runs (created_at_ms, run_id);
CREATE INDEX runs_by_end ON runs (ended_at_ms, run_id) WHERE ended_at_ms IS NOT NULL;
CREATE INDEX wakes ON runs (wake_claimable_ms, run_id, wake_token)
  WHERE wake_claimable_ms IS NOT NULL AND {KNOWN};
CREATE INDEX leases ON runs (leased_ms) WHERE leased_ms IS NOT NULL;
CREATE TABLE events (
  id INTEGER PRIMARY KEY, -- run and position in one: a log is appended to at one place
  type INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  key BLOB NOT NULL,
  entity TEXT,
  payload BLOB,
  facts BLOB,
  n INTEGER GENERATED ALWAYS AS (id >> 32) VIRTUAL,
  position INTEGER GENERATED ALWAYS AS (id & 0xffffffff) VIRTUAL
);
CREATE UNIQUE INDEX events_by_key ON events (n, key);
CREATE TABLE hooks (
  token TEXT PRIMARY KEY,
  n INTEGER NOT NULL,
  hook_id TEXT NOT NULL,
  metadata BLOB,
  is_webhook INTEGER NOT NULL,
  created_at_ms INTEGER NOT NULL,
  keep_until_ms INTEGER
) WITHOUT ROWID;
CREATE INDEX hooks_by_run ON hooks (n);
CREATE TABLE watchers (
  n INTEGER NOT NULL, -- the run whose end they are told
  run_id TEXT NOT NULL, -- theirs, of this world or of a life that is over
  entity TEXT NOT NULL,
  fence TEXT NOT NULL,
  PRIMARY KEY (n, run_id, entity)
) WITHOUT ROWID;
CREATE INDEX watchers_by_run ON watchers (run_id);
CREATE TABLE messages (
  n INTEGER NOT NULL,
  name TEXT NOT NULL, -- the message's id after the run's
  id TEXT NOT NULL, -- whole: equals are claimed in its order
  topic TEXT NOT NULL,
  due_ms INTEGER NOT NULL,
  token TEXT,
  expires_ms INTEGER,
  attempt INTEGER NOT NULL,
  lost INTEGER NOT NULL DEFAULT 0,
  returned INTEGER NOT NULL DEFAULT 0,
  body BLOB NOT NULL, -- last: whoever looks for a lease need not read over it
  PRIMARY KEY (n, name)
) WITHOUT ROWID;
CREATE INDEX messages_by_topic ON messages (topic, due_ms, id) WHERE token IS NULL;
CREATE INDEX messages_by_lease ON messages (n, expires_ms) WHERE token IS NOT NULL;
CREATE TABLE snapshots (
  id INTEGER PRIMARY KEY, -- run and turn in one, so that a snapshot is one row in one page
  parent_turn INTEGER,
  consumed INTEGER NOT NULL,
  data BLOB NOT NULL,
  n INTEGER GENERATED ALWAYS AS (id >> 32) VIRTUAL,
  turn INTEGER GENERATED ALWAYS AS (id & 0xffffffff) VIRTUAL
);
CREATE TABLE streams (
  id INTEGER PRIMARY KEY,
  n INTEGER NOT NULL,
  name TEXT NOT NULL,
  length INTEGER NOT NULL DEFAULT 0,
  closed INTEGER NOT NULL DEFAULT 0,
  UNIQUE (n, name)
);
CREATE TABLE chunks (
  stream INTEGER NOT NULL,
  position INTEGER NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (stream, position)
) WITHOUT ROWID;
CREATE TABLE stream_writes (
  stream INTEGER NOT NULL,
  writer TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  length INTEGER NOT NULL,
  PRIMARY KEY (stream, writer, attempt, sequence)
) WITHOUT ROWID;
CREATE TABLE blobs (
  run_id TEXT NOT NULL, -- empty: the world's own
  digest TEXT NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (run_id, digest)
);
"""


def is_current(db: sqlite3.Connection) -> bool:
    """Whether the tables are there as this version has them; reads only."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (owner,) = db.execute("PRAGMA application_id").fetchone()
    return (version, owner) == (VERSION, APPLICATION_ID)


def create_tables(db: sqlite3.Connection) -> None:
    """Make the tables where they are missing, in the transaction that is open.

    Raises:
        WorldContractError: the file belongs to another program, or to a later version of this one.
    """
    if is_current(db):
        return
    version = db.execute("PRAGMA user_version").fetchone()[0]
    owner = db.execute("PRAGMA application_id").fetchone()[0]
    if owner not in (0, APPLICATION_ID) or (
        owner == 0 and db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    ):
        raise WorldContractError("the file is another program's database; choose another path")
    if version > VERSION:
        raise WorldContractError(
            f"the file has schema {version}, this package knows {VERSION}: upgrade perdure-sqlite"
        )
    if 0 < version < VERSION:
        raise WorldContractError(
            f"the file has schema {version} of a trial version of perdure-sqlite, this one has"
            f" {VERSION}: finish its runs with that version, or choose another path"
        )
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {VERSION}")


OF_RUN = "id BETWEEN ? AND ?"  # for ids_of; not ?1 twice: Python 3.12 warns of a numbered place


def bounded(count: int) -> int:
    """A position or a limit of a caller's as rows can have it: -1 stands for all below."""
    return max(-1, min(count, 0xFFFFFFFF))


def ids_of(n: int, *, after: int = -1) -> tuple[int, int]:
    """The ids of a run's rows whose position, or turn, is above *after*: the first, the last."""
    return (n << 32) + after + 1, n << 32 | 0xFFFFFFFF


# --- events -------------------------------------------------------------------------------

EVENT_COLUMNS = "position, type, at_ms, key, entity, payload, facts"
EVENT_INSERT = "INSERT INTO events (id, type, at_ms, key, entity, payload, facts) VALUES"
EVENT_PLACES = "(?, ?, ?, ?, ?, ?, ?)"

# Stored numbers: only ever add at the end.
_TYPES = (
    EventType.RUN_CREATED,
    EventType.RUN_STARTED,
    EventType.RUN_COMPLETED,
    EventType.RUN_FAILED,
    EventType.RUN_CANCELLED,
    EventType.STEP_CREATED,
    EventType.STEP_STARTED,
    EventType.STEP_RETRYING,
    EventType.STEP_COMPLETED,
    EventType.STEP_FAILED,
    EventType.HOOK_CREATED,
    EventType.HOOK_CONFLICT,
    EventType.HOOK_RECEIVED,
    EventType.HOOK_DISPOSED,
    EventType.WAIT_CREATED,
    EventType.WAIT_COMPLETED,
    EventType.ATTRIBUTES_SET,
    EventType.RUN_MOVED,
    EventType.HOOK_REGISTERED,
    EventType.HOOK_REVOKED,
    EventType.ABORT_REQUESTED,
    EventType.ABORT_RECEIVED,
    EventType.CHILD_CREATED,
    EventType.CHILD_STARTED,
    EventType.CHILD_CONFLICT,
    EventType.WATCH_CREATED,
    EventType.CHILD_ENDED,
    EventType.ABORT_AWAITED,
    EventType.CANCEL_REQUESTED,
    EventType.CANCEL_SENT,
)
_NUMBERS = {kind: number for number, kind in enumerate(_TYPES)}
CHILD_EVENTS = (_NUMBERS[EventType.CHILD_CREATED], _NUMBERS[EventType.CHILD_CONFLICT])
_KINDS = ("step", "wait", "hook", "attributes")
_ENDINGS = ("created", "end", "start/1", "conflict", "start/2", "start/3", "start/4", "revoked")
_ENDING_CODES = {ending: code for code, ending in enumerate(_ENDINGS)}
_NUMBER = re.compile("[1-9][0-9]{0,17}")
_VERBATIM = 0xFF
_BYTES = tuple(bytes((code,)) for code in range(256))


@lru_cache(maxsize=1024)  # of a step: it is created, it starts, it ends
def _pack_entity(entity: str) -> tuple[int, bytes] | None:
    """The kind and number of an entity that follows the usual pattern."""
    kind, _, digits = entity.partition("_")
    if kind not in _KINDS or not _NUMBER.fullmatch(digits):
        return None
    number = int(digits)
    size = (number.bit_length() + 7) // 8
    return _KINDS.index(kind) << 4, bytes((size, *number.to_bytes(size, "big")))


def pack_key(key: str) -> bytes:
    """The key in few bytes, in the order of its number; reversible."""
    entity, _, ending = key.partition("/")
    packed, code = _pack_entity(entity), _ENDING_CODES.get(ending)
    if packed is None or code is None:
        return b"\xff" + key.encode()
    return packed[1] + _BYTES[packed[0] | code]


def _unpack_key(packed: bytes) -> tuple[str, str | None]:
    """The key, and the entity that it names if it follows the usual pattern."""
    if packed[0] == _VERBATIM:
        return packed[1:].decode(), None
    code = packed[-1]
    entity = f"{_KINDS[code >> 4]}_{int.from_bytes(packed[1:-1], 'big')}"
    return f"{entity}/{_ENDINGS[code & 15]}", entity


def _pack_facts(facts: Mapping[str, Fact]) -> bytes | None:
    if len(facts) == 1:
        ((name, value),) = facts.items()
        if type(value) is int:  # not a bool, which is equal to one
            return _pack_number(name, value)
    elif len(facts) == 2:
        step, at = facts.get("step"), facts.get("at")
        if isinstance(step, str) and isinstance(at, str):
            return _pack_step(step, at)
    return pack_map(facts)


@lru_cache(maxsize=1024)  # a loop makes the same step at the same place again and again
def _pack_step(step: str, at: str) -> bytes:
    data: bytes = cbor2.dumps({"step": step, "at": at})
    return data


@lru_cache(maxsize=64)  # of a step that starts: it is its first attempt
def _pack_number(name: str, value: int) -> bytes:
    data: bytes = cbor2.dumps({name: value})
    return data


def pack_event(n: int, position: int, event: Event) -> Row:
    """A row of ``events``."""
    return tuple(pack_events(n, position - 1, (event,)))


def pack_events(n: int, position: int, events: Sequence[Event]) -> list[Any]:
    """The values of one row of ``events`` after another, from the next position on.

    A step has three, so this is ``pack_key`` and the rest in one loop: a call takes as long.
    """
    values: list[Any] = []
    row = n << 32 | position
    for event in events:
        row += 1
        key, facts = event.key, event.facts
        named: str | None
        named, _, ending = key.partition("/")
        packed, code = _pack_entity(named), _ENDING_CODES.get(ending)
        if packed is None or code is None:
            stored, named = b"\xff" + key.encode(), None
        else:
            stored = packed[1] + _BYTES[packed[0] | code]
        values += (
            row,
            _NUMBERS[event.type],
            event.at_ms,
            stored,
            None if event.entity == named else event.entity or "",
            event.payload,
            _pack_facts(facts) if facts else None,
        )
    return values


def unpack_event(row: Row) -> LoggedEvent:
    """The event in a row of ``EVENT_COLUMNS``.

    Raises:
        WorldContractError: the row is damaged, or of a later version.
    """
    try:
        return _unpacked(row)
    except (IndexError, TypeError, ValueError) as exc:
        raise unreadable(f"the event at position {row[0]}", exc) from exc


def unreadable(what: str, exc: Exception) -> WorldContractError:
    """The error for stored bytes that this package does not write."""
    return WorldContractError(
        f"{what} cannot be read ({type(exc).__name__}): the file is damaged, or a later version"
        " of perdure-sqlite has written to it"
    )


def pack_map(values: Mapping[str, Fact]) -> bytes | None:
    """A mapping of texts to scalars; None when it is empty."""
    data: bytes | None = cbor2.dumps(dict(values)) if values else None
    return data


def unpack_map(data: bytes | None) -> dict[str, Any]:
    """The mapping that ``pack_map`` packed.

    Raises:
        ValueError: it is none.
    """
    values: object = {} if data is None else load_plain(data, depth=1)
    if not isinstance(values, dict):
        raise ValueError("it is no mapping")
    return cast("dict[str, Any]", values)


def _unpacked(row: Row) -> LoggedEvent:
    kind: int
    position, kind, at_ms, packed, entity, payload, facts = row
    key, named = _unpack_key(packed)
    stored = named if entity is None else entity or None
    return LoggedEvent(
        position=position,
        event=Event(
            type=_TYPES[kind],
            key=key,
            at_ms=at_ms,
            entity=None if stored is None else EntityId(stored),
            payload=payload,
            facts=unpack_map(facts),
        ),
    )
