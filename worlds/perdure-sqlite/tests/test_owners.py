"""Owners: a file under a live name is locked, and one that is dead is found out and forgotten.

With flock, and with the lock of systems that have none; what Windows refuses is refused here too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

import perdure._platform as platform_module
from perdure.worldkit.files import set_mode
from perdure_sqlite import _owners
from perdure_sqlite._owners import Owner
from perdure_sqlite._place import Place
from tests.systems import needs_movable_files


@pytest.fixture(params=["flock", "portalocker"], autouse=True)
def _locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "portalocker":
        monkeypatch.setattr(platform_module, "fcntl", None)


@pytest.fixture
def new_owner(tmp_path: Path) -> Generator[Callable[[], Owner], None, None]:
    """Owners of one database; those that a test leaves resign."""
    place = Place("sqlite:///p.db", tmp_path / "p.db")
    place.prepare()
    owners: list[Owner] = []

    def new() -> Owner:
        owners.append(Owner(place))
        return owners[-1]

    yield new
    for owner in owners:
        owner.resign()


def names(folder: Path) -> set[str]:
    return {path.name for path in (folder / "p.db-owners").iterdir()}


def test_who_is_alive_is_not_taken_for_dead(new_owner: Callable[[], Owner]) -> None:
    one, two = new_owner(), new_owner()
    one.register()
    two.register()
    assert not one.has_dead()
    assert not two.has_dead()
    two.resign()
    assert one.has_dead()


@needs_movable_files
def test_one_who_is_looked_at_before_it_has_its_lock_takes_another_name(
    new_owner: Callable[[], Owner], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others find its file unlocked: they may hold it just now, or have removed it already."""
    one = new_owner()
    first = one.name
    looked: list[int] = []

    def hold(descriptor: int, mode: int) -> None:
        set_mode(descriptor, mode)
        if not looked:
            looked.append(os.open(tmp_path / "p.db-owners" / first, os.O_RDONLY))
            assert platform_module.try_lock(looked[0])

    monkeypatch.setattr(_owners, "set_mode", hold)
    one.register()
    second = one.name
    assert first != second
    os.close(looked[0])
    two = new_owner()

    def remove(descriptor: int, mode: int) -> None:
        set_mode(descriptor, mode)
        two.bury([tmp_path / "p.db-owners" / two.name])
        monkeypatch.setattr(_owners, "set_mode", set_mode)

    third = two.name
    monkeypatch.setattr(_owners, "set_mode", remove)
    two.register()
    assert two.name != third
    assert names(tmp_path) == {first, second, two.name}  # the first is for others to bury
    assert new_owner().has_dead()


def test_a_folder_that_keeps_no_file_is_an_error(
    new_owner: Callable[[], Owner], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> bool:
        return False

    monkeypatch.setattr(_owners, "try_lock", refuse)
    with pytest.raises(OSError, match="no file stays in"):
        new_owner().register()


@pytest.mark.parametrize("stays", [True, False], ids=["open files stay", "they go"])
def test_the_dead_are_forgotten_and_the_living_are_not(
    new_owner: Callable[[], Owner], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stays: bool
) -> None:
    living, dead = new_owner(), new_owner()
    living.register()
    dead.register()
    dead.resign()
    if stays:
        monkeypatch.setattr(os, "unlink", unlinking_closed_files(os.unlink))
    living.bury([tmp_path / "p.db-owners" / owner.name for owner in (living, dead)])
    assert names(tmp_path) == {living.name}


def unlinking_closed_files(unlink: Callable[[str | Path], None]) -> Callable[[str | Path], None]:
    """As of Windows."""

    def closed_only(path: str | Path) -> None:
        number = os.stat(path).st_ino
        for entry in os.listdir("/proc/self/fd"):
            try:
                is_open = os.stat(f"/proc/self/fd/{entry}").st_ino == number
            except OSError:
                continue
            if is_open:
                raise PermissionError(13, "used by another process", str(path))
        unlink(path)

    return closed_only


def test_a_file_that_cannot_be_looked_at_is_of_no_dead(
    new_owner: Callable[[], Owner], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, dead = new_owner(), new_owner()
    one.register()
    dead.register()
    dead.resign()

    def refuse(_: int) -> bool:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(_owners, "try_lock", refuse)
    assert not one.has_dead()
    assert names(tmp_path) == {one.name, dead.name}
