"""Greeting: a server's word about itself when a world opens, and whether it will do."""

from __future__ import annotations

import logging

import pymongo
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

from perdure.errors import WorldContractError
from perdure.worldkit.clock import Clock, SystemClock

from ._connection import MakeDriver
from ._driver import Database, Document, Driver, is_denied
from ._uri import words_of

__all__ = ("greet",)

MAX_SKEW_MS = 1000
FIRST_WITHIN = 1.0  # seconds after which a server that does not answer is looked at more closely
_log = logging.getLogger("perdure")


async def greet(driver: Driver, make: MakeDriver, uri: str, url: str, clock: Clock) -> None:
    """Pass only a deployment that has transactions; a standalone server is not waited for in vain.

    Says so in a warning if the machines' clocks differ.

    Args:
        make: for a client of one server alone.
        url: without secrets, for messages.

    Raises:
        WorldContractError: it is a standalone server, or none of MongoDB's.
        PyMongoError: it does not answer.
    """
    try:
        with pymongo.timeout(min(FIRST_WITHIN, _patience(uri))):
            hello = await _hello(driver.admin)
    except PyMongoError as exc:
        if is_denied(exc):
            raise
        for host, port in parse_uri(uri)["nodelist"]:
            _check(await _greet_alone(make, uri, host, port), url, clock)
        hello = await _hello(driver.admin)
    _check(hello, url, clock)


async def _greet_alone(make: MakeDriver, uri: str, host: str, port: int | None) -> Document:
    """Ask one server, of any set; the answer is that of any server if it is silent."""
    driver = make(
        f"mongodb://{host}:{port or 27017}/",
        directConnection=True,
        serverSelectionTimeoutMS=int(1000 * min(FIRST_WITHIN, _patience(uri))),
    )
    try:
        return await _hello(driver.admin)
    except PyMongoError:
        return {"msg": "isdbgrid"}
    finally:
        await driver.aclose()


def _check(hello: Document, url: str, clock: Clock) -> None:
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise WorldContractError(
            f"{url} is a standalone server; only replica sets and sharded clusters have"
            " transactions. One node is enough: start it with 'mongod --replSet rs0', run"
            " 'rs.initiate()' in mongosh once, and add ?replicaSet=rs0 to the URL"
        )
    there = hello.get("localTime")
    if there is not None and isinstance(clock, SystemClock):
        ahead_ms = clock.now_ms() - int(there.timestamp() * 1000)
        if abs(ahead_ms) > MAX_SKEW_MS:
            _log.warning(
                "%s: this machine's clock is %d ms ahead of the server's; leases need clocks"
                " that agree within a second",
                url,
                ahead_ms,
            )


async def _hello(admin: Database) -> Document:
    try:
        return await admin.command("hello")
    except OperationFailure as exc:
        if is_denied(exc):
            raise
        raise WorldContractError(f"the server does not answer hello: {words_of(str(exc))}") from exc


def _patience(uri: str) -> float:
    """Seconds for which the URL wants a server to be waited for, if it says so."""
    seconds: float = parse_uri(uri)["options"].get("serverSelectionTimeoutMS", FIRST_WITHIN)
    return seconds
