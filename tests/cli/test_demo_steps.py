"""The demo's steps do what its flow counts on; in the demo they run in workers that are killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from perdure import FatalError, Worker, Workflow, start
from perdure.cli.demo import shop
from perdure.errors import RunFailedError
from perdure.testing.memory import MemoryWorld

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

NAMES = ("quote", "reserve", "charge", "wrap", "ship", "track", "notify")


@pytest.fixture
def effects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where bodies note that they ran."""
    path = tmp_path / "effects.jsonl"
    monkeypatch.setattr(shop, "EFFECTS", path)
    return path


def noted(effects: Path) -> list[dict[str, Any]]:
    """What the bodies noted."""
    return [json.loads(line) for line in effects.read_text().splitlines()]


async def result_of(expression: str) -> object:
    """What a workflow of one expression over the demo's steps gives."""
    source = (
        f'import {{ {", ".join(NAMES)} }} from "python:{shop.__name__}";\n'
        f'export async function w() {{ "use workflow"; return {expression}; }}'
    )
    async with MemoryWorld() as world, Worker(world, steps=[shop]):
        run = await start(Workflow.from_source(source, filename="w.ts"), world=world)
        return await run.result(timeout=30)


async def test_each_step_notes_its_run_and_answers(effects: Path) -> None:
    calls = (
        'quote("tea", 2)',
        'reserve("tea", 2)',
        'ship("Ada", ["tea"])',
        'track("parcel", 2)',
        'track("parcel", 9)',
        'notify("Ada", "hi")',
    )
    found = await result_of(f"await Promise.all([{', '.join(calls)}])")
    assert found == [242, "2xtea", "parcel-3-1", "van", "doorstep", None]
    lines = noted(effects)
    assert len(lines) == len({line["id"] for line in lines}) == len(calls)
    assert all(line["attempt"] == 1 for line in lines)


async def test_the_bank_answers_at_the_third_try(effects: Path) -> None:
    assert await result_of('await charge("Ada", 5)') == {"paid": 5, "by": "Ada"}
    assert [line["attempt"] for line in noted(effects)] == [1, 2, 3]


async def test_wrapping_fails_at_once(effects: Path) -> None:
    with pytest.raises(RunFailedError, match="no ribbon left") as caught:
        await result_of('await wrap(["tea"])')
    assert getattr(caught.value.error, "name", "") == FatalError.__name__
    assert len(noted(effects)) == 1
