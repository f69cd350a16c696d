"""Listing: pages of runs, the newest first, in every world."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from perdure import get_run, list_runs
from perdure._protocol.codec import encode
from perdure.abc import World
from perdure.errors import CursorError, GuestError, UsageError
from perdure.model import RunOutcome, RunStatus
from perdure.testing.conformance._case import commit_of, new_run

pytestmark = pytest.mark.anyio


async def fill(world: World, count: int) -> None:
    for n in range(count):
        new = replace(new_run(f"run_{n}"), created_at_ms=n, attributes={"parity": str(n % 2)})
        await world.storage.create_run(new)


async def fail(world: World, run_id: str, name: str) -> None:
    outcome = RunOutcome(
        status=RunStatus.FAILED,
        payload=encode(GuestError(name=name, message="so"), where="error"),
        at_ms=99,
    )
    await world.storage.commit(commit_of(0, run_id=run_id, outcome=outcome))


async def pages(world: World, limit: int, **named: Any) -> list[list[str]]:
    found: list[list[str]] = []
    cursor: str | None = None
    while True:
        page = await list_runs(world=world, limit=limit, cursor=cursor, **named)
        found.append([run.run_id for run in page.runs])
        cursor = page.cursor
        if cursor is None:
            return found


@pytest.mark.worlds("memory", "sqlite", "mongodb", "s3")
async def test_pages_are_full_and_begin_with_the_newest(world: World) -> None:
    await fill(world, 5)
    assert await pages(world, 2) == [["run_4", "run_3"], ["run_2", "run_1"], ["run_0"]]
    assert await pages(world, 100) == [["run_4", "run_3", "run_2", "run_1", "run_0"]]
    assert await pages(world, 2, attributes={"parity": "0"}) == [["run_4", "run_2"], ["run_0"]]
    assert await pages(world, 2, workflow="other") == [[]]


async def test_an_open_world_need_not_be_named(world: World) -> None:
    await fill(world, 1)
    assert [run.run_id for run in (await list_runs()).runs] == ["run_0"]


@pytest.mark.parametrize("looked_at", [1, 2, 3, 500])
async def test_what_failed_with_an_error_is_found_whatever_stands_between(
    world: World, looked_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cursor leads on behind the last run of a page, not behind the last that was looked at."""
    monkeypatch.setattr("perdure._runtime.inspect.listing._LOOKED_AT", looked_at)
    await fill(world, 9)
    for n in (0, 1, 4, 5, 6, 8):
        await fail(world, f"run_{n}", "Error" if n == 5 else "PaymentError")
    found = await pages(world, 2, error="PaymentError")
    assert [page for page in found if page] == [["run_8", "run_6"], ["run_4", "run_1"], ["run_0"]]
    assert await pages(world, 2, error="PaymentError", status="failed") == found
    assert await pages(world, 9, status=RunStatus.FAILED) == [
        [f"run_{n}" for n in (8, 6, 5, 4, 1, 0)]
    ]


async def test_a_payload_that_is_no_error_has_no_name(world: World) -> None:
    await fill(world, 3)
    for n, payload in enumerate((b"\xff", None, encode("thrown", where="error"))):
        outcome = RunOutcome(status=RunStatus.FAILED, payload=payload, at_ms=99)
        await world.storage.commit(commit_of(0, run_id=f"run_{n}", outcome=outcome))
    assert await pages(world, 9, error="Error") == [[]]


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({"limit": 0}, "at least 1"),
        ({"limit": -1}, "at least 1"),
        ({"status": "done"}, "there is no status 'done'; there is: pending, running"),
        ({"status": "completed", "error": "E"}, "only failed runs have an error"),
        ({"cursor": "nonsense"}, "'nonsense' is not a cursor"),
        ({"cursor": f"{'9' * 30}/run"}, "is not a cursor"),
    ],
)
async def test_a_page_that_cannot_be_is_refused(
    world: World, named: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        await list_runs(world=world, **named)
    assert isinstance(caught.value, CursorError) == ("cursor" in named)


@pytest.mark.slow
@pytest.mark.worlds("memory", "sqlite", "mongodb", "s3")
async def test_a_console_of_many_lines_is_read_to_its_end(world: World) -> None:
    """A store answers with so many lines at a time; a caller is not to know how many."""
    await fill(world, 1)
    run = get_run("run_0", world)
    for n in range(11):
        lines = [b"%d" % (n * 1000 + line) for line in range(1000)]
        await world.streams.append(run.id, "log", lines, writer="w", sequence=n)
    await world.streams.append(run.id, "log", [b"last"], writer="w", sequence=11)
    assert await run.log_lines() == (*(str(n) for n in range(11_000)), "last")
    assert await run.log_lines(start=10_999) == ("10999", "last")
    assert await run.log_lines(start=-2) == ("10999", "last")
    assert await run.log_lines(start=20_000) == ()
