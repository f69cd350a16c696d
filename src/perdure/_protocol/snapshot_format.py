"""Snapshot format: header, fold, delta; checked before anything is loaded.

Pure. Layout: magic with the format's version, one byte that says whether a keyed tag follows, one
CBOR array (header fields, fold, delta), sha256 of all of it, and HMAC-SHA256 of all of it where a
key is configured. A snapshot is executable state: whatever does not match is refused, and the
run is rebuilt from its log.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import cbor2

from .._frozen import frozen
from ..errors import SnapshotRejectedError

__all__ = (
    "SnapshotHeader",
    "decode_ledger",
    "decode_snapshot",
    "encode_ledger",
    "encode_snapshot",
)

MAGIC = b"PRDS\x02"
DIGEST_BYTES = 32
_UNKEYED, _KEYED = b"\x00", b"\x01"


@frozen
class SnapshotHeader:
    """What a snapshot is of."""

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
_KINDS: tuple[tuple[type, ...], ...] = (
    (bytes,),
    (bytes,),
    (bytes,),
    (str,),
    (int,),
    (str,),
    (int,),
    (bytes,),
    (int,),
    (int,),
    (int, type(None)),
)


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
            not what was expected; nothing of it must be used.
    """
    start = len(MAGIC) + 1
    if len(data) < start + DIGEST_BYTES or not data.startswith(MAGIC):
        raise SnapshotRejectedError("not a snapshot of this format")
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
            raise SnapshotRejectedError(f"its {name} is {getattr(header, name)!r}, not {value!r}")
    return header, fold, delta


def _parse(body: bytes) -> tuple[SnapshotHeader, bytes, bytes]:
    try:
        values, fold, delta = cbor2.loads(body)
        header = SnapshotHeader(**dict(zip(_NAMES, values, strict=True)))
        sound = isinstance(fold, bytes) and isinstance(delta, bytes)
    except (cbor2.CBORDecodeError, TypeError, ValueError) as exc:
        raise SnapshotRejectedError(f"its header cannot be read: {exc}") from exc
    if not sound or any(
        not isinstance(value, kinds) for value, kinds in zip(values, _KINDS, strict=True)
    ):
        raise SnapshotRejectedError("its header has fields of other types")
    return header, fold, delta


def _digests(data: bytes, key: bytes | None) -> bytes:
    digest = hashlib.sha256(data).digest()
    return digest if key is None else digest + hmac.digest(key, data, "sha256")


def encode_ledger(fields: list[Any]) -> bytes:
    """The planner's ledger as the fold part of a snapshot."""
    data: bytes = cbor2.dumps(fields)
    return data


def decode_ledger(data: bytes) -> list[Any]:
    """What ``encode_ledger`` was given."""
    fields: list[Any] = cbor2.loads(data)
    return fields
