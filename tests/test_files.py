"""Files that a world on a file system makes are its user's alone, and a bad place is named."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from pathlib import Path

import anyio.to_thread
import pytest

from perdure.abc import World
from perdure.cli.demo import _play
from perdure.errors import WorldUnavailableError
from perdure.testing.conformance._stores import find_opener
from perdure.worldkit.files import file_lock, make_folder, replace_file

pytestmark = pytest.mark.anyio


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


@pytest.fixture(autouse=True)
def _no_umask() -> Generator[None, None, None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_folders_are_made_for_their_user_and_those_that_are_there_are_left(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir(mode=0o755)
    make_folder(tmp_path / "there" / "a" / "b")
    make_folder(tmp_path / "there" / "a" / "b")
    assert modes(tmp_path) == {"there": 0o755, "a": 0o700, "b": 0o700}
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "file", tmp_path / "file" / "a"):
        with pytest.raises(NotADirectoryError):
            make_folder(wrong)


@pytest.mark.parametrize("sync", [True, False])
def test_files_are_made_for_their_user(tmp_path: Path, sync: bool) -> None:
    with file_lock(tmp_path / "lock"):
        replace_file(tmp_path / "data", b"x", part=tmp_path / "part", sync=sync)
    assert modes(tmp_path) == {"lock": 0o600, "data": 0o600}


def test_the_demo_makes_its_folder_for_its_user(tmp_path: Path) -> None:
    _play._prepare(tmp_path / "demo")
    assert modes(tmp_path)["demo"] == 0o700


@pytest.fixture
def files(tmp_path: Path) -> World:
    """The example's world."""
    return find_opener("files_world:FilesWorld")(f"files://{tmp_path}/deep/world")


async def test_a_blocking_world_makes_its_files_for_its_user(files: World, tmp_path: Path) -> None:
    async with files as world:
        assert world.now_ms()
    found = await anyio.to_thread.run_sync(modes, tmp_path)
    assert set(found.values()) == {0o700, 0o600}
    assert {name for name, mode in found.items() if mode == 0o600} == {"lock"}


async def test_a_blocking_world_names_what_is_in_its_way(files: World, tmp_path: Path) -> None:
    (tmp_path / "deep").touch()
    with pytest.raises(WorldUnavailableError, match="deep/world") as told:
        await files.open()
    assert told.value.retryable
