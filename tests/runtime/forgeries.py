"""Forgeries: snapshots that somebody damaged or made up, whose sha256 is right all the same.

Each is made from a sound chain. A tag is added where the forger has the key, which stands for a
bug on our side; others can only leave it out.
"""

from __future__ import annotations

import ctypes
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

import cbor2
import zstandard

from perdure._protocol.frames import Limits
from perdure._protocol.snapshot_format import (
    MAGIC,
    MAX_FOLD_BYTES,
    decode_ledger,
    decode_snapshot,
    encode_ledger,
    encode_snapshot,
)
from perdure._runtime.carrier.heap import Heap
from perdure._vm.delta import compress, pack
from perdure._vm.image import Baseline
from perdure._vm.instance import Instance
from perdure._vm.lineage import MAX_LINKS
from perdure.model import RunRecord, Snapshot

__all__ = ("FOLDS", "FORGERIES", "PATCHES", "PLAUSIBLE", "Sound", "claim", "sealed", "zeros")


@dataclass(frozen=True, kw_only=True)
class Sound:
    """What forgeries are made from."""

    snapshot: Snapshot
    baseline: Baseline
    record: RunRecord
    key: bytes | None  # which the forger has


Forgery: TypeAlias = "Callable[[Sound], list[Snapshot]]"


def sealed(body: bytes, *, key: bytes | None) -> bytes:
    """The body of a snapshot with the digest, and the tag, that are right for it."""
    data = MAGIC + (b"\0" if key is None else b"\1") + body
    digest = hashlib.sha256(data).digest()
    return data + digest + (b"" if key is None else hmac.digest(key, data, "sha256"))


def zeros(size: int) -> bytes:
    """A delta that decompresses to so many zeros."""
    packer, block = zstandard.ZstdCompressor().compressobj(size=size), bytes(1 << 20)
    pieces = [packer.compress(block) for _ in range(size >> 20)]
    return b"\0" + b"".join(pieces) + packer.flush()


def claim(size: int) -> bytes:
    """A delta of a few bytes that claims to be so many."""
    packer = zstandard.ZstdCompressor().compressobj(size=size)
    return b"\0" + packer.compress(b"few") + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)


def unnamed_size() -> bytes:
    """A delta that does not say how large it is."""
    packer = zstandard.ZstdCompressor(write_content_size=False)
    return b"\0" + packer.compress(pack(0, [], []))


def _header(**changes: Any) -> Forgery:
    def forge(sound: Sound) -> list[Snapshot]:
        header, fold, delta = decode_snapshot(sound.snapshot.data, key=sound.key)
        data = encode_snapshot(replace(header, **changes), fold, delta, key=sound.key)
        return [replace(sound.snapshot, data=data)]

    return forge


def _delta(make: Callable[[], bytes]) -> Forgery:
    def forge(sound: Sound) -> list[Snapshot]:
        header, fold, _ = decode_snapshot(sound.snapshot.data, key=sound.key)
        return [replace(sound.snapshot, data=encode_snapshot(header, fold, make(), key=sound.key))]

    return forge


def _body(make: Callable[[int], bytes]) -> Forgery:
    """A delta whose decompressed form is made up, for a memory of the right size."""

    def forge(sound: Sound) -> list[Snapshot]:
        header, fold, _ = decode_snapshot(sound.snapshot.data, key=sound.key)
        delta = compress(make(header.memory_bytes), None)
        return [replace(sound.snapshot, data=encode_snapshot(header, fold, delta, key=sound.key))]

    return forge


def _fold(change: Callable[[list[Any]], Any]) -> Forgery:
    def forge(sound: Sound) -> list[Snapshot]:
        header, fold, delta = decode_snapshot(sound.snapshot.data, key=sound.key)
        changed = change(decode_ledger(fold))
        raw = changed if isinstance(changed, bytes) else encode_ledger(changed)
        return [replace(sound.snapshot, data=encode_snapshot(header, raw, delta, key=sound.key))]

    return forge


def _raw(change: Callable[[bytes], bytes]) -> Forgery:
    """The body's bytes changed, and sealed anew."""

    def forge(sound: Sound) -> list[Snapshot]:
        end = 32 if sound.key is None else 64
        body = sound.snapshot.data[len(MAGIC) + 1 : -end]
        return [replace(sound.snapshot, data=sealed(change(body), key=sound.key))]

    return forge


def _bytes(change: Callable[[bytes], bytes]) -> Forgery:
    return lambda sound: [replace(sound.snapshot, data=change(sound.snapshot.data))]


def _patched(patch: Callable[[Instance], object]) -> Forgery:
    """The heap itself changed, and frozen as it would have been."""

    def forge(sound: Sound) -> list[Snapshot]:
        snapshot = sound.snapshot
        heap = Heap.thaw(sound.baseline, sound.record, [snapshot], limits=Limits(), key=sound.key)
        assert heap._instance is not None
        patch(heap._instance)
        frozen = heap.freeze(commit_id="", key=sound.key)
        heap.close()
        return [frozen]

    return forge


def _chain(count: int, *, parent: Callable[[int], int | None]) -> Forgery:
    """So many links that all are the same, each with the parent that is said."""

    def forge(sound: Sound) -> list[Snapshot]:
        header, fold, delta = decode_snapshot(sound.snapshot.data, key=sound.key)
        links: list[Snapshot] = []
        for turn in range(count):
            of = replace(header, turn=turn, parent_turn=parent(turn))
            data = encode_snapshot(of, fold, delta, key=sound.key)
            links.append(replace(sound.snapshot, turn=turn, parent_turn=of.parent_turn, data=data))
        return links

    return forge


def _filled(byte: int) -> Callable[[Instance], object]:
    def patch(guest: Instance) -> None:
        _, (start, end) = guest.layout.ranges(guest.memory_bytes)
        ctypes.memset(guest.address + start, byte, end - start)

    return patch


def _replaced(old: bytes, new: bytes) -> Callable[[Instance], object]:
    """Every such text in the heap is another."""

    def patch(guest: Instance) -> None:
        _, (start, end) = guest.layout.ranges(guest.memory_bytes)
        heap = ctypes.string_at(guest.address + start, end - start)
        assert old in heap
        changed = heap.replace(old, new)
        ctypes.memmove(guest.address + start, changed, len(changed))

    return patch


def _script(text: str) -> Callable[[Instance], object]:
    return lambda guest: guest.evaluate(f"({text}, 1)")


def _with_entity(table: int, value: object) -> Callable[[list[Any]], Any]:
    """One more of a kind in the fold."""

    def change(fields: list[Any]) -> list[Any]:
        fields[table]["step_77"] = value
        return fields

    return change


def _without(table: int) -> Callable[[list[Any]], Any]:
    def change(fields: list[Any]) -> list[Any]:
        fields[table].clear()
        return fields

    return change


def _at(index: int, value: object) -> Callable[[list[Any]], Any]:
    return lambda fields: [*fields[:index], value, *fields[index + 1 :]]


_OTHER = b"o" * 32
_HEADERS: dict[str, dict[str, Any]] = {
    "engine": {"engine": _OTHER},
    "bundle": {"bundle": _OTHER},
    "baseline": {"baseline": _OTHER},
    "run": {"run_id": "run_other"},
    "turn": {"turn": 77},
    "consumed": {"consumed": 1},
    "log digest": {"log_digest": b"o" * 16},
    "stack pointer": {"stack_pointer": 8},
    "parent": {"parent_turn": 0},
    "memory of 2 TiB": {"memory_bytes": 2 << 40},
    "memory of 1 GiB": {"memory_bytes": 1 << 30},
    "memory of nothing": {"memory_bytes": 0},
    "memory of less than nothing": {"memory_bytes": -65536},
    "memory of no whole page": {"memory_bytes": (64 << 20) + 1},
    "memory of another delta": {"memory_bytes": 80 << 20},
    "type of a number": {"turn": True},
    "type of a text": {"run_id": b"run"},
    "type of a digest": {"engine": "e" * 32},
    "size of a digest": {"engine": b"e"},
    "size of a text": {"commit_id": "c" * 100_000},
    "huge number": {"turn": 1 << 9000},
    "nested": {"commit_id": [[[[[[[[]]]]]]]]},
}
_FOLDS: dict[str, Callable[[list[Any]], Any]] = {
    "is no CBOR": lambda _: b"\xff",
    "is a text": lambda _: cbor2.dumps("fold"),
    "is empty": lambda _: b"",
    "has no part": lambda _: [],
    "has a part less": lambda fields: fields[:3],
    "has a part more": lambda fields: [*fields, 7],
    "has a list for steps": _at(0, []),
    "has numbers for steps": _at(0, {1: "x"}),
    "has no text of a step": _with_entity(0, 7),
    "has a text for a wait": _with_entity(1, "soon"),
    "has a truth for a wait": _with_entity(1, True),
    "has a wait past all time": _with_entity(1, 2**63),
    "has bytes for a hook": _with_entity(2, b"token"),
    "has a text for its digest": _at(3, "digest"),
    "has another digest": _at(3, b"o" * 16),
    "has a digest too long": _at(3, b"o" * 99),
    "has lines that are none": lambda fields: [*fields, [1, [["log"]]]],
    "has lines of numbers": lambda fields: [*fields, [1, [["log", 7]]]],
    "has lines of no list": lambda fields: [*fields, [1, 7]],
    "has lines of no delivery": lambda fields: [*fields, ["1", []]],
    "is huge": lambda fields: [{str(k): "x" * 99 for k in range(MAX_FOLD_BYTES // 100)}],
    "is a tag": lambda _: cbor2.dumps(cbor2.CBORTag(30, [1, 2])),
    "is a great list": lambda _: b"\x9b" + b"\x7f" * 8,
    "is twice the same key": lambda _: b"\x84\xa2\x61a\x61b\x61a\x61c\xa0\xa0\x40",
    "has no end": lambda _: b"\x9f\xa0\xa0\xa0\x40\xff",
}
_BODIES: dict[str, Callable[[int], bytes]] = {
    "is cut short": lambda size: pack(size, [1, 2], [])[:9],
    "has fewer parts than pages": lambda size: pack(size, [1, 2], []),
    "has more parts than pages": lambda size: pack(size, [], [(b"abcd", b"\0")]),
    "claims more words than it has": lambda size: (
        pack(size, [1], [])[:-1] + b"\0" * 5 + b"\xff" * 8
    ),
    "has a page twice": lambda size: pack(size, [1, 1], [(b"abcd", b"\0")]),
    "has pages past all memory": lambda size: pack(size, [2**31], [(b"abcd", b"\0")]),
    "has pages that add up past it": lambda size: (
        pack(size, [0], [])[:4] + b"\2\0\0\0" + b"\xff" * 8 + bytes(8)
    ),
    "writes past its pages": lambda size: pack(size, [1], [(b"abcd" * 9, b"\xff\x7f" * 9)]),
    "is of another memory": lambda size: pack(size + 65536, [1], [(b"abcd", b"\0")]),
}
_CHAINS: dict[str, Forgery] = {
    "no root": _chain(1, parent=lambda turn: turn - 1),
    "a link of itself": _chain(2, parent=lambda turn: turn),
    "a missing parent": _chain(3, parent=lambda turn: turn - 2 if turn else None),
    "two roots": _chain(2, parent=lambda turn: None),
    "a parent to come": _chain(2, parent=lambda turn: turn + 1 if turn else None),
    "too many links": _chain(MAX_LINKS + 2, parent=lambda turn: turn - 1 if turn else None),
}
# Each of the right types: only what the heap does next can tell.
FOLDS: dict[str, Forgery] = {
    "its fold lacks its steps": _fold(_without(0)),
    "its fold has a step more": _fold(_with_entity(0, "forged:step")),
    "its fold has a wait more": _fold(_with_entity(1, 2**50)),
    "its fold has a wait that is due": _fold(_with_entity(1, 1)),
    "its fold has a hook more": _fold(_with_entity(2, "token")),
}
# Of a heap that does what workflow code may do: with a right tag, its word counts.
PLAUSIBLE = ("that throws", "that needs all memory", "that waits for nothing")
PATCHES: dict[str, Forgery] = {
    "of zeros": _patched(_filled(0)),
    "of ones": _patched(_filled(255)),
    "that asks for what is none": _patched(_replaced(b"step\0", b"stop\0")),
    "that throws": _patched(_script("Map.prototype.get = () => { throw new Error('forged') }")),
    "that loops": _patched(_script("Map.prototype.get = () => { for (;;); }")),
    "that needs all memory": _patched(
        _script("Map.prototype.get = () => new ArrayBuffer(2 ** 30)")
    ),
    "that waits for nothing": _patched(_script("Map.prototype.get = () => new Promise(() => {})")),
}
FORGERIES: dict[str, Forgery] = {
    "cut short": _bytes(lambda data: data[:-41]),
    "cut short, sealed": _raw(lambda body: body[:-9]),
    "flipped": _bytes(lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:]),
    "of another version": _bytes(lambda data: b"PRDS\x7f" + data[5:]),
    "of another mark": _bytes(lambda data: data[:5] + bytes([data[5] ^ 3]) + data[6:]),
    "of nothing": _bytes(lambda _: b""),
    "of a text": lambda sound: [replace(sound.snapshot, data=cast("Any", "text"))],
    "of a null": lambda sound: [replace(sound.snapshot, data=cast("Any", None))],
    "of a tag": _raw(lambda body: b"\xd8\x1e" + body),
    "of two parts": _raw(lambda _: b"\x82\x80\x40"),
    "of a text alone": _raw(lambda _: cbor2.dumps("snapshot")),
    "of few fields": _raw(lambda _: cbor2.dumps([[1], b"", b""])),
    "of a text for a delta": _raw(lambda body: cbor2.dumps([cbor2.loads(body)[0], b"", ""])),
    **{f"another {name}": _header(**changes) for name, changes in _HEADERS.items()},
    **{f"its fold {name}": _fold(change) for name, change in _FOLDS.items()},
    "a bomb": _delta(lambda: zeros(256 << 20)),
    "a bomb of the heap's size": _delta(lambda: zeros(1 << 20)),
    "a claim of 2 TiB": _delta(lambda: claim(2 << 40)),
    "a claim of 256 MiB": _delta(lambda: claim(256 << 20)),
    "a size that is not named": _delta(unnamed_size),
    "a delta of nothing": _delta(lambda: b""),
    "a delta of another format": _delta(lambda: b"\7delta"),
    "a delta that is none": _delta(lambda: b"\0delta"),
    "a delta and more": _delta(lambda: compress(pack(64 << 20, [], []), None) + b"more"),
    **{f"its delta {name}": _body(make) for name, make in _BODIES.items()},
    **{f"a chain with {name}": forge for name, forge in _CHAINS.items()},
}
