"""Services as processes, with a client of each: started, stopped, killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

import httpx

from tests.frameworks.reached import GATE, KEY

__all__ = ("Service",)

ROOT = Path(__file__).parents[2]


@final
class Service:
    """One framework's service; its sockets stay open while its process comes and goes."""

    def __init__(self, framework: str, folder: Path, *, has_worker: bool = True) -> None:
        self.framework = framework
        self.world_url = f"sqlite:///{folder}/runs.db"
        self.gate = folder / "gate"
        self._role = "worker" if has_worker else "alone"
        self._resources = ExitStack()
        self._listeners = [
            self._resources.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)
        ]
        self._process: subprocess.Popen[bytes] | None = None
        own, web = [f"http://127.0.0.1:{one.getsockname()[1]}" for one in self._listeners]
        self.url = web if framework == "aiohttp" else own
        self.own_url = own
        self.client = self._resources.enter_context(
            httpx.Client(
                base_url=self.url, timeout=30, trust_env=False, headers={"authorization": KEY}
            )
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
        self._resources.close()

    def start(self) -> None:
        """Start the process; it need not listen for a client to connect."""
        numbers = [one.fileno() for one in self._listeners]
        words = ["-m", "tests.frameworks.mounted", self.framework, self.world_url]
        self._process = subprocess.Popen(
            [sys.executable, *words, *map(str, numbers), self._role],
            pass_fds=numbers,
            cwd=ROOT,
            env={**os.environ, GATE: str(self.gate)},
        )

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(30)

    def kill(self) -> None:
        """End it by SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def begin(self, workflow: str, *args: object) -> str:
        """The id of a new run."""
        answer = self.client.post("/api/runs", json={"workflow": workflow, "args": args})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def ended(self, run_id: str) -> Any:
        """The run once it has ended."""
        answer = self.client.get(f"/api/runs/{run_id}", params={"wait": 30})
        assert answer.json()["status"] == "completed", answer.text
        return answer.json()["output"]

    def token(self, run_id: str) -> str:
        """The token that the run waits at, once it does."""
        while not (hooks := self.client.get(f"/api/runs/{run_id}/hooks").json()["hooks"]):
            pass
        return str(hooks[-1]["token"])

    def webhook(self, run_id: str) -> str:
        """The path of the webhook that the run waits at."""
        return f"/.well-known/workflow/v1/webhook/{self.token(run_id)}"
