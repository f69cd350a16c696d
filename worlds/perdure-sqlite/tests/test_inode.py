"""Inodes: the number of a file is that of ``os.stat``, and what is missing is an OSError."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from perdure_sqlite import _inode
from perdure_sqlite._inode import Inode, inode_of

WAYS = [pytest.param(inode_of, id="chosen"), pytest.param(_inode._by_stat, id="stat")]


@pytest.mark.parametrize("ask", WAYS)
@pytest.mark.parametrize("name", ["a", "a b \u00e4 #?", "x" * 200])
def test_the_number_is_that_of_stat(ask: Callable[[str], Inode], name: str, tmp_path: Path) -> None:
    path, link = tmp_path / name, tmp_path / "link"
    path.write_bytes(b"")
    link.symlink_to(path)
    now = path.stat()
    assert ask(str(path)) == ask(str(link)) == (now.st_dev, now.st_ino)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="No such file"):
        ask(str(path))


@pytest.mark.parametrize("ask", WAYS)
def test_a_path_through_a_file_is_none(ask: Callable[[str], Inode], tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        ask(str(tmp_path / "a" / "b"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has statx")
def test_linux_is_asked_without_a_look_at_times() -> None:
    assert inode_of is not _inode._by_stat


def test_without_statx_it_is_stat(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _inode._by_statx("/nowhere/lib.so") is None

    def load(_library: str | None, *, use_errno: bool) -> object:
        return use_errno

    monkeypatch.setattr(ctypes, "PyDLL", load)
    assert _inode._by_statx() is None
