"""The HTTP app in seven frameworks, over sockets: twenty cases each, then restarts and SIGKILL."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.frameworks.mount_cases import CASES
from tests.frameworks.reached import GATE
from tests.frameworks.services import ROOT, Service

pytestmark = pytest.mark.slow
ALL = ("starlette", "fastapi", "litestar", "quart", "django", "sanic", "aiohttp")
FULL = os.environ.get("PERDURE_TIER") == "full"
FRAMEWORKS = ALL if FULL else ALL[:2]
RESTARTED = ALL if FULL else ALL[1:2]


@pytest.fixture(params=FRAMEWORKS, scope="module")
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Service, None, None]:
    """A framework's service with a worker."""
    with Service(request.param, tmp_path_factory.mktemp(request.param)) as service:
        yield service


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_it_is_as_everywhere(service: Service, case: Callable[[Service], None]) -> None:
    case(service)


@pytest.mark.parametrize("framework", RESTARTED)
def test_it_ends_when_it_is_told_and_begins_again(framework: str, tmp_path: Path) -> None:
    with Service(framework, tmp_path) as service:
        run_id = service.begin("hook", "kept")
        token = service.token(run_id)
        assert service.stop() in (0, -15)
        service.start()
        body = {"token": token, "payload": "after"}
        assert service.client.post("/api/hooks/resume", json=body).status_code == 200
        assert service.ended(run_id) == "after"


@pytest.mark.crash
@pytest.mark.parametrize("framework", RESTARTED)
def test_a_request_that_was_answered_outlives_its_service(framework: str, tmp_path: Path) -> None:
    with Service(framework, tmp_path) as service:
        for n in range(3):
            run_id = service.begin("webhook", "1")
            path = service.webhook(run_id)
            assert service.client.post(path, content=b"%d" % n).status_code == 202
            service.kill()
            service.start()
            assert service.ended(run_id)[0][3] == [ord(str(n))]


@pytest.mark.crash
@pytest.mark.parametrize("framework", RESTARTED)
def test_a_caller_is_answered_by_the_next_worker(framework: str, tmp_path: Path) -> None:
    """The worker that runs the answering step is killed; the service holds the caller on."""
    with Service(framework, tmp_path, has_worker=False) as service, ThreadPoolExecutor() as pool:
        first = _worker(service)
        try:
            run_id = service.begin("manual", "")
            path = service.webhook(run_id)
            call = pool.submit(service.client.post, path, content=b"Ada")
            waiting = service.gate.with_suffix(".waiting")
            while not waiting.exists():
                assert not call.done()
        finally:
            first.kill()
            first.wait()
        service.gate.touch()
        second = _worker(service)
        try:
            assert call.result(60).text == "hi Ada"
            assert service.ended(run_id) == "answered"
        finally:
            second.kill()
            second.wait()


def _worker(service: Service) -> subprocess.Popen[bytes]:
    words = f"worker --world {service.world_url} --steps tests.frameworks.reached"
    return subprocess.Popen(
        [sys.executable, "-m", "perdure", *words.split()],
        cwd=ROOT,
        env={**os.environ, GATE: str(service.gate)},
        stderr=subprocess.DEVNULL,
    )
