"""The approvals of examples/approval: days pass by a clock of the test's own; a kill loses none."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any, final

import anyio
import anyio.to_thread
import httpx
import pytest

from perdure import get_run
from perdure.model import EventType
from perdure.testing.clock import ManualClock
from tests.examples.programs import LIMIT, Program, commands, copied, running

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

DAY_MS = 86_400_000
PIANO = {"what": "a piano", "cents": 4800_00, "buyer": "ada", "approver": "bob", "boss": "eve"}
BASE = "http://shop.example"


@final
class Desk:
    """The service in this process, its mails, and a clock."""

    def __init__(self, client: httpx.AsyncClient, folder: Path, clock: ManualClock) -> None:
        self.client = client
        self.clock = clock
        self._outbox = folder / ".perdure" / "outbox"

    async def ask(self) -> str:
        """Ask for a piano; returns the purchase's id."""
        answer = await self.client.post("/purchases", json=PIANO)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def mails(self, count: int) -> list[dict[str, str]]:
        """So many mails, once they were sent."""
        return await mails_in(self._outbox, count)

    async def verdict(self, purchase: str) -> Any:
        """The verdict, once there is one."""
        with anyio.fail_after(LIMIT):
            while not (await self.status(purchase))["verdict"]:  # noqa: ASYNC110 # it only answers
                await anyio.sleep(0.01)
        return await self.status(purchase)

    async def status(self, purchase: str) -> Any:
        """Where the purchase is."""
        return (await self.client.get(f"/purchases/{purchase}")).json()


async def mails_in(outbox: Path, count: int) -> list[dict[str, str]]:
    """So many mails, in the order of their steps, once they were sent."""
    with anyio.fail_after(LIMIT):
        while len(paths := _sent(outbox)) < count:  # noqa: ASYNC110 # files tell nobody
            await anyio.sleep(0.01)
    assert len(paths) == count
    return [json.loads(path.read_text()) for path in paths]


def _sent(outbox: Path) -> list[Path]:
    return sorted(outbox.glob("run_*.json"), key=_number)


def _number(path: Path) -> int:
    return int(re.findall(r"\d+", path.stem)[-1])


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """The service with its days under control."""
    folder, clock = copied("approval", tmp_path), ManualClock()
    monkeypatch.setenv("PERDURE_BASE_URL", BASE)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    approvals = _imported("approvals")
    app = approvals.application(clock=clock)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE, timeout=LIMIT) as one,
    ):
        yield Desk(one, folder, clock)
    for name in ("approvals", "mails"):
        del sys.modules[name]


def _imported(name: str) -> Any:
    module: ModuleType = importlib.import_module(name)
    return module


async def test_who_clicks_decides(desk: Desk) -> None:
    purchase = await desk.ask()
    (first,) = await desk.mails(1)
    assert (first["kind"], first["to"]) == ("ask", "bob")
    assert "4800.00 €" in first["text"]
    for _ in range(2):  # a scanner of mails, then bob
        page = await desk.client.get(first["link"])
        assert page.text.count("<button") == 2
    odd = await desk.client.post(first["link"], data={"verdict": "perhaps"})
    assert "<button" in odd.text
    assert (await desk.status(purchase))["verdict"] is None
    answer = await desk.client.post(first["link"], data={"verdict": "yes"})
    assert answer.text == "<p>Noted: yes.</p>"
    assert await desk.verdict(purchase) == {"id": purchase, "verdict": "yes", "by": "bob"}
    last = (await desk.mails(2))[-1]
    assert (last["to"], last["text"]) == ("ada", "You may buy a piano.")
    assert (await desk.client.get(first["link"])).status_code == 404


async def test_nobody_answers(desk: Desk) -> None:
    purchase = await desk.ask()
    kinds = ["ask"]
    for days, kind in ((1, "remind"), (1, "escalate"), (3, "expired")):
        sent = await desk.mails(len(kinds))
        assert [mail["kind"] for mail in sent] == kinds
        await _until_asleep(desk, purchase, len(kinds))
        desk.clock.advance(days * DAY_MS - 1)
        assert (await desk.status(purchase))["verdict"] is None
        desk.clock.advance(1)
        kinds.append(kind)
    sent = await desk.mails(len(kinds))
    assert [(mail["kind"], mail["to"]) for mail in sent] == [
        ("ask", "bob"),
        ("remind", "bob"),
        ("escalate", "eve"),
        ("expired", "ada"),
    ]
    assert await desk.verdict(purchase) == {"id": purchase, "verdict": "expired", "by": None}


async def test_the_boss_decides_after_two_days(desk: Desk) -> None:
    purchase = await desk.ask()
    for count in (1, 2):
        await desk.mails(count)
        await _until_asleep(desk, purchase, count)
        desk.clock.advance(DAY_MS)
    link = (await desk.mails(3))[-1]["link"]
    assert (await desk.client.post(link, data={"verdict": "no"})).status_code == 200
    assert (await desk.verdict(purchase))["verdict"] == "no"


async def _until_asleep(desk: Desk, purchase: str, count: int) -> None:
    """Wait until the run has begun so many sleeps."""
    with anyio.fail_after(LIMIT):
        while True:
            types = [logged.event.type async for logged in get_run(purchase).events()]
            if types.count(EventType.WAIT_CREATED) == count:
                return
            await anyio.sleep(0.01)


@pytest.mark.crash
async def test_a_link_works_after_its_service_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied("approval", tmp_path)
    monkeypatch.setenv("PERDURE_BASE_URL", BASE)
    with ExitStack() as stack:
        first, url = _served(folder, stack)
        async with httpx.AsyncClient(timeout=LIMIT, trust_env=False) as client:
            answer = await client.post(f"{url}/purchases", json=PIANO)
            purchase = answer.json()["id"]
            (mail,) = await mails_in(folder / ".perdure" / "outbox", 1)
            await anyio.to_thread.run_sync(first.kill)
            _, url = _served(folder, stack)
            link = mail["link"].replace(BASE, url)
            assert "<button" in (await client.get(link)).text
            assert "Noted" in (await client.post(link, data={"verdict": "yes"})).text
            status: dict[str, object] = {}
            with anyio.fail_after(LIMIT):
                while not status.get("verdict"):
                    status = (await client.get(f"{url}/purchases/{purchase}")).json()
    assert status == {"id": purchase, "verdict": "yes", "by": "bob"}


def _served(folder: Path, stack: ExitStack) -> tuple[Program, str]:
    """The service as its README starts it, on a port that is free, and its URL."""
    (command,) = [line for line in commands(folder) if "uvicorn approvals" in line]
    program = stack.enter_context(running(command.replace("--port 8000", "--port 0"), folder))
    return program, program.wait_line(r"running on (http://\S+)")[1]
