"""The snapshot format: whatever is not exactly right is refused."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import fields, replace
from typing import Any

import cbor2
import hypothesis.strategies as st
import pytest
from hypothesis import given

from perdure._protocol.snapshot_format import (
    ABORTS_FORMAT,
    CANCEL_FORMAT,
    FORMAT,
    LEDGER_FORMAT,
    MAGIC,
    MAX_FOLD_BYTES,
    RUNS_FORMAT,
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


NAMES = st.text(max_size=9)
TABLES = st.tuples(
    st.dictionaries(NAMES, NAMES),
    st.dictionaries(NAMES, st.integers(-(2**63), 2**63 - 1)),
    st.dictionaries(NAMES, NAMES),
    st.binary(max_size=32),
)
PRINTED = st.tuples(st.integers(0, 2**62), st.lists(st.tuples(NAMES, NAMES)))


@given(TABLES, st.lists(PRINTED))
def test_a_ledger_comes_back(tables: tuple[Any, ...], printed: list[Any]) -> None:
    lines = [[at, [list(line) for line in console]] for at, console in printed]
    assert decode_ledger(encode_ledger([*tables, *lines])) == [*tables, *lines]


@given(TABLES, st.lists(PRINTED), st.dictionaries(NAMES, NAMES))
def test_a_ledger_with_runs_is_of_another_version(
    tables: tuple[Any, ...], printed: list[Any], runs: dict[str, str]
) -> None:
    lines = [[at, [list(line) for line in console]] for at, console in printed]
    data = encode_ledger([*tables, *lines, runs])
    assert (cbor2.loads(data)[0], decode_ledger(data)) == (RUNS_FORMAT, [*tables, *lines, runs])


@given(TABLES, st.lists(PRINTED), st.dictionaries(NAMES, NAMES), st.dictionaries(NAMES, NAMES))
def test_a_ledger_with_aborts_is_of_yet_another_version(
    tables: tuple[Any, ...], printed: list[Any], runs: dict[str, str], aborts: dict[str, str]
) -> None:
    lines = [[at, [list(line) for line in console]] for at, console in printed]
    fields = [*tables, *lines, runs, aborts]
    data = encode_ledger(fields)
    assert (cbor2.loads(data)[0], decode_ledger(data)) == (ABORTS_FORMAT, fields)


@given(
    TABLES,
    st.lists(PRINTED),
    st.tuples(st.dictionaries(NAMES, NAMES), st.dictionaries(NAMES, NAMES)),
    st.tuples(st.integers(0, 2**62), st.none() | st.binary()),
)
def test_a_ledger_of_a_run_that_was_asked_to_end_is_of_another_version(
    tables: tuple[Any, ...],
    printed: list[Any],
    late: tuple[dict[str, str], dict[str, str]],
    cancel: tuple[int, bytes | None],
) -> None:
    lines = [[at, [list(line) for line in console]] for at, console in printed]
    fields = [*tables, *lines, *late, cancel]
    data = encode_ledger(fields)
    assert (cbor2.loads(data)[0], decode_ledger(data)) == (CANCEL_FORMAT, fields)


@pytest.mark.parametrize("cancel", [7, [], [1], [-1, None], [1, "text"], [True, None]])
def test_a_request_of_another_form_is_refused(cancel: object) -> None:
    fields: list[Any] = [CANCEL_FORMAT, {}, {}, {}, b"", {}, {}, cancel]
    with pytest.raises(SnapshotRejectedError, match="parts of other types"):
        decode_ledger(cbor2.dumps(fields))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | NAMES | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.integers(), inner),
    max_leaves=6,
)


@given(
    st.lists(VALUES, max_size=6).map(lambda fields: [LEDGER_FORMAT, *fields])
    | st.lists(VALUES, max_size=6).map(lambda fields: [RUNS_FORMAT, *fields])
    | st.lists(VALUES, max_size=8).map(lambda fields: [ABORTS_FORMAT, *fields])
    | st.lists(VALUES, max_size=8).map(lambda fields: [CANCEL_FORMAT, *fields])
    | VALUES
)
def test_any_other_value_is_no_ledger(value: Any) -> None:
    """It is refused by name, or it is a ledger."""
    try:
        steps, waits, hooks, digest, *_ = decode_ledger(cbor2.dumps(value))
    except SnapshotRejectedError:
        return
    assert all(isinstance(table, dict) for table in (steps, waits, hooks))
    assert isinstance(digest, bytes)


@pytest.mark.parametrize(
    "tables",
    [
        [[], {}, {}, b""],
        [{}, [], {}, b""],
        [{"a": 1}, {}, {}, b""],
        [{}, {"a": True}, {}, b""],
        [{}, {"a": 2**63}, {}, b""],
        [{}, {}, {b"a": "b"}, b""],
        [{}, {}, {}, ""],
    ],
)
def test_tables_of_another_form_are_refused(tables: list[Any]) -> None:
    with pytest.raises(SnapshotRejectedError, match="parts of other types"):
        decode_ledger(encode_ledger(tables))


@pytest.mark.parametrize("lines", [7, [1], [1, 2], [-1, []], [1, [["log"]]], [1, [["log", 2]]]])
def test_lines_of_another_form_are_refused(lines: object) -> None:
    with pytest.raises(SnapshotRejectedError, match="parts of other types"):
        decode_ledger(encode_ledger([{}, {}, {}, b"", lines]))


@pytest.mark.parametrize("version", [0, CANCEL_FORMAT + 1, 2**62])
@given(tables=TABLES, more=st.lists(NAMES | TABLES.map(list), max_size=3))
def test_a_ledger_of_another_version_is_refused_by_name(
    version: int, tables: tuple[Any, ...], more: list[Any]
) -> None:
    """Whatever else it holds: nothing but its version is looked at."""
    reason = f"its fold has version {version}, this package reads {CANCEL_FORMAT}"
    with pytest.raises(SnapshotRejectedError, match=reason):
        decode_ledger(cbor2.dumps([version, *more, *tables]))


@pytest.mark.parametrize(
    "fields",
    [
        *([], ["1"], [-1]),
        *([LEDGER_FORMAT], [LEDGER_FORMAT, {}, {}, {}]),
        [RUNS_FORMAT, {}, {}, {}, b""],
        [ABORTS_FORMAT, {}, {}, {}, b"", {}],
        [CANCEL_FORMAT, {}, {}, {}, b"", {}, {}],
    ],
)
def test_a_ledger_of_fewer_parts_is_refused(fields: list[Any]) -> None:
    with pytest.raises(SnapshotRejectedError, match="its fold has other parts"):
        decode_ledger(cbor2.dumps(fields))


@given(version=st.integers(0, 255).filter(lambda version: version != FORMAT), rest=st.binary())
def test_a_snapshot_of_another_version_is_refused_by_name(version: int, rest: bytes) -> None:
    """Whatever else it holds: nothing but its version is looked at."""
    reason = f"its format has version {version}, this package reads {FORMAT}"
    with pytest.raises(SnapshotRejectedError, match=reason):
        decode_snapshot(b"PRDS" + bytes([version, 0]) + bytes(32) + rest, key=None)


@given(st.binary(max_size=60))
def test_any_other_bytes_are_no_ledger(data: bytes) -> None:
    with contextlib.suppress(SnapshotRejectedError):
        decode_ledger(data)


@pytest.mark.parametrize("tag", [2, 4, 28, 30, 35, 36, 55799, 2**40])
def test_no_tag_is_read(tag: int) -> None:
    data = b"\x84\xa0\xa0\xa0" + cbor2.dumps(cbor2.CBORTag(tag, [b"1", 2]))
    with pytest.raises(SnapshotRejectedError, match="its fold cannot be read"):
        decode_ledger(data)


def test_a_ledger_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(SnapshotRejectedError, match="fold of 16777217 bytes is too large"):
        decode_ledger(bytes(MAX_FOLD_BYTES + 1))


@pytest.mark.parametrize("change", [{"run_id": "r" * 70_000}, {"turn": 1 << 9000}])
def test_what_is_said_of_a_field_is_short(change: dict[str, Any]) -> None:
    data = encode_snapshot(replace(HEADER, **change), b"", b"", key=None)
    with pytest.raises(SnapshotRejectedError) as caught:
        decode_snapshot(data, key=None)
    assert len(str(caught.value)) < 300
    sound = encode_snapshot(replace(HEADER, run_id="r" * 60_000), b"", b"", key=None)
    with pytest.raises(SnapshotRejectedError, match="…, not 'run_a'") as caught:
        decode_snapshot(sound, key=None, expected={"run_id": "run_a"})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("body", ["text", [], [[], b"", b""], [[1] * 11, b"", ""]])
def test_a_body_of_other_parts_is_refused(body: object) -> None:
    data = MAGIC + b"\x00" + cbor2.dumps(body)
    with pytest.raises(SnapshotRejectedError, match="header"):
        decode_snapshot(data + hashlib.sha256(data).digest(), key=None)
