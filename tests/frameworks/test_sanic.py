"""Sanic: ``sanic_service.py``, run as its server runs it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

pytest.importorskip("sanic", reason="the package sanic is not installed")
pytestmark = pytest.mark.slow

SERVICE = "tests.frameworks.sanic_service"
ROOT = Path(__file__).parents[2]


def test_as_a_process(tmp_path: Path) -> None:
    """Its listeners run in tasks of their own, and its loop is uvloop's where that is installed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.fileno()
        service = subprocess.Popen(
            [sys.executable, "-m", SERVICE, f"sqlite:///{tmp_path}/app.db", str(number)],
            pass_fds=[number],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
                run = client.post("/sums?a=1&b=2").text
                assert client.get(f"/sums/{run}").text == "3"
            service.send_signal(signal.SIGTERM)
            output, _ = service.communicate(timeout=30)
            assert output.endswith("closed\n")
            assert service.returncode == 0
        finally:
            service.kill()
            service.wait()
