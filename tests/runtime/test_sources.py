"""What a workflow may be made of: sources of its root; of all else no word is told."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from hypothesis import HealthCheck, given, settings, strategies as st

from perdure import workflow
from perdure._compiler import SOURCE_SUFFIXES, Refusal
from perdure._compiler.bundle import MAX_BUNDLE_BYTES
from perdure._runtime.sources import MAX_SOURCE_BYTES, ROOT_MARKS, Sources, find_root
from perdure.cli._compile import compile_file
from perdure.errors import CompileError, UsageError

SECRET = "hunter2"
LEAK = f"export const key = '{SECRET}' {SECRET} !!\n"  # no source: its lines would be shown
FLOW = """import {{ x }} from "{name}";
export async function flow() {{ "use workflow"; return x }}
"""
OUTSIDE = "it leads out of the workflow's root"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project, and beside it what it must not read."""
    (tmp_path / "secrets").mkdir()
    for name in ("key", "key.ts", "key.json", ".env"):
        (tmp_path / "secrets" / name).write_text(LEAK)
    project = tmp_path / "project"
    (project / "flows").mkdir(parents=True)
    (project / "package.json").write_text("{}")
    (project / "lib").mkdir()
    (project / "lib" / "sound.ts").write_text("export const x = 1;\n")
    return project


def problem_of(file: Path, *, root: Path | None = None) -> str:
    with pytest.raises(CompileError) as caught:
        workflow(file, root=root).compile()
    told = f"{caught.value}{caught.value!r}{caught.value.__cause__!r}{caught.value.__context__!r}"
    assert SECRET not in told
    return str(caught.value)


def importing(root: Path, name: str) -> Path:
    file = root / "flows" / "w.ts"
    file.write_text(FLOW.format(name=name))
    return file


# --- the root -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ROOT_MARKS)
def test_the_root_is_the_nearest_folder_with_a_mark(tmp_path: Path, mark: str) -> None:
    folder = tmp_path / "a" / "b" / "c"
    folder.mkdir(parents=True)
    assert find_root(folder) == folder
    (tmp_path / mark).symlink_to("nowhere")
    assert find_root(folder) == tmp_path
    (tmp_path / "a" / "b" / mark).mkdir()
    assert find_root(folder) == tmp_path / "a" / "b"


def test_what_is_below_the_root_is_read_wherever_the_workflow_lies(root: Path) -> None:
    made = workflow(importing(root, "../lib/sound"))
    assert sorted(made.compile().modules) == ["flows/w.ts", "lib/sound.ts"]
    assert made.compile() is made.compile()
    assert repr(Sources(root)) == f"<Sources below {root}>"


def test_a_root_can_be_chosen_wider_or_narrower(root: Path) -> None:
    file = importing(root, "../../secrets/other")
    (root.parent / "secrets" / "other.ts").write_text("export const x = 2;\n")
    assert OUTSIDE in problem_of(file)
    assert "secrets/other.ts" in workflow(file, root=root.parent).compile().modules
    file = importing(root, "../lib/sound")
    assert OUTSIDE in problem_of(file, root=root / "flows")
    with pytest.raises(UsageError, match="is not below its root"):
        workflow(file, root=root / "lib")


def test_the_command_line_chooses_it_too(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = importing(root, "../lib/sound")
    compile_file(str(file), root=str(root))
    assert "lib/sound.ts" in capsys.readouterr().out
    with pytest.raises(typer.Exit):
        compile_file(str(file), root=str(root / "flows"))
    told = capsys.readouterr().err
    assert OUTSIDE in told
    assert "--root" in told


def test_one_import_that_leads_out_does_not_hide_the_others(root: Path) -> None:
    file = root / "flows" / "w.ts"
    file.write_text(
        'import { x } from "../lib/sound";\nimport { y } from "../lib/gone";\n'
        'import { z } from "../../../../proc/self/environ";\n'
        'export async function w() { "use workflow"; return x + y + z }\n'
    )
    told = problem_of(file)
    assert "flows/w.ts:2:19: there is no file '../lib/gone'" in told
    assert f"flows/w.ts:3:19: cannot import '../../../../proc/self/environ': {OUTSIDE}" in told
    assert f"the root is {root}; root= (--root) chooses another" in told
    assert "lib/sound" not in told


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["key", "key.ts", "key.json", ".env", "gone", "gone.ts"])
def test_a_path_out_of_the_root_is_refused_be_it_there_or_not(root: Path, name: str) -> None:
    told = problem_of(importing(root, f"../../secrets/{name}"))
    assert told.replace(name, "") == problem_of(importing(root, "../../secrets/")).replace(name, "")
    assert OUTSIDE in told


@pytest.mark.parametrize("target", ["key.ts", "key", "gone.ts", ""])
@pytest.mark.parametrize("kind", ["file", "folder", "of a link", "entry"])
def test_a_link_out_of_the_root_is_refused_be_its_target_there_or_not(
    root: Path, kind: str, target: str
) -> None:
    secret = root.parent / "secrets" / target
    link, file = root / "lib" / "link.ts", importing(root, "../lib/link.ts")
    if kind == "file":
        link.symlink_to(secret)
    elif kind == "of a link":
        link.symlink_to("other.ts")
        (root / "lib" / "other.ts").symlink_to(os.path.relpath(secret, root / "lib"))
    elif kind == "folder":
        (root / "lib" / "away").symlink_to(secret.parent)
        file = importing(root, f"../lib/away/{target or 'key.ts'}")
    else:
        file.unlink()
        file.symlink_to(secret)
    assert OUTSIDE in problem_of(file)


def test_links_within_the_root_are_followed(root: Path) -> None:
    (root / "lib" / "link.ts").symlink_to("sound.ts")
    (root / "here").symlink_to("lib")
    workflow(importing(root, "../lib/link")).compile()
    workflow(importing(root, "../here/sound")).compile()
    loop = root / "lib" / "loop.ts"
    loop.symlink_to("loop.ts")
    problem_of(importing(root, "../lib/loop"))
    elsewhere = root.parent / "elsewhere"
    elsewhere.symlink_to(root)
    workflow(importing(elsewhere, "../lib/sound")).compile()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # its name may not be long
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(here)


def a_folder(path: Path) -> None:
    path.mkdir()


def no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe" + LEAK.encode("utf-16-le"))


def too_much(path: Path) -> None:
    with path.open("w") as file:
        file.write(LEAK)
        file.truncate(MAX_SOURCE_BYTES + 1)


REFUSED: dict[str, Callable[[Path], None]] = {
    **({"it is a pipe": a_pipe} if hasattr(os, "mkfifo") else {}),
    **({"it is a socket": a_socket} if hasattr(socket, "AF_UNIX") else {}),
    "it is a folder": a_folder,
    "it is not UTF-8 text": no_text,
    "it is larger than 4 MiB": too_much,
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_no_plain_text_is_refused_by_name(root: Path, reason: str) -> None:
    REFUSED[reason](root / "flows" / "odd.ts")
    told = problem_of(importing(root, "./odd.ts"))
    assert f"w.ts:1:19: cannot import './odd.ts': {reason}" in told
    assert f"odd.ts:1:1: cannot read it: {reason}" in problem_of(root / "flows" / "odd.ts")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/tty", "/dev/stdin"])
def test_a_device_is_not_opened(device: str) -> None:
    if not Path(device).is_char_device():
        pytest.skip(f"{device} is none here")
    assert "it is a device" in problem_of(Path(device), root=Path("/"))


@pytest.mark.parametrize("name", ["x", "x.txt", "x.env", ".env", ".ts", "x.ts.bak", "x.wasm"])
def test_only_sources_are_read(root: Path, name: str) -> None:
    (root / "flows" / name).write_text(LEAK)
    told = problem_of(importing(root, f"./{name}"))
    assert f"cannot import './{name}': it is no source file" in told
    assert "those end with .ts, .mts" in told
    (root / "flows" / "link.ts").symlink_to(name)
    assert "it is no source file" in problem_of(importing(root, "./link"))


@pytest.mark.parametrize("suffix", SOURCE_SUFFIXES)
def test_every_kind_of_source_is_read(root: Path, suffix: str) -> None:
    text = '{"x": 1}' if suffix == ".json" else "export const x = 1;\n"
    (root / "flows" / f"x{suffix}").write_text(text)
    assert f"x{suffix}" in workflow(importing(root, f"./x{suffix}")).compile().modules


@pytest.mark.parametrize("name", ["./a\0b", "./" + "x" * 5000, "./" + "x/" * 3000])
def test_a_name_that_no_file_has_is_not_there(root: Path, name: str) -> None:
    assert Sources(root).read(root / name) is None


def test_a_file_that_may_not_be_read_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    file = importing(root, "../lib/sound")
    monkeypatch.setattr(os, "open", denied)
    assert "cannot read it: it cannot be read: Permission denied" in problem_of(file)


def test_a_file_that_goes_while_it_is_read_is_not_there(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, opened = root / "lib" / "sound.ts", os.open

    def gone(name: Path, flags: int) -> int:
        path.unlink()
        return opened(name, flags)

    monkeypatch.setattr(os, "open", gone)
    assert Sources(root).read(path) is None


@pytest.mark.parametrize("how", ["a link", "another file", "longer"])
def test_a_file_that_changes_between_the_look_and_the_reading_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    path, secret, opened = root / "lib" / "sound.ts", root.parent / "secrets/key.ts", os.open

    def swapped(name: Path, flags: int) -> int:
        if how == "longer":
            with path.open("a") as file:
                file.truncate(MAX_SOURCE_BYTES + 1)
        elif how == "a link":
            path.unlink()
            path.symlink_to(secret)
        else:
            secret.replace(path)
        return opened(name, flags)

    monkeypatch.setattr(os, "open", swapped)
    refusal = Sources(root).read(path)
    assert isinstance(refusal, Refusal)
    assert SECRET not in repr(refusal)


def test_a_workflow_that_is_too_large_for_the_guest_is_refused(root: Path) -> None:
    count = MAX_BUNDLE_BYTES // (3 << 20) + 1
    for k in range(count):
        (root / "flows" / f"m{k}.ts").write_text(f"export const x = '{'x' * (3 << 20)}';\n")
    lines = [f'import {{ x as x{k} }} from "./m{k}";\nx{k};\n' for k in range(count)]
    file = root / "flows" / "w.ts"
    file.write_text("".join(lines) + 'export async function w() { "use workflow" }\n')
    told = problem_of(file)
    assert "a workflow and all it imports take at most 15 MiB" in told


def test_a_workflow_that_was_sound_and_is_not_is_not_given_again(root: Path) -> None:
    made = workflow(importing(root, "../lib/sound"))
    made.compile()
    importing(root, "../../secrets/key")
    for _ in range(2):
        with pytest.raises(CompileError):
            made.compile()
    assert made.compiled is None


PARTS = st.sampled_from(
    ["..", ".", "lib", "flows", "away", "back", "key", "key.ts", "sound", "secrets", "project"]
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PARTS, min_size=1, max_size=8))
def test_no_path_leads_to_what_is_outside(root: Path, parts: list[str]) -> None:
    for link, target in (("away", root.parent / "secrets"), ("back", root.parent)):
        if not (root / "lib" / link).exists():
            (root / "lib" / link).symlink_to(target)
    file = importing(root, "./" + "/".join(parts))
    try:
        told = str(workflow(file).compile().modules)
    except CompileError as exc:
        told = str(exc)
    assert SECRET not in told
