"""Names and paths as Windows has them, told on any system."""

from __future__ import annotations

from pathlib import PurePath, PurePosixPath, PureWindowsPath

import pytest

from perdure._names import is_windows_name
from perdure._runtime.sources import file_of, raised

FOLDERS = [PurePosixPath("/srv/app/flows"), PureWindowsPath("C:/app/flows")]
UNC = PureWindowsPath("//server/share/app/flows")


@pytest.mark.parametrize(
    "name", ["a.ts", ".perdure", "a b.db", "größe.ts", "null", "com", "com10.ts", "..a", "con-a"]
)
def test_names_that_are_what_they_say(name: str) -> None:
    assert is_windows_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            ".",
            "..",
            "a.",
            "a ",
            "a\\b",
            "a/b",
            "C:",
            "a:stream",
            "a?",
            "a*",
            'a"',
            "<a>",
            "a|b",
        ),
        *("con", "NUL", "nul.ts", "Aux.tar.gz", "com1", "LPT9.ts", "com¹", "conout$", "nul .ts"),
        *("a\0", "a\x1f"),
    ],
)
def test_names_that_lead_elsewhere(name: str) -> None:
    assert not is_windows_name(name)


@pytest.mark.parametrize("folder", [*FOLDERS, UNC])
def test_a_module_is_a_file_below_the_folder(folder: PurePath) -> None:
    file = file_of(folder, "lib/money.ts")
    assert file is not None
    assert file.parts == (*folder.parts, "lib", "money.ts")


@pytest.mark.parametrize(
    "module",
    [
        *("lib\\money.ts", "..\\secret.ts", "C:/secret.ts", "C:secret.ts", "lib/a.ts:hidden"),
        *("nul", "lib/con.ts", "lib/a.ts.", "//server/share/a.ts", "/a.ts", "lib//a.ts"),
    ],
)
def test_no_module_leads_elsewhere_on_windows(module: str) -> None:
    assert file_of(PureWindowsPath("C:/app/flows"), module) is None
    assert file_of(UNC, module) is None


@pytest.mark.parametrize("folder", [*FOLDERS, UNC])
@pytest.mark.parametrize("levels", [1, 2])
def test_a_module_has_the_same_id_on_every_system(folder: PurePath, levels: int) -> None:
    above, module = raised(folder, "w.ts", levels)
    assert module == {1: "flows/w.ts", 2: "app/flows/w.ts"}[levels]
    assert file_of(above, module) == folder / "w.ts"
