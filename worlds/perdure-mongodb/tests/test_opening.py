"""URLs, and servers that are refused."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import anyio
import pytest
from mongo_values import RUN, new_run

from perdure.abc import Capability
from perdure.errors import (
    UsageError,
    WorldContractError,
    WorldDeniedError,
    WorldUnavailableError,
)
from perdure.worlds import make_world
from perdure_mongodb import MongoWorld
from perdure_mongodb._schema import INDEXES
from perdure_mongodb.testing import Mongod
from tests.opening import CASES, Case

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_it_opens_and_closes(url: str, case: Case) -> None:
    await case(lambda: MongoWorld(url))


async def test_a_world_may_be_opened_again_after_it_was_closed(motor_url: str) -> None:
    async with MongoWorld(motor_url) as world:
        assert world.capabilities == {
            Capability.SHARED,
            Capability.DURABLE,
            Capability.ATOMIC_QUEUE,
        }
        await world.storage.create_run(new_run())
    async with world:
        assert (await world.storage.get_run(RUN)).workflow == "flow"


async def test_any_number_may_open_a_new_database_at_once(
    server: Mongod, database: str, motor_url: str
) -> None:
    worlds = [MongoWorld(motor_url) for _ in range(4)]
    async with anyio.create_task_group() as group:
        for world in worlds:
            group.start_soon(world.open)
    assert (await worlds[0].storage.create_run(new_run()))[1]
    for world in worlds:
        await world.aclose()
    with server.client() as client:  # no transaction has to make one
        assert set(client[database].list_collection_names()) == {*INDEXES, "meta"}


def test_the_world_is_found_by_its_scheme(server: Mongod) -> None:
    points = entry_points(group="perdure.worlds", name="mongodb")
    assert [point.value for point in points] == ["perdure_mongodb:MongoWorld"]
    assert isinstance(make_world(server.url("x")), MongoWorld)


@pytest.mark.parametrize(
    "wrong",
    [
        "mongodb://",
        "mongodb://host",
        "mongodb://host/",
        "mongodb://host/a/b",
        "sqlite:///x",
        "mongodb://host/x?driver=mongoengine",
    ],
)
def test_a_wrong_url_says_how_to_write_it(wrong: str) -> None:
    with pytest.raises(UsageError, match=r"mongodb://host:27017/database|motor and pymongo"):
        MongoWorld(wrong)


def test_a_url_is_shown_without_its_secrets() -> None:
    world = MongoWorld("mongodb://me:secret@h1:1,h2:2/shop?replicaSet=rs0&authSource=admin")
    assert world.url == "mongodb://h1:1,h2:2/shop"
    assert "secret" not in repr(world)
    with pytest.raises(UsageError) as caught:
        MongoWorld("mongodb://me:secret@h1/")
    assert "secret" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("query", ["", "replicaSet=rs0&"])
async def test_a_standalone_server_is_refused_and_told_how_to_change(
    tmp_path: Path, driver: str, query: str
) -> None:
    alone = Mongod(tmp_path, replica_set=None)
    alone.start()
    try:
        with pytest.raises(WorldContractError, match=r"--replSet rs0.*rs\.initiate"):
            await MongoWorld(f"mongodb://{alone.address}/x?{query}driver={driver}").open()
    finally:
        alone.kill()


@pytest.mark.slow
async def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path, driver: str) -> None:
    nobody = Mongod(tmp_path).url("x")
    with pytest.raises(WorldUnavailableError) as caught:
        await MongoWorld(f"{nobody}&driver={driver}&serverSelectionTimeoutMS=200").open()
    assert caught.value.retryable


async def test_another_layout_is_refused(motor_url: str, server: Mongod, database: str) -> None:
    async with MongoWorld(motor_url):
        pass
    with server.client() as client:
        client[database]["meta"].update_one({}, {"$set": {"version": 99}})
    with pytest.raises(WorldContractError, match="layout 99"):
        await MongoWorld(motor_url).open()


SECRET = "Geheim7Wort"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"mongodb://me:{SECRET}/x@h/db", "names no database"),
        (f"mongodb://me:{SECRET}@x@h/db", "percent-encode"),
        (f"mongodb://me:%zz{SECRET}@h/db", "percent-encode"),
        (f"mongodb://me:{SECRET}#@h/db", "%23"),
        (f"mongodb://me@h:{SECRET}/db", "quote_plus"),
        (f"mongodb:/me:{SECRET}@h/db", "write mongodb://host"),
        ("mongodb://h:99999/db", "Port"),
        ("mongodb://h:/db", "Port"),
        ("mongodb://[::1/db", "write mongodb://host"),
        ("mongodb://h/a.b", "names no database"),
        ("mongodb://h/a$b", "names no database"),
        (f"mongodb://h/{'x' * 64}", "names no database"),
        (f"mongodb://h/db?colour={SECRET}", "option 'colour'"),
        (f"mongodb://h/db?maxPoolSize={SECRET}", "maxpoolsize"),
        (f"mongodb://h/db?authMechanism={SECRET}", "authmechanism"),
        (f"mongodb://h/db?authMechanismProperties={SECRET}", "auth mechanism properties"),
        (f"mongodb://h/db?readPreference={SECRET}", "read preference"),
        (f"mongodb://h/db?tls=true&tlsCAFile=/{SECRET}", "not readable"),
    ],
)
def test_a_malformed_url_is_refused_at_once_without_its_secrets(url: str, reason: str) -> None:
    with pytest.raises(UsageError) as told:
        MongoWorld(url)
    assert reason in str(told.value)
    assert SECRET not in str(told.value)
    assert told.value.__cause__ is None  # whose words would stand in the traceback


async def test_certificates_that_are_none_are_the_callers_error(
    tmp_path: Path, server: Mongod, driver: str
) -> None:
    bad = tmp_path / "bad.pem"
    bad.touch()
    for options in (
        f"tlsCAFile={bad}",
        f"tlsCertificateKeyFile={bad}&tlsCertificateKeyFilePassword={SECRET}",
    ):
        url = f"mongodb://me:{SECRET}@{server.address}/x?tls=true&{options}&driver={driver}"
        with pytest.raises(UsageError) as told:
            await MongoWorld(url).open()
        assert SECRET not in str(told.value)


@pytest.mark.parametrize(
    "options", ["authSource=admin", "authMechanism=PLAIN", "authMechanism=MONGODB-X509"]
)
async def test_a_user_who_is_refused_is_told_so_in_words(
    server: Mongod, driver: str, options: str
) -> None:
    who = "" if "X509" in options else f"me:{SECRET}@"
    url = f"mongodb://{who}{server.address}/x?replicaSet=rs0&driver={driver}&{options}"
    with pytest.raises(WorldDeniedError, match="authSource") as told:
        await MongoWorld(url).open()
    assert not told.value.retryable
    for raw in (SECRET, "clusterTime", "errmsg", "{"):
        assert raw not in str(told.value)


@pytest.mark.slow
@pytest.mark.parametrize("options", ["tls=true", "replicaSet=other"])
async def test_a_server_that_does_not_speak_so_is_unavailable_in_few_words(
    server: Mongod, driver: str, options: str
) -> None:
    url = f"mongodb://{server.address}/x?driver={driver}&{options}&serverSelectionTimeoutMS=200"
    with pytest.raises(WorldUnavailableError) as told:
        await MongoWorld(url).open()
    assert told.value.retryable
    assert "Topology" not in str(told.value)


@pytest.mark.slow
async def test_a_host_that_is_none_is_unavailable_in_few_words(driver: str) -> None:
    url = f"mongodb://nobody.invalid/x?driver={driver}&serverSelectionTimeoutMS=200"
    with pytest.raises(WorldUnavailableError, match=r"nobody\.invalid") as told:
        await MongoWorld(url).open()
    assert "Topology" not in str(told.value)
