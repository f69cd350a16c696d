"""Snapshot format: header, fold, delta; checked before anything is loaded.

Pure. Layout: magic, a 4-byte length, the CBOR header, fold and delta, then a digest over all of
it: sha256, or HMAC-SHA256 where a key is configured. A snapshot is executable state: whatever
does not match is refused, and the run is rebuilt from its log.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import asdict, dataclass
from typing import Any

import cbor2

from ..errors import SnapshotRejectedError

__all__ = ("SnapshotHeader", "decode_snapshot", "encode_snapshot")

MAGIC = b"PRDS\x01"
DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotHeader:
    """What a snapshot is of."""

    engine: bytes  # sha256 of guest.wasm
    bundle: bytes  # sha256 of the bundle
    baseline: bytes  # sha256 of the image the delta is against (or chains to)
    run_id: str
    turn: int
    commit_id: str
    consumed: int
    log_digest: bytes
    memory_bytes: int
    stack_pointer: int
    parent_turn: int | None


def encode_snapshot(header: SnapshotHeader, fold: bytes, delta: bytes, *, key: bytes | None) -> bytes:
    """The bytes a world keeps."""
    fields = asdict(header)
    body = cbor2.dumps([list(fields.values()), fold, delta])
    data = MAGIC + body
    return data + _digest(data, key)


def decode_snapshot(data: bytes, *, key: bytes | None) -> tuple[SnapshotHeader, bytes, bytes]:
    """Header, fold and delta of a snapshot that passes every check of its own.

    Raises:
        SnapshotRejectedError: cut short, altered, of another format, or tagged with another key.
    """
    if len(data) < len(MAGIC) + DIGEST_BYTES or not data.startswith(MAGIC):
        raise SnapshotRejectedError("not a snapshot of this format")
    body, tag = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
    if not hmac.compare_digest(_digest(body, key), tag):
        raise SnapshotRejectedError("its digest does not match its bytes")
    try:
        fields, fold, delta = cbor2.loads(body[len(MAGIC) :])
        header = SnapshotHeader(**dict(zip(SnapshotHeader.__slots__, fields, strict=True)))
    except (cbor2.CBORDecodeError, TypeError, ValueError) as exc:
        raise SnapshotRejectedError(f"its header cannot be read: {exc}") from exc
    return header, fold, delta


def _digest(data: bytes, key: bytes | None) -> bytes:
    if key is None:
        return hashlib.sha256(data).digest()
    return hmac.new(key, data, hashlib.sha256).digest()


def encode_ledger(fields: list[Any]) -> bytes:
    """The planner's ledger as the fold part of a snapshot."""
    data: bytes = cbor2.dumps(fields)
    return data


def decode_ledger(data: bytes) -> list[Any]:
    """What ``encode_ledger`` was given."""
    fields: list[Any] = cbor2.loads(data)
    return fields
