"""URLs: the file that one names, on either kind of system."""

from __future__ import annotations

from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from unittest.mock import patch

import pytest

from perdure.errors import UsageError
from perdure_sqlite import SqliteWorld, _world
from perdure_sqlite._world import _parse, file_of

WINDOWS = {
    "sqlite:///x.db": "x.db",
    "sqlite:///deep/.perdure/x.db": "deep/.perdure/x.db",
    "sqlite:///../x.db": "../x.db",
    "sqlite:///C:/data/x.db": "C:/data/x.db",
    "sqlite:///c:\\data\\x.db": "c:/data/x.db",
    "sqlite:///C:%5Cdata%5Cx.db": "C:/data/x.db",
    "sqlite:///C:/my%20data/gr%C3%B6%C3%9Fe%23.db": "C:/my data/größe#.db",
    "sqlite:////C:/data/x.db": "C:/data/x.db",
    "sqlite:///\\C:\\data\\x.db": "C:/data/x.db",
    "sqlite:////data/x.db": "/data/x.db",
    "sqlite:///C:x.db": "C:x.db",
    "sqlite:///%5C%5C%3F%5CC:%5Cdata%5Cx.db?synchronous=normal": "\\\\?\\C:\\data\\x.db",
    "sqlite:///C:/Users/me@home/x.db": "C:/Users/me@home/x.db",
}
REFUSED = {
    "sqlite:///C:": "names no file",
    "sqlite:///C:/": "names no file",
    "sqlite:///C:\\": "names no file",
    "sqlite:///C:/data\\": "names no file",
    "sqlite:///..": "names no file",
    "sqlite://C:/data/x.db": "names no file",
    "sqlite:///\\\\server\\share\\x.db": "network share",
    "sqlite://///server/share/x.db": "network share",
    "sqlite:///%5C%5C%3F%5CUNC%5Cserver%5Cshare%5Cx.db": "network share",
    "sqlite:///%5C%5C.%5Cpipe%5Cx.db": "network share",
    "sqlite:///C:/data/nul.db": "'nul.db'",
    "sqlite:///C:/a:b/x.db": "'a:b'",
    "sqlite:///C:/a./x.db": "'a.'",
    "sqlite:///what%3F.db": r"'what\?.db'",
    "sqlite:///C:/data/C:/x.db": "'C:'",
}
POSIX = {
    "sqlite:///x.db": "x.db",
    "sqlite:////data/x.db": "/data/x.db",
    "sqlite:///C:/data/x.db": "C:/data/x.db",
    "sqlite:////data/a\\b:c/nul.": "/data/a\\b:c/nul.",
}


def parsed(url: str, kind: type[PurePath]) -> PurePath:
    with patch.object(_world, "Path", kind):
        return _parse(url)[0]


@pytest.mark.parametrize("url", WINDOWS)
def test_a_url_names_a_file_on_windows(url: str) -> None:
    assert parsed(url, PureWindowsPath) == PureWindowsPath(WINDOWS[url])


@pytest.mark.parametrize("url", REFUSED)
def test_a_url_of_what_cannot_hold_a_database_is_refused_on_windows(url: str) -> None:
    with pytest.raises(UsageError, match=REFUSED[url]) as told:
        parsed(url, PureWindowsPath)
    assert "sqlite:///C:/absolute/path.db" in str(told.value)


@pytest.mark.parametrize("url", POSIX)
def test_a_url_names_a_file_elsewhere(url: str) -> None:
    assert parsed(url, PurePosixPath) == PurePosixPath(POSIX[url])


def test_the_kind_of_path_says_which_system_is_meant() -> None:
    assert file_of("/C:/x.db", PureWindowsPath) == PureWindowsPath("C:/x.db")
    assert file_of("/C:/x.db", PurePosixPath) == PurePosixPath("/C:/x.db")


def test_a_twin_has_the_same_file_also_where_its_url_is_not_shown_whole(tmp_path: Path) -> None:
    """A colon and an at sign may be a login; in a path they are a folder's name."""
    world = SqliteWorld(f"sqlite:///{tmp_path}/a:b@c/x.db")
    assert world.twin()._handle.place.path == tmp_path / "a:b@c" / "x.db"
