"""The snapshot format: whatever is not exactly right is refused."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from typing import Any

import cbor2
import hypothesis.strategies as st
import pytest
from hypothesis import given

from perdure._protocol.snapshot_format import (
    MAGIC,
    SnapshotHeader,
    decode_ledger,
    decode_snapshot,
    encode_ledger,
    encode_snapshot,
)
from perdure.errors import SnapshotRejectedError

HEADER = SnapshotHeader(
    engine=b"e" * 32,
    bundle=b"b" * 32,
    baseline=b"i" * 32,
    run_id="run_a",
    turn=3,
    commit_id="commit",
    consumed=7,
    log_digest=b"l" * 32,
    memory_bytes=1 << 20,
    stack_pointer=4096,
    parent_turn=None,
)
KEYS = pytest.mark.parametrize("key", [None, b"secret"])


@KEYS
def test_a_snapshot_comes_back(key: bytes | None) -> None:
    header = replace(HEADER, parent_turn=2)
    data = encode_snapshot(header, b"fold", b"delta", key=key)
    expected = {field.name: getattr(header, field.name) for field in fields(header)}
    assert decode_snapshot(data, key=key, expected=expected) == (header, b"fold", b"delta")


@KEYS
def test_every_flipped_byte_is_noticed(key: bytes | None) -> None:
    data = encode_snapshot(HEADER, b"fold", b"delta", key=key)
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0x40
        with pytest.raises(SnapshotRejectedError):
            decode_snapshot(bytes(damaged), key=key)


@KEYS
def test_every_cut_is_noticed(key: bytes | None) -> None:
    data = encode_snapshot(HEADER, b"fold", b"delta", key=key)
    for end in range(len(data)):
        with pytest.raises(SnapshotRejectedError):
            decode_snapshot(data[:end], key=key)


@pytest.mark.parametrize(("made", "read"), [(None, b"k"), (b"k", None), (b"k", b"other")])
def test_another_key_is_refused(made: bytes | None, read: bytes | None) -> None:
    with pytest.raises(SnapshotRejectedError):
        decode_snapshot(encode_snapshot(HEADER, b"", b"", key=made), key=read)


@pytest.mark.parametrize("name", [field.name for field in fields(SnapshotHeader)])
def test_every_field_can_be_expected(name: str) -> None:
    data = encode_snapshot(HEADER, b"", b"", key=None)
    with pytest.raises(SnapshotRejectedError, match=name):
        decode_snapshot(data, key=None, expected={name: "other"})


@pytest.mark.parametrize("change", [{"turn": "x"}, {"engine": "text"}, {"parent_turn": b""}])
def test_fields_of_other_types_are_refused(change: dict[str, Any]) -> None:
    data = encode_snapshot(replace(HEADER, **change), b"", b"", key=None)
    with pytest.raises(SnapshotRejectedError, match="types"):
        decode_snapshot(data, key=None)


@pytest.mark.parametrize("body", [b"\xff", cbor2.dumps([1, 2]), cbor2.dumps([[1], b"", b""])])
def test_a_body_that_is_no_header_is_refused_though_its_digest_is_right(body: bytes) -> None:
    data = MAGIC + b"\x00" + body
    with pytest.raises(SnapshotRejectedError, match="header cannot be read"):
        decode_snapshot(data + hashlib.sha256(data).digest(), key=None)


@given(st.binary(max_size=120), st.none() | st.binary(max_size=4))
def test_any_other_bytes_are_refused(data: bytes, key: bytes | None) -> None:
    for made in (data, MAGIC + data):
        with pytest.raises(SnapshotRejectedError):
            decode_snapshot(made, key=key)


@given(st.lists(st.integers() | st.text() | st.none()))
def test_a_ledger_comes_back(values: list[object]) -> None:
    assert decode_ledger(encode_ledger(values)) == values
