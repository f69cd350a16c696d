"""Ledger: the shop's own database, beside Perdure's: payments, and what people decided.

A payment has the key of the step that makes it, as payment providers ask for an idempotency key.
A step whose process died after paying runs again with the same key, and pays nothing more.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

__all__ = ("decide", "decision_on", "pay_once")

FILE = Path(__file__).with_name("ledger.db")
BANK_S = 0.3  # seconds until the bank answers, which has the money; the process may die meanwhile
TABLES = """
CREATE TABLE IF NOT EXISTS payments (key TEXT PRIMARY KEY, order_id TEXT, customer TEXT, cents INT);
CREATE TABLE IF NOT EXISTS decisions (order_id TEXT PRIMARY KEY, approved INT);
"""


@contextmanager
def _opened() -> Generator[sqlite3.Connection, None, None]:
    """One transaction."""
    with closing(sqlite3.connect(FILE, timeout=30)) as connection:
        connection.executescript(TABLES)
        with connection:
            yield connection


def pay_once(key: str, order_id: str, customer: str, cents: int) -> None:
    """Take the money; a payment with this key that is there is the same payment."""
    with _opened() as ledger:
        row = (key, order_id, customer, cents)
        ledger.execute("INSERT INTO payments VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", row)
    time.sleep(BANK_S)


def decide(order_id: str, *, approved: bool) -> None:
    """Note a person's decision; the first one counts."""
    with _opened() as ledger:
        row = (order_id, approved)
        ledger.execute("INSERT INTO decisions VALUES (?, ?) ON CONFLICT DO NOTHING", row)


def decision_on(order_id: str) -> bool | None:
    """A person's decision; None before there is one."""
    with _opened() as ledger:
        query = "SELECT approved FROM decisions WHERE order_id = ?"
        row = ledger.execute(query, [order_id]).fetchone()
    return None if row is None else bool(row[0])
