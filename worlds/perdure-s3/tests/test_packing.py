"""What is unpacked of a part is bounded before memory is used, and what is damaged is named."""

# tests look inside
# pyright: reportPrivateUsage=false
from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable

import cbor2
import pytest
from hypothesis import given, strategies as st
from s3_values import RUN, event, new_run

from perdure.errors import WorldContractError
from perdure.model import Append
from perdure_s3 import S3World, _packing
from perdure_s3._head import unpack_segment
from perdure_s3._packing import pack, sized, unpack
from perdure_s3._schema import Layout

MIB = 1 << 20


@given(st.lists(st.text() | st.binary() | st.integers(0, 2**60)))
def test_what_was_packed_comes_back(value: list[object]) -> None:
    data, size = pack(value)
    assert unpack(data, sized("log-0123", size)) == value
    assert unpack(data, "log-0123") == value  # of an earlier version


def bomb(size: int) -> bytes:
    packer = zlib.compressobj(9)
    zeros = bytes(MIB)
    return b"".join([*(packer.compress(zeros) for _ in range(size // MIB)), packer.flush()])


@pytest.mark.parametrize("name", ["log-0123.100", "log-0123", "log-0123.99999999999999999999"])
def test_a_bomb_is_refused_before_it_is_unpacked(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_packing, "MAX_BYTES", MIB)
    data = bomb(64 * MIB)
    tracemalloc.start()
    try:
        with pytest.raises(WorldContractError, match="more than"):
            unpack(data, name)
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


GOOD = pack([["key", b"data"]] * 9)[0]
DAMAGED = {
    "empty": b"",
    "cut": GOOD[:-5],
    "other bytes": b"\x00" * 50,
    "of another checksum": GOOD[:-1] + bytes([GOOD[-1] ^ 1]),
    "no value": zlib.compress(b"\xff"),
    "a cut value": zlib.compress(b"\x82\x01"),
    "a claim of a size": zlib.compress(b"\x9b\x00\x00\x00\x01\x00\x00\x00\x00"),
    "nested deeply": zlib.compress(b"\x81" * 20_000),
    "no list": zlib.compress(cbor2.dumps({"a": 1})),
    "no events": zlib.compress(cbor2.dumps([1])),
    "events with more": zlib.compress(cbor2.dumps([["a", b"b", 3]])),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_segment_is_named(damage: str) -> None:
    with pytest.raises(WorldContractError, match=r"part log-0123\.100 "):
        list(unpack_segment(DAMAGED[damage], "log-0123.100"))


def cut(data: bytes) -> bytes:
    return data[:-9]


def swell(_: bytes) -> bytes:
    return bomb(8 * MIB)


@pytest.mark.anyio
@pytest.mark.parametrize("change", [cut, swell])
async def test_a_log_with_a_damaged_part_is_named(
    url: str, change: Callable[[bytes], bytes]
) -> None:
    async with S3World(url) as world, S3World(url) as other:
        await world.storage.create_run(new_run())
        for n in range(130):
            await world.storage.append(Append(run_id=RUN, event=event(f"step_{n}/end", 3)))
        await world.settle()
        head = await world._handle.runs.get(RUN)
        key = Layout.part(RUN, head.birth, head.segments[0].name)
        part = await world._handle.cas.get(key)
        # It is there.
        await world._handle.cas.put(key, change(part.body))  # type: ignore[union-attr]
        with pytest.raises(WorldContractError, match="part log-"):
            await other.storage.read_events(RUN)


@pytest.mark.anyio
@pytest.mark.parametrize("change", [cut, swell])
async def test_a_stream_with_a_damaged_part_is_named(
    url: str, change: Callable[[bytes], bytes]
) -> None:
    async with S3World(url) as world:
        await world.storage.create_run(new_run())
        await world.streams.append(RUN, "s", [b"x"] * 300, writer="w", sequence=1)
        head = await world._handle.runs.get(RUN)
        folder = Layout.streams(RUN, head.birth)
        keys = [listed.key async for listed in world._handle.cas.names(folder)]
        (key,) = [key for key in keys if "." in key]
        part = await world._handle.cas.get(key)
        # It is there.
        await world._handle.cas.put(key, change(part.body))  # type: ignore[union-attr]
        with pytest.raises(WorldContractError, match="part "):
            await world.streams.read(RUN, "s")
