"""The shop of examples/fastapi_service: stopped and killed while orders come in, none is lost."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, TypeAlias, final

import anyio
import anyio.to_thread
import httpx
import pytest

from tests.examples.programs import FULL, LIMIT, Program, commands, copied, running

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.crash]

RESTARTS = (Program.stop, Program.kill) * (10 if FULL else 1)
AT_ONCE = 10  # orders around each restart
Ending: TypeAlias = Callable[[Program], object]
BASKETS = (("lamp", 1, 39_00), ("chair", 2, 240_00), ("piano", 1, 4_800_00), ("lamp", 3, 117_00))


@final
class Shop:
    """The service over its restarts, for customers who ask again when they get no answer."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.placed: dict[str, tuple[str, int]] = {}  # order id → article and cents
        self._stack = stack
        self.open()

    def open(self) -> None:
        """Start it as its README does, on a port that is free."""
        (command,) = [line for line in commands(self.folder) if "uvicorn service" in line]
        command = command.replace("--port 8000", "--port 0")
        self.program: Program = self._stack.enter_context(running(command, self.folder))
        self.url: str = self.program.wait_line(r"running on (http://\S+)")[1]
        self.gone = anyio.Event()

    async def restart(self, end: Ending) -> None:
        """End it, stopped or killed, and open again."""
        gone, before = self.gone, self.program
        await anyio.to_thread.run_sync(end, before)
        await anyio.to_thread.run_sync(self.open)
        assert end is Program.kill or "Application shutdown complete" in before.told
        gone.set()

    async def restart_while_charging(self, end: Ending, paid: int) -> None:
        """End it once more than *paid* payments were made: others wait for the bank's answer."""
        with anyio.fail_after(LIMIT):
            while len(self.payments()) <= paid:  # noqa: ASYNC110 # the ledger tells nobody
                await anyio.sleep(0.01)
        await self.restart(end)

    async def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Ask whichever process is up until one answers."""
        while True:
            url, gone = self.url, self.gone
            try:
                async with httpx.AsyncClient(base_url=url, timeout=LIMIT, trust_env=False) as asks:
                    return await asks.request(method, path, **request)
            except httpx.TransportError:
                await gone.wait()

    async def place(self, number: int) -> None:
        """Place an order, twice with one key."""
        sku, quantity, cents = BASKETS[number % len(BASKETS)]
        order = {"customer": f"c{number}", "lines": [{"sku": sku, "quantity": quantity}]}
        key = {"Idempotency-Key": f"order-{number}"}
        answers = [await self.ask("POST", "/orders", json=order, headers=key) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [202, 202], answers[0].text
        first, again = [answer.json()["id"] for answer in answers]
        assert first == again
        self.placed[first] = sku, cents

    async def decide(self) -> None:
        """Approve every other piano, decline the rest."""
        for order, approved in self.decisions().items():
            path = f"/orders/{order}/decision"
            assert (await self.ask("PUT", path, json={"approved": approved})).status_code == 200

    def decisions(self) -> dict[str, bool]:
        """Each order that needs one, and whether it is approved."""
        pianos = [order for order, (sku, _) in self.placed.items() if sku == "piano"]
        return {order: number % 2 == 0 for number, order in enumerate(pianos)}

    async def orders(self) -> dict[str, str]:
        """The stage of each order, from all pages of the list."""
        stages: dict[str, str] = {}
        cursor: str | None = ""
        while cursor is not None:
            more = {"cursor": cursor} if cursor else {}
            page = (await self.ask("GET", "/orders", params={"limit": 30, **more})).json()
            stages |= {order["id"]: order["stage"] for order in page["orders"]}
            cursor = page["cursor"]
        return stages

    def payments(self) -> list[tuple[str, int]]:
        """What the ledger says was paid for which order."""
        with closing(sqlite3.connect(self.folder / "ledger.db", timeout=LIMIT)) as ledger:
            if not ledger.execute("SELECT * FROM sqlite_schema").fetchall():
                return []  # before the first
            return ledger.execute("SELECT order_id, cents FROM payments").fetchall()


async def test_no_order_is_lost_or_charged_twice_over_restarts(tmp_path: Path) -> None:
    with ExitStack() as stack:
        shop = Shop(copied("fastapi_service", tmp_path), stack)
        for count, end in enumerate(RESTARTS):
            async with anyio.create_task_group() as group:
                group.start_soon(shop.restart_while_charging, end, len(shop.payments()))
                for wanted in range(count * AT_ONCE, (count + 1) * AT_ONCE):
                    group.start_soon(shop.place, wanted)
        await shop.decide()
        decisions = shop.decisions()
        declined = [order for order, approved in decisions.items() if not approved]
        for order, (_, cents) in shop.placed.items():
            answer = await shop.ask("GET", f"/orders/{order}/result?wait=30")
            if order in declined:
                assert (answer.status_code, "declined" in answer.text) == (409, True), answer.text
            else:
                assert (answer.status_code, answer.json()["cents"]) == (200, cents), answer.text
        listed = await shop.orders()
    assert len(shop.placed) == len(RESTARTS) * AT_ONCE
    assert Counter(shop.payments()) == {
        (order, cents): 1 for order, (_, cents) in shop.placed.items() if order not in declined
    }
    assert listed == {
        order: "waits for approval" if order in declined else "shipped" for order in shop.placed
    }


async def test_who_asks_wrongly_is_told(tmp_path: Path) -> None:
    lamp: dict[str, Any] = {"customer": "Ada", "lines": [{"sku": "lamp", "quantity": 1}]}
    piano: dict[str, Any] = {"customer": "Ada", "lines": [{"sku": "piano", "quantity": 1}]}
    none: dict[str, Any] = {"customer": "Ada", "lines": [{"sku": "violin", "quantity": 1}]}
    key = {"Idempotency-Key": "mine"}
    with ExitStack() as stack:
        shop = Shop(copied("fastapi_service", tmp_path), stack)
        waits = (await shop.ask("POST", "/orders", json=piano, headers=key)).json()["id"]
        fails = await shop.ask("POST", "/orders", json=none, headers={"Idempotency-Key": "x"})
        asked = {
            ("POST", "/orders", "without a key"): (422, "idempotency-key"),
            ("POST", "/orders", "mine"): (422, "another workflow or input"),
            ("GET", f"/orders/{waits}/result?wait=0.1", ""): (202, "it goes on"),
            ("GET", f"/orders/{fails.json()['id']}/result", ""): (409, "no article 'violin'"),
            ("GET", "/orders/none", ""): (404, "not in this world"),
            ("PUT", "/orders/none/decision", ""): (404, "not in this world"),
            ("GET", "/orders?cursor=none", ""): (422, "not a cursor"),
        }
        for (method, path, sent), (code, word) in asked.items():
            body: dict[str, Any] = {}
            if method == "POST":
                body = {"json": lamp, "headers": key if sent == "mine" else {}}
            elif method == "PUT":
                body = {"json": {"approved": True}}
            answer = await shop.ask(method, path, **body)
            assert (answer.status_code, word in answer.text) == (code, True), (path, answer.text)
            assert "Traceback" not in answer.text


async def test_a_long_poll_does_not_delay_a_stop(tmp_path: Path) -> None:
    piano: dict[str, Any] = {"customer": "Ada", "lines": [{"sku": "piano", "quantity": 1}]}
    with ExitStack() as stack:
        shop = Shop(copied("fastapi_service", tmp_path), stack)
        placed = await shop.ask("POST", "/orders", json=piano, headers={"Idempotency-Key": "x"})
        path = f"/orders/{placed.json()['id']}/result?wait=60"
        async with anyio.create_task_group() as group:
            group.start_soon(shop.ask, "GET", path)
            with anyio.fail_after(20):
                await shop.restart(Program.stop)
            group.cancel_scope.cancel()
