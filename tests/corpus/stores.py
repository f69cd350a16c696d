"""Stores: the contents of a world's store as plain data, out of it and into another."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import anyio.to_thread
import bson
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient

from perdure.abc import World
from perdure.worldkit.clock import Clock
from perdure_mongodb import MongoWorld
from perdure_s3 import S3World
from perdure_s3._client import Place, connect
from perdure_sqlite import SqliteWorld

__all__ = ("MAKE", "dump", "load")

Contents: TypeAlias = Any  # plain data, of each kind of store its own
MAKE: Mapping[str, Callable[[str, Clock], World]] = {
    "sqlite": lambda url, clock: SqliteWorld(url, clock=clock),
    "mongodb": lambda url, clock: MongoWorld(url, clock=clock),
    "s3": lambda url, clock: S3World(url, clock=clock),
}


async def dump(world_name: str, url: str) -> Contents:
    """All that is in a store which nobody has open."""
    if world_name == "sqlite":
        return await anyio.to_thread.run_sync(_dump_sqlite, url)
    return await (_dump_mongodb if world_name == "mongodb" else _dump_s3)(url)


async def load(world_name: str, url: str, contents: Contents) -> None:
    """Put it into an empty store, as it was."""
    if world_name == "sqlite":
        _file_of(url).write_bytes(contents)  # of a test
    elif world_name == "mongodb":
        await _load_mongodb(url, contents)
    else:
        await _load_s3(url, contents)


def _file_of(url: str) -> Path:
    return Path(urlsplit(url).path)


def _dump_sqlite(url: str) -> bytes:
    copy = _file_of(url).with_suffix(".copy")
    with contextlib.closing(sqlite3.connect(_file_of(url))) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    return copy.read_bytes()


async def _dump_mongodb(url: str) -> dict[str, list[bytes]]:
    async with AsyncMongoClient[Any](url) as client:
        database = client.get_default_database()
        return {
            name: [bson.encode(one) async for one in database[name].find().sort("_id")]
            for name in sorted(await database.list_collection_names())
        }


async def _load_mongodb(url: str, contents: dict[str, list[bytes]]) -> None:
    async with AsyncMongoClient[Any](url) as client:
        database = client.get_default_database()
        for name, documents in contents.items():
            if documents:
                await database[name].insert_many([RawBSONDocument(one) for one in documents])


def _place_of(url: str) -> Place:
    return S3World(url)._handle.place


async def _dump_s3(url: str) -> dict[str, bytes]:
    place, objects = _place_of(url), dict[str, bytes]()
    async with connect(place) as client:
        named = {"Bucket": place.bucket}
        listed = await client.list_objects_v2(**named, Prefix=place.prefix)
        assert not listed.get("IsTruncated")
        for entry in listed["Contents"]:
            reply = await client.get_object(**named, Key=entry["Key"])
            async with reply["Body"] as body:
                objects[entry["Key"].removeprefix(place.prefix)] = await body.read()
    return objects


async def _load_s3(url: str, contents: dict[str, bytes]) -> None:
    place = _place_of(url)
    async with connect(place) as client, anyio.create_task_group() as group:
        for key, body in contents.items():
            named = {"Bucket": place.bucket, "Key": place.prefix + key, "Body": body}
            group.start_soon(lambda named: client.put_object(**named), named)
