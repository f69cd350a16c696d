"""Finding a world by its URL: what is no URL is refused, and never repeated with its secrets."""

from __future__ import annotations

import asyncio
import importlib.metadata
import sys
import threading
from pathlib import Path

import pytest

from perdure import open_world, worlds
from perdure.errors import UsageError, WorldNotFoundError
from perdure.testing.memory import MemoryWorld
from perdure.worlds import make_world


@pytest.mark.parametrize(
    "url",
    ["nonsense", "mongodb:/me:secret@h/db", "me:secret@h", "me:secret@h://x", "://x", "a b://x"],
)
def test_what_is_no_url_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(UsageError, match="is not a world's URL") as told:
        make_world(url)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("url", ["memory://a?b=1", "memory://a?b", "memory://a#b", "memory:a"])
def test_a_memory_world_has_no_options(url: str) -> None:
    with pytest.raises(UsageError):
        MemoryWorld(url)


@pytest.mark.parametrize("scheme", ["memory://x", "sqlite:///x", "s3://x/y", "mongodb://h/db"])
def test_every_world_refuses_an_option_that_nobody_knows_by_its_name(scheme: str) -> None:
    opened = MemoryWorld if scheme.startswith("memory") else make_world
    with pytest.raises(UsageError, match="colour"):
        opened(f"{scheme}?colour=red")


@pytest.mark.anyio
async def test_the_import_of_a_worlds_package_leaves_the_loop_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It took 50 ms of the first round."""
    loop, has_gone_on = asyncio.get_running_loop(), threading.Event()

    class EntryPoint:
        def load(self) -> type[MemoryWorld]:
            loop.call_soon_threadsafe(has_gone_on.set)
            assert has_gone_on.wait(10)
            return MemoryWorld

    monkeypatch.setitem(worlds._entry_points, "memory", EntryPoint())
    monkeypatch.setattr(worlds, "_openers", {})
    async with open_world("memory://") as world:
        assert isinstance(world, MemoryWorld)


@pytest.mark.anyio
async def test_an_opening_that_found_no_world_may_be_tried_again() -> None:
    opening = open_world("nowhere://x")
    for _ in range(2):
        with pytest.raises(WorldNotFoundError):
            await opening.__aenter__()
    opening = open_world("memory://")
    async with opening:
        with pytest.raises(UsageError, match="entered before"):
            await opening.__aenter__()


NAMED = "[console_scripts]\nprogram = nowhere:run\n\n[perdure.worlds]\n{}\n\n[others]\na = b:c\n"


@pytest.mark.parametrize(
    ("lines", "is_read"),
    [
        (["shelf = shelves:World"], True),
        (["other = nowhere:World\nshelf = shelves:World"], True),
        (["shelf=shelves:World"], True),
        (["shelf = shelves:World", "shelf = shelves:World"], True),
        (["shelf = shelves:World [extra]"], False),
        (["shelf = shelves:World.made"], False),
        (["shelf = shelves:World", "shelf = nowhere:World"], False),
        (["bookshelf = shelves:World"], False),
        (["# shelf = shelves:World"], False),
        ([], False),
    ],
)
def test_a_worlds_package_is_read_off_or_asked_of_the_standard_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str], is_read: bool
) -> None:
    (tmp_path / "shelves.py").write_text("class World: pass\n")
    (tmp_path / "without-1.dist-info").mkdir()
    for number, line in enumerate(lines):
        folder = tmp_path / f"package{number}-1.0.dist-info"
        folder.mkdir()
        folder.joinpath("entry_points.txt").write_bytes(NAMED.format(line).encode())
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "none.zip"), *sys.path])
    monkeypatch.delitem(sys.modules, "shelves", raising=False)
    opener = worlds._named_opener("shelf")
    assert (opener is not None and opener.__module__ == "shelves") is is_read


@pytest.mark.parametrize("scheme", ["memory", "sqlite", "mongodb", "s3"])
def test_a_world_is_the_one_that_the_standard_library_names(scheme: str) -> None:
    point, *_ = importlib.metadata.entry_points(group="perdure.worlds", name=scheme)
    assert worlds._opener(scheme) is point.load()
