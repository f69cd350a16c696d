"""Snapshot format: header, fold, delta; checked before anything is loaded.

Pure. Layout: magic, one byte with the format's version, one byte that says whether a keyed tag
follows, one CBOR array (header fields, fold, delta), sha256 of all of it, and HMAC-SHA256 of all of
it where a key is configured. A snapshot is executable state: one that does not match is refused,
and the run is rebuilt from its log. So is one of a version that is not known here, which another
worker may have written; the fold has a version of its own. A digest that is right proves nothing
without a key, so every field has a strict type and a bound, and no CBOR tag is read.
"""

# A snapshot may hold values of any type until it is checked, so parts of them stay unknown:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import cbor2

from .._core.plain import load_plain
from .._value_class import value_class
from ..errors import SnapshotRejectedError

__all__ = (
    "MAX_FOLD_BYTES",
    "SnapshotHeader",
    "decode_ledger",
    "decode_snapshot",
    "encode_ledger",
    "encode_snapshot",
)

NAME, FORMAT = b"PRDS", 3
MAGIC = NAME + bytes([FORMAT])
LEDGER_FORMAT = 1  # of a ledger without runs, which every worker reads
RUNS_FORMAT = 2  # of one with them
ABORTS_FORMAT = 3  # of one with aborts that are awaited
CANCEL_FORMAT = 4  # of one whose run was asked to end: runs, aborts, and its deadline and reason
_TABLES = 4  # fields before the output
DIGEST_BYTES = 32
MAX_FOLD_BYTES = 16 << 20
_MAX_DEPTH = 5  # the lines of what was printed
_MAX_INT = 2**63
_MAX_TEXT = 1 << 16
_SHOWN_CHARS = 80  # of a foreign value in a message
_UNKEYED, _KEYED = b"\x00", b"\x01"


@value_class
class SnapshotHeader:
    """The run, turn and code that a snapshot belongs to."""

    engine: bytes  # sha256 of guest.wasm
    bundle: bytes  # sha256 of the bundle
    baseline: bytes  # sha256 of the image the delta is against (or chains to)
    run_id: str
    turn: int
    commit_id: str
    consumed: int  # position of the last delivery in it
    log_digest: bytes  # rolling digest of the log up to there
    memory_bytes: int
    stack_pointer: int
    parent_turn: int | None  # None: relative to the baseline


_NAMES = tuple(field.name for field in fields(SnapshotHeader))


def _is_digest(value: object) -> bool:
    return type(value) is bytes and len(value) == DIGEST_BYTES


def _is_text(value: object) -> bool:
    return type(value) is str and len(value) <= _MAX_TEXT


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < _MAX_INT


def _is_rolling_digest(value: object) -> bool:
    return type(value) is bytes and len(value) <= DIGEST_BYTES


_CHECKS: dict[str, Callable[[object], bool]] = {
    "engine": _is_digest,
    "bundle": _is_digest,
    "baseline": _is_digest,
    "run_id": _is_text,
    "turn": _is_count,
    "commit_id": _is_text,
    "consumed": _is_count,
    "log_digest": _is_rolling_digest,
    "memory_bytes": _is_count,
    "stack_pointer": _is_count,
    "parent_turn": lambda value: value is None or _is_count(value),
}


def encode_snapshot(
    header: SnapshotHeader, fold: bytes, delta: bytes, *, key: bytes | None
) -> bytes:
    """The bytes a world keeps."""
    values = [getattr(header, name) for name in _NAMES]
    mark = _UNKEYED if key is None else _KEYED
    data: bytes = MAGIC + mark + cbor2.dumps([values, fold, delta])
    return data + _digests(data, key)


def decode_snapshot(
    data: bytes, *, key: bytes | None, expected: Mapping[str, object] | None = None
) -> tuple[SnapshotHeader, bytes, bytes]:
    """Header, fold and delta of a snapshot that passes every check.

    Args:
        expected: header fields that must have these values.

    Raises:
        SnapshotRejectedError: cut short, altered, of another format, tagged with another key, or
            with other fields than expected; nothing of it must be used.
    """
    start = len(MAGIC) + 1
    if len(data) < start + DIGEST_BYTES or not data.startswith(NAME):
        raise SnapshotRejectedError("not a snapshot")
    if not data.startswith(MAGIC):
        raise SnapshotRejectedError(_unknown("format", data[len(NAME)], FORMAT))
    mark = data[len(MAGIC) : start]
    if mark != (_UNKEYED if key is None else _KEYED):
        raise SnapshotRejectedError(
            "it is tagged with a key, and none is configured"
            if key is None
            else "a key is configured, and it has no tag"
        )
    end = len(data) - DIGEST_BYTES * (1 if key is None else 2)
    body, digest = data[:end], data[end : end + DIGEST_BYTES]
    if not hmac.compare_digest(hashlib.sha256(body).digest(), digest):
        raise SnapshotRejectedError("its digest does not match its bytes")
    if not hmac.compare_digest(_digests(body, key), data[end:]):
        raise SnapshotRejectedError("its tag is not of the key that is configured")
    header, fold, delta = _parse(body[start:])
    for name, value in (expected or {}).items():
        if getattr(header, name) != value:
            raise SnapshotRejectedError(
                f"its {name} is {_shown(getattr(header, name))}, not {_shown(value)}"
            )
    return header, fold, delta


def _parse(body: bytes) -> tuple[SnapshotHeader, bytes, bytes]:
    parts = _load(body, "header")
    if type(parts) is not list or len(parts) != 3:
        raise SnapshotRejectedError("its header cannot be read: it is not three parts")
    values, fold, delta = parts
    if type(values) is not list or len(values) != len(_NAMES):
        raise SnapshotRejectedError("its header cannot be read: it has other fields")
    if type(fold) is not bytes or type(delta) is not bytes:
        raise SnapshotRejectedError("its header has parts of other types")
    for name, value in zip(_NAMES, values, strict=True):
        if not _CHECKS[name](value):
            raise SnapshotRejectedError(f"its header has fields of other types: {name}")
    return SnapshotHeader(**dict(zip(_NAMES, values, strict=True))), fold, delta


def _load(data: bytes, part: str) -> Any:
    try:
        return load_plain(data, depth=_MAX_DEPTH)
    except ValueError as exc:
        raise SnapshotRejectedError(f"its {part} cannot be read: {_shown(str(exc))}") from exc


def _unknown(part: str, version: object, own: int) -> str:
    return f"its {part} has version {_shown(version)}, this package reads {own}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def _digests(data: bytes, key: bytes | None) -> bytes:
    digest = hashlib.sha256(data).digest()
    return digest if key is None else digest + hmac.digest(key, data, "sha256")


def encode_ledger(fields: list[Any]) -> bytes:
    """The planner's ledger as the fold part of a snapshot, after its version.

    Args:
        fields: steps, waits, hooks, digest, each turn's output; last the runs, or the runs and the
            aborts, where there are any; of a run that was asked to end both, and a tuple of its
            deadline and the reason. Its version is the first with these.
    """
    version = LEDGER_FORMAT
    last: object = fields[-1] if len(fields) > _TABLES else None
    if isinstance(last, dict):
        version = ABORTS_FORMAT if type(fields[-2]) is dict else RUNS_FORMAT
    elif isinstance(last, tuple):
        version = CANCEL_FORMAT
    data: bytes = cbor2.dumps([version, *fields])
    return data


def decode_ledger(data: bytes) -> list[Any]:
    """The argument of ``encode_ledger``: steps, waits, hooks, digest, and the rest.

    Raises:
        SnapshotRejectedError: it is anything else, or of another version.
    """
    if len(data) > MAX_FOLD_BYTES:
        raise SnapshotRejectedError(f"its fold of {len(data)} bytes is too large")
    parts: Any = _load(data, "fold")
    if type(parts) is not list or not parts or not _is_count(parts[0]):
        raise SnapshotRejectedError("its fold has other parts")
    version, *fields = parts
    if not LEDGER_FORMAT <= version <= CANCEL_FORMAT:
        raise SnapshotRejectedError(_unknown("fold", version, CANCEL_FORMAT))
    more = version - LEDGER_FORMAT  # parts
    if len(fields) < _TABLES + more:
        raise SnapshotRejectedError("its fold has other parts")
    steps, waits, hooks, digest, *printed = fields
    if version == CANCEL_FORMAT:
        fields[-1] = _cancel(printed.pop())
        more -= 1
    tables = [printed.pop() for _ in range(more)]
    sound = (
        _is_table(steps, str)
        and _is_table(waits, int)
        and _is_table(hooks, str)
        and all(_is_table(table, str) for table in tables)
        and (not waits or (min(waits.values()) >= -_MAX_INT and max(waits.values()) < _MAX_INT))
        and _is_rolling_digest(digest)
        and (not printed or all(map(_is_printed, printed)))
    )
    if not sound:
        raise SnapshotRejectedError("its fold has parts of other types")
    return fields


def _cancel(value: Any) -> tuple[int, bytes | None]:
    """The deadline and the reason of a run that was asked to end.

    Raises:
        SnapshotRejectedError: it is anything else.
    """
    is_pair = type(value) is list and len(value) == 2 and _is_count(value[0])
    if not is_pair or not (value[1] is None or type(value[1]) is bytes):
        raise SnapshotRejectedError("its fold has parts of other types")
    return value[0], value[1]


def _is_table(value: object, kind: type) -> bool:
    if type(value) is not dict:
        return False
    # A thaw does this, and a generator costs more than the rest of it.
    for key, item in value.items():  # noqa: SIM110
        if type(key) is not str or type(item) is not kind:
            return False
    return True


def _is_printed(value: object) -> bool:
    """Whether it is a position and lines, each a level and a text."""
    if type(value) is not list or len(value) != 2 or not _is_count(value[0]):
        return False
    lines = value[1]
    return type(lines) is list and all(
        type(line) is list and len(line) == 2 and all(type(text) is str for text in line)
        for line in lines
    )
