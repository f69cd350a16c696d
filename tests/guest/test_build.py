"""Building the guest: what is checked, what is skipped, and what is said when it cannot be done."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The build script as the hook loads it, with a cache of its own."""
    monkeypatch.setenv("PERDURE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("PERDURE_GUEST_WASM", raising=False)
    where = ROOT / "src/perdure/_guest/build.py"
    spec = importlib.util.spec_from_file_location("perdure._guest.build", where)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def never(*_: object) -> bytes:
    raise AssertionError("it was built again")


def test_it_is_built_once_for_the_same_inputs(
    builder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one(_: object) -> bytes:
        return b"one"

    target = tmp_path / "guest.wasm"
    monkeypatch.setattr(builder, "_compile", one)
    builder.build(target)
    assert target.read_bytes() == b"one"
    monkeypatch.setattr(builder, "_compile", never)
    builder.build(target)
    target.unlink()
    builder.build(target)  # from the cache
    assert target.read_bytes() == b"one"


def test_it_is_built_again_when_a_source_changed(
    builder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = tmp_path / "sources"
    (sources / "prelude").mkdir(parents=True)
    for path in builder._inputs():
        copy = sources / path.relative_to(builder.HERE)
        copy.write_bytes(path.read_bytes())
    monkeypatch.setattr(builder, "HERE", sources)
    target, made = tmp_path / "guest.wasm", iter([b"one", b"two"])

    def following(_: object) -> bytes:
        return next(made)

    monkeypatch.setattr(builder, "_compile", following)
    builder.build(target)
    with (sources / "prelude" / "1_values.js").open("a") as file:
        file.write("// changed\n")
    builder.build(target)
    assert target.read_bytes() == b"two"


def test_sources_with_another_digest_are_refused(
    builder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(command: list[str], _: str) -> None:
        folder = Path(command[command.index("-d") + 1])
        (folder / "evil.c").write_text("int main;")
        with tarfile.open(folder / "quickjs_ng-0.17.0.2.tar.gz", "w:gz") as archive:
            archive.add(folder / "evil.c", "quickjs_ng-0.17.0.2/upstream-quickjs/quickjs.c")

    monkeypatch.setattr(builder, "_run", download)
    with pytest.raises(builder.BuildError) as caught:
        builder._engine_sources(tmp_path)
    archive = tmp_path / "quickjs_ng-0.17.0.2.tar.gz"
    assert hashlib.sha256(archive.read_bytes()).hexdigest() in str(caught.value)
    assert builder.QUICKJS_SHA256 in str(caught.value)
    assert not list(tmp_path.glob("quickjs_ng-*/upstream-quickjs"))  # nothing was unpacked


def test_an_engine_without_the_place_for_our_hook_is_refused(builder: Any, tmp_path: Path) -> None:
    source = tmp_path / "quickjs.c"
    source.write_text(f"before\n{builder.HOOK_BEFORE}after\n")
    assert builder._hooked(source) == f"before\n{builder.HOOK}{builder.HOOK_BEFORE}after\n"
    for text in ("another version", builder.HOOK_BEFORE * 2):
        source.write_text(text)
        with pytest.raises(builder.BuildError, match="no one place for the hook"):
            builder._hooked(source)


def test_a_ready_made_one_is_used(
    builder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "_compile", never)
    monkeypatch.setenv("PERDURE_GUEST_WASM", str(tmp_path / "ready.wasm"))
    with pytest.raises(builder.BuildError, match="no file is there"):
        builder.build(tmp_path / "guest.wasm")
    (tmp_path / "ready.wasm").write_bytes(b"ready")
    builder.build(tmp_path / "guest.wasm")
    assert (tmp_path / "guest.wasm").read_bytes() == b"ready"


HOOK = """
import sys, types
plugin = types.ModuleType("hatchling.builders.hooks.plugin.interface")
class BuildHookInterface:
    target_name, root = "wheel", sys.argv[1]
    def __class_getitem__(cls, _): return cls
plugin.BuildHookInterface = BuildHookInterface
sys.modules[plugin.__name__] = plugin
sys.path.insert(0, sys.argv[1])
import hatch_build
hatch_build.GuestBuildHook().initialize("standard", {"artifacts": []})
"""


@pytest.mark.slow
def test_without_a_network_it_says_what_to_do(tmp_path: Path) -> None:
    """The hook as the package's build runs it, by a Python whose index cannot be reached."""
    project = tmp_path / "project"
    guest = project / "src/perdure/_guest"
    (guest / "prelude").mkdir(parents=True)
    (project / "hatch_build.py").write_bytes((ROOT / "hatch_build.py").read_bytes())
    for path in (ROOT / "src/perdure/_guest").rglob("*.*"):
        if path.suffix in (".py", ".c", ".h", ".js"):
            (guest / path.relative_to(ROOT / "src/perdure/_guest")).write_bytes(path.read_bytes())
    done = subprocess.run(
        [getattr(sys, "_base_executable", sys.executable), "-c", HOOK, str(project)],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
            "PIP_RETRIES": "0",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("perdure: cannot get the sources of quickjs-ng")
    assert "Check the network" in last
    assert "PERDURE_GUEST_WASM" in last
    assert "Traceback" not in done.stderr
    assert not (guest / "guest.wasm").exists()
