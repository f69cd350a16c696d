"""Schema: how objects are named, and how values are written down in them.

Names' parts are of fixed width or without "/" and of few characters, so that every server lists
them in the same order. Bodies are CBOR arrays, fields in the order of their classes.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, TypeVar, cast, final

import cbor2

from perdure.errors import WorldContractError
from perdure.model import (
    Append,
    Committed,
    EntityId,
    Event,
    EventType,
    HookRecord,
    Lease,
    Message,
    RunId,
    RunRecord,
    RunStatus,
)
from perdure.worldkit.pure import Mailbox, QueuedMessage, load_plain

__all__ = (
    "FORMAT",
    "Layout",
    "dumps",
    "loads",
    "new_mark",
    "pack_committed",
    "pack_event",
    "pack_flat",
    "pack_lease",
    "pack_mailbox",
    "pack_notice",
    "pack_queued",
    "readable",
    "run_of",
    "unpack_committed",
    "unpack_event",
    "unpack_flat",
    "unpack_hook",
    "unpack_lease",
    "unpack_mailbox",
    "unpack_notice",
    "unpack_queued",
    "unpack_record",
)

T = TypeVar("T")
FORMAT = 5
_FALLING = str.maketrans("0123456789abcdef", "fedcba9876543210")
_MAX_DEPTH = 16  # of lists within lists
_END = "z"  # above all digits: of two names that begin alike the longer one comes first
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def new_mark() -> bytes:
    """A mark that tells one write from every other."""
    return secrets.token_bytes(8)


def _safe(name: str) -> str:
    return "".join(
        char if char in _SAFE else "".join(f"={byte:02x}" for byte in char.encode())
        for char in name
    )


@final
class Layout:
    """Where things are, below the world's prefix."""

    WORLD = "world"
    TOKENS = "tok/"
    CREATED = "idx/"
    ENDED = "end/"
    RUNS = "run/"
    DUE = "due/"

    @staticmethod
    def folder(run_id: str) -> str:
        """The beginning of all objects' names of a run, but for its entries in lists."""
        return f"run/{_safe(run_id)}/"

    @staticmethod
    def head(run_id: str) -> str:
        """The run's one object that changes."""
        return f"{Layout.folder(run_id)}head"

    @staticmethod
    def life(run_id: str, birth: str) -> str:
        """The beginning of the names of one life of a run id."""
        return f"{Layout.folder(run_id)}{birth}/"

    @staticmethod
    def part(run_id: str, birth: str, name: str) -> str:
        """An immutable object that the head refers to."""
        return f"{Layout.life(run_id, birth)}part/{name}"

    @staticmethod
    def streams(run_id: str, birth: str) -> str:
        """The beginning of the names of a run's streams."""
        return f"{Layout.life(run_id, birth)}str/"

    @staticmethod
    def stream(run_id: str, birth: str, name: str) -> str:
        """A stream's one object that changes; its name is inside."""
        digest = hashlib.sha256(name.encode()).hexdigest()[:32]
        return f"{Layout.streams(run_id, birth)}{digest}"

    @staticmethod
    def blobs(run_id: str) -> str:
        """The beginning of the names of a run's blobs."""
        return f"{Layout.folder(run_id)}blob/"

    @staticmethod
    def blob(digest: str, run_id: str | None) -> str:
        """A blob."""
        return f"blob/{digest}" if run_id is None else f"{Layout.blobs(run_id)}{digest}"

    @staticmethod
    def longest(run_id: str) -> str:
        """The longest name that an object of this run may have."""
        part = f"{Layout.stream(run_id, 'b' * 20, '')}-{'p' * 16}.{1 << 30}"
        return max(part, Layout.listed(Layout.CREATED, 0, run_id), key=len)

    @staticmethod
    def token(token: str) -> str:
        """The object that names the holder of a hook's token."""
        return f"{Layout.TOKENS}{hashlib.sha256(token.encode()).hexdigest()}"

    @staticmethod
    def listed(folder: str, at_ms: int, run_id: str) -> str:
        """A run's entry in a list by time; equal times in the order of ids.

        Servers list names in rising order only, and runs are listed by their creation with the
        newest first: that list's names have their digits turned round.
        """
        name = f"{at_ms:016d}-{run_id.encode().hex()}"
        return folder + (name.translate(_FALLING) + _END if folder == Layout.CREATED else name)

    @staticmethod
    def parse_listed(key: str) -> tuple[int, str]:
        """The time and run id of an entry."""
        name = key.rpartition("/")[2]
        if name.endswith(_END):
            name = name.removesuffix(_END).translate(_FALLING)
        at, _, run_id = name.partition("-")
        return int(at), bytes.fromhex(run_id).decode()

    @staticmethod
    def due(shard: int) -> str:
        """The shelf of runs that are due soon."""
        return f"{Layout.DUE}{shard:02x}/now"

    @staticmethod
    def later(shard: int, bucket: int | None = None) -> str:
        """The shelf of one stretch of time far ahead; without one, the folder of all of them."""
        folder = f"{Layout.DUE}{shard:02x}/later/"
        return folder if bucket is None else f"{folder}{bucket:010d}"


def dumps(value: object) -> bytes:
    """A value as CBOR."""
    data: bytes = cbor2.dumps(value)
    return data


@contextmanager
def readable(what: str) -> Generator[None, None, None]:
    """Within the block, or in the function that is decorated, stored bytes are read.

    Raises:
        WorldContractError: this package does not write such bytes.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as exc:
        raise WorldContractError(
            f"{what} cannot be read ({type(exc).__name__}): the store is damaged, or a later"
            " version of perdure-s3 has written to it"
        ) from exc


def loads(data: bytes) -> Any:
    """A value from CBOR that this world wrote.

    Raises:
        ValueError: this world does not write that.
    """
    return load_plain(data, depth=_MAX_DEPTH)


def pack_flat(value: Any) -> list[Any]:
    """A dataclass of plain values, as its fields in order."""
    return [_plain(getattr(value, field.name)) for field in fields(value)]


def unpack_flat(cls: type[T], parts: Iterable[Any], **changed: Any) -> T:
    """The value that ``pack_flat`` wrote; *changed* replaces some fields.

    An earlier version knew fewer fields: those at the end that have defaults may be missing.
    """
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]  # a dataclass
    values = list(parts)
    return cls(**{**dict(zip(names[: len(values)], values, strict=True)), **changed})


def _plain(value: Any) -> Any:
    if isinstance(value, RunStatus):
        return str(value)
    return dict(cast("Mapping[str, str]", value)) if isinstance(value, Mapping) else value


def unpack_record(parts: list[Any]) -> RunRecord:
    """A run's record."""
    record = unpack_flat(RunRecord, parts)
    return unpack_flat(RunRecord, parts, status=RunStatus(record.status))


def unpack_hook(parts: list[Any]) -> HookRecord:
    """A live hook."""
    return unpack_flat(HookRecord, parts)


def pack_event(event: Event) -> bytes:
    """An event."""
    return dumps(
        [str(event.type), event.key, event.at_ms, event.entity, event.payload, dict(event.facts)]
    )


@readable("an event")
def unpack_event(data: bytes) -> Event:
    """An event."""
    kind, key, at_ms, entity, payload, facts = loads(data)
    if not isinstance(facts, dict):
        raise TypeError("its facts are no mapping")
    named = cast("dict[str, Any]", facts)
    return Event(
        type=EventType(kind), key=key, at_ms=at_ms, entity=entity, payload=payload, facts=named
    )


def pack_notice(notice: Append) -> list[Any]:
    """An event for another run; a child's end without its payload, which is the run's own."""
    event = notice.event
    if event.type is EventType.CHILD_ENDED:
        event = replace(event, payload=None)
    return [notice.run_id, pack_event(event)]


def unpack_notice(parts: list[Any], sender: RunRecord) -> Append:
    """An event for another run."""
    run_id, data = parts
    event = unpack_event(data)
    if event.type is EventType.CHILD_ENDED:
        event = replace(event, payload=sender.payload)
    return Append(run_id=RunId(run_id), event=event)


def pack_lease(lease: Lease | None) -> list[Any] | None:
    """A lease, or that there is none."""
    return None if lease is None else pack_flat(lease)


def unpack_lease(parts: list[Any] | None) -> Lease | None:
    """A lease, or that there is none."""
    return None if parts is None else unpack_flat(Lease, parts)


def pack_mailbox(wake: Mailbox | None) -> list[Any] | None:
    """A run's wake."""
    if wake is None:
        return None
    return [wake.due_ms, pack_lease(wake.lease), wake.claims, wake.generation]


def unpack_mailbox(parts: list[Any] | None) -> Mailbox | None:
    """A run's wake."""
    if parts is None:
        return None
    due_ms, lease, attempt, generation = parts
    return Mailbox(due_ms=due_ms, lease=unpack_lease(lease), claims=attempt, generation=generation)


def pack_queued(queued: QueuedMessage) -> list[Any]:
    """A message and its counters."""
    return [
        pack_flat(queued.message),
        queued.due_ms,
        pack_lease(queued.lease),
        queued.claims,
        queued.losses,
        queued.returned,
    ]


def unpack_queued(parts: list[Any]) -> QueuedMessage:
    """A message and its counters."""
    message, due_ms, lease, attempt, losses, returned = parts
    return QueuedMessage(
        message=unpack_flat(Message, message),
        due_ms=due_ms,
        lease=unpack_lease(lease),
        claims=attempt,
        losses=losses,
        returned=returned,
    )


def pack_committed(last: tuple[str, Committed] | None) -> list[Any] | None:
    """The last commit's id and answer."""
    if last is None:
        return None
    commit_id, committed = last
    leases = [pack_lease(lease) for lease in committed.leases]
    return [
        commit_id,
        committed.turn,
        committed.position,
        committed.first_position,
        leases,
        list(committed.conflicts),
    ]


def unpack_committed(parts: list[Any] | None) -> tuple[str, Committed] | None:
    """The last commit's id and answer."""
    if parts is None:
        return None
    commit_id, turn, position, first_position, leases, conflicts = parts
    return commit_id, Committed(
        turn=turn,
        position=position,
        first_position=first_position,
        leases=tuple(unpack_flat(Lease, lease) for lease in leases),
        conflicts=tuple(EntityId(hook) for hook in conflicts),
    )


def run_of(item: str) -> RunId:
    """The run that a lease's item belongs to."""
    return RunId(item.partition("/")[0])
