"""Mutations: bytes that are almost a payload, and bytes that never were one.

Everything follows from the generator given, so a seed names the inputs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import cbor2

from perdure._protocol.codec import encode
from perdure._protocol.tags import TYPED_ARRAYS, Tag
from perdure.errors import GuestError
from perdure.values import UNDEFINED, ArrayBuffer, DataView, RegExp, StepRef, TypedArray, Url

__all__ = ("HEALTHY", "inputs", "mutated")

OURS = (Tag.ERROR, Tag.BUFFER, Tag.STEP, Tag.VIEW, Tag.INSTANT)
TAGS = (0, 1, 2, 3, 28, 29, 30, 32, 258, 259, 21066, 55799, *TYPED_ARRAYS, *OURS, 2**63, 2**64 - 1)
EDGES = (0, 1, 23, 24, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**63)
MAX_BYTES = 2048
_ODD: list[object] = [None, -1, "text", [], {}, [[]], {"name": {}}, b"\1\2\3", {1: 2}]
_ODD.append(["(" * 300, "g"])


def _shared() -> object:
    inner: dict[str, object] = {"list": [1, "a"], "at": datetime(2026, 1, 1, tzinfo=UTC)}
    inner["me"] = inner
    error = GuestError(name="FatalError", message="m", errors=(inner,), props={"code": 7})
    error.cause = error
    return [inner, {1: inner, "x": error}, error, {"s": {1, "two", 3.5}}]


HEALTHY: list[object] = [
    {"a": [1, -1, 2**53, -(2**70), 0.5, True, None, UNDEFINED], "text": "é€𝄞\0"},
    {1: b"bytes", "m": {2: {3, 4}}},
    [RegExp("a(b|c)+?", "giu"), Url("https://example.com/a?b=c#d"), StepRef("steps:work")],
    [
        ArrayBuffer(b"12345678"),
        DataView(b"1234"),
        *(TypedArray(t, b"\1" * 8) for t in (69, 79, 86)),
    ],
    datetime(1999, 12, 31, 23, 59, 59, 123000, tzinfo=UTC),
    [datetime.max.replace(tzinfo=UTC), datetime(1999, 12, 31, 23, 59, 59, 123456, tzinfo=UTC)],
    GuestError(name="RangeError", message="r", stack="at w (w.ts:1:1)", cause="c", fatal=True),
]
_MORE: list[object] = [HEALTHY, _shared(), [[[[[]]]]], ""]
_SEEDS = [encode(value, where="seed") for value in [*HEALTHY, *_MORE]]


def inputs(rng: random.Random) -> Iterator[bytes]:
    """Payloads, without end; one in ten is valid as it is."""
    while True:
        data = rng.choice(_SEEDS)
        yield data if rng.random() < 0.1 else mutated(rng, data)


def mutated(rng: random.Random, data: bytes) -> bytes:
    """These bytes after one to six mutations."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        data = rng.choice(_MUTATIONS)(rng, data)
    return data[:MAX_BYTES]


def _head(major: int, n: int) -> bytes:
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 1 << (8 * size):
            return bytes([major << 5 | info]) + n.to_bytes(size, "big")
    raise AssertionError(n)


def _flip(rng: random.Random, data: bytes) -> bytes:
    made = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 2, 8))):
        made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
    return bytes(made)


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _splice(rng: random.Random, data: bytes) -> bytes:
    other = rng.choice(_SEEDS)
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other)) :]


def _repeat(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(len(data) + 1)
    end = rng.randrange(start, len(data) + 1)
    return data[:end] + data[start:end] * rng.choice((1, 2, 30)) + data[end:]


def _overwrite(rng: random.Random, data: bytes, piece: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + piece + data[at + rng.choice((0, 1, len(piece))) :]


def _length(rng: random.Random, data: bytes) -> bytes:
    """A length that is not that of what follows."""
    n = min(2**64 - 1, max(0, rng.choice(EDGES) + rng.randrange(-2, 3)))
    return _overwrite(rng, data, _head(rng.randrange(2, 6), n))


def _number(rng: random.Random, data: bytes) -> bytes:
    """Integers, floats and simple values at their edges."""
    kind = rng.randrange(4)
    if kind == 0:
        return _overwrite(rng, data, _head(rng.randrange(2), rng.choice(EDGES)))
    if kind == 1:
        return _overwrite(rng, data, bytes([rng.choice((0xF9, 0xFA, 0xFB))]) + rng.randbytes(8))
    if kind == 2:
        special = rng.choice(("7ff0000000000000", "7ff8000000000001", "8000000000000000"))
        return _overwrite(rng, data, b"\xfb" + bytes.fromhex(special))
    return _overwrite(rng, data, bytes([0xE0 | rng.randrange(32)]))


def _tag(rng: random.Random, data: bytes) -> bytes:
    """Any tag before anything."""
    at = rng.randrange(len(data) + 1)
    return data[:at] + _head(6, rng.choice(TAGS)) + data[at:]


def _reference(rng: random.Random, data: bytes) -> bytes:
    """Tags 28 and 29: to what is there, to what is not, to what is not there yet."""
    at = rng.randrange(len(data) + 1)
    if rng.random() < 0.5:
        return data[:at] + b"\xd8\x1c" * rng.choice((1, 1, 2, 40)) + data[at:]
    number = rng.choice((0, 1, 2, 3, 200, 2**32, 2**63))
    return _overwrite(rng, data, b"\xd8\x1d" + _head(0, number))


def _nest(rng: random.Random, data: bytes) -> bytes:
    """Containers in containers, past every limit of depth."""
    shells = (b"\x81", b"\xa1\x61a", b"\xa1\x01", b"\xc1", b"\xd8\x1c", b"\xd9\x01\x02\x81")
    error = _head(6, Tag.ERROR) + b"\xa2\x64name\x61E\x65cause"
    depth = rng.choice((3, 100, 199, 200, 201, 499, 500, 501, 1500))
    pieces = [rng.choice((*shells, error))] if rng.random() < 0.5 else [*shells, error]
    return b"".join(rng.choice(pieces) for _ in range(depth)) + data


def _wrap(rng: random.Random, data: bytes) -> bytes:
    """A known tag over a value of another kind than it wants."""
    return _head(6, rng.choice(TAGS)) + cbor2.dumps(rng.choice(_ODD)) + data[:0]


def _random(rng: random.Random, data: bytes) -> bytes:
    return rng.randbytes(rng.choice((1, 4, 16, 64, 400)))


_MUTATIONS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _flip,
    _flip,
    _cut,
    _splice,
    _repeat,
    _length,
    _number,
    _tag,
    _reference,
    _nest,
    _wrap,
    _random,
)
