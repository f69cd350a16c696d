"""What cannot be read is named, whatever object it is: never a raw error, nor asked for ever."""

# tests look inside
# pyright: reportPrivateUsage=false
from __future__ import annotations

from collections.abc import Awaitable, Callable

import cbor2
import pytest
from s3_values import RUN, new_run

from perdure.errors import WorldContractError
from perdure_s3 import S3World
from perdure_s3._head import Head
from perdure_s3._index import _unpack
from perdure_s3._schema import Layout, unpack_event
from perdure_s3._streams import _Stream
from tests import damage

DAMAGE = {
    **damage.DAMAGE,
    "a map": b"\xa0",
    "few parts": b"\x81\x01",
    "other types": cbor2.dumps([None] * 16),
    "a claim of a length": b"\x9b\x00\x00\x00\x01\x00\x00\x00\x00",
}
UNUSUAL_FACTS = {
    name: cbor2.dumps(["run_started", "k", 1, None, None])[:-1].replace(b"\x85", b"\x86")
    + b"\xf6"
    + facts
    for name, facts in damage.UNUSUAL.items()
}
READERS: dict[str, Callable[[bytes], object]] = {
    "head": lambda data: Head.parse(data, "etag"),
    "stream": lambda data: _Stream.parse(data, "etag"),
    "shelf": _unpack,
    "event": unpack_event,
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("reader", READERS)
def test_damaged_bytes_are_named(reader: str, kind: str) -> None:
    with pytest.raises(WorldContractError, match="cannot be read"):
        READERS[reader](DAMAGE[kind])


@pytest.mark.parametrize("kind", UNUSUAL_FACTS)
def test_so_they_are_within_a_whole_event(kind: str) -> None:
    with pytest.raises(WorldContractError, match="an event cannot be read"):
        unpack_event(UNUSUAL_FACTS[kind])


async def info(world: S3World) -> object:
    return await world.storage.get_run(RUN)


async def opened(world: S3World) -> object:
    async with S3World(world.url) as other:
        return other


OBJECTS: dict[str, tuple[str, Callable[[S3World], Awaitable[object]]]] = {
    "a head": (Layout.head(RUN), info),
    "what a world says of itself": (Layout.WORLD, opened),
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", OBJECTS)
async def test_so_they_are_from_a_bucket(url: str, name: str) -> None:
    key, read = OBJECTS[name]
    async with S3World(url) as world:
        await world.storage.create_run(new_run())
        await world.settle()
        await world._handle.cas.put(key, DAMAGE["text"])
        async with S3World(url) if key != Layout.WORLD else world as reader:
            with pytest.raises(WorldContractError, match="cannot be read"):
                await read(reader)
