"""Building the guest: what is checked, what is skipped, and what is said when it cannot be done."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.systems import needs_modes

ROOT = Path(__file__).parents[2]
PYTHON = getattr(sys, "_base_executable", sys.executable)  # which has pip


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
    for folder in ("prelude", "step_prelude"):
        (sources / folder).mkdir(parents=True)
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


BACKEND = """
import pathlib
pathlib.Path({mark!r}).write_text("it ran")
"""
FETCH = """
import pathlib, runpy, sys
builder = runpy.run_path(sys.argv[1])
globals_of = builder["_engine_sources"].__globals__
if len(sys.argv) > 3:
    globals_of["QUICKJS_SHA256"] = sys.argv[3]
try:
    print(builder["_engine_sources"](pathlib.Path(sys.argv[2])))
except builder["BuildError"] as exc:
    sys.exit(str(exc))
"""


@pytest.fixture
def tampered(tmp_path: Path) -> Path:
    """An index that has another sdist of that name, which leaves a mark when it is built."""
    name = "quickjs_ng-0.17.0.2"
    source = tmp_path / "index" / name
    (source / "upstream-quickjs").mkdir(parents=True)
    (source / "upstream-quickjs" / "quickjs.c").write_text("int main;")
    (source / "backend.py").write_text(BACKEND.format(mark=str(tmp_path / "mark")))
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: quickjs-ng\nVersion: 0.17.0.2\n")
    with tarfile.open(tmp_path / "index" / f"{name}.tar.gz", "w:gz") as archive:
        archive.add(source, name)
    return tmp_path / "index" / f"{name}.tar.gz"


def fetch(tampered: Path, folder: Path, *digest: str) -> subprocess.CompletedProcess[str]:
    """Fetch the engine's sources by a Python that has pip, from that index alone."""
    folder.mkdir()
    script = str(ROOT / "src/perdure/_guest/build.py")
    return subprocess.run(
        [PYTHON, "-c", FETCH, script, str(folder), *digest],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(tampered.parent),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_nothing_of_sources_with_another_digest_is_run_or_unpacked(
    builder: Any, tampered: Path, tmp_path: Path
) -> None:
    done = fetch(tampered, tmp_path / "work")
    assert done.returncode == 1
    assert not (tmp_path / "mark").exists()  # pip runs its build to learn the name
    assert hashlib.sha256(tampered.read_bytes()).hexdigest() in done.stderr
    assert builder.QUICKJS_SHA256 in done.stderr
    assert "Nothing of it was used" in done.stderr
    assert not list(tmp_path.glob("work/**/quickjs.c"))


@pytest.mark.slow
def test_the_mark_would_be_left_by_sources_with_the_right_digest(
    tampered: Path, tmp_path: Path
) -> None:
    """So that the test before means something: this sdist does run where it is allowed to."""
    fetch(tampered, tmp_path / "work", hashlib.sha256(tampered.read_bytes()).hexdigest())
    assert (tmp_path / "mark").read_text() == "it ran"


@pytest.mark.parametrize("package", ["QUICKJS", "ADA"])
def test_what_was_fetched_is_checked_again(
    builder: Any, package: str, tampered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever pip did."""

    def run(command: list[str], _: str) -> None:
        assert "--require-hashes" in command
        folder = Path(command[command.index("-d") + 1])
        folder.mkdir()
        (folder / tampered.name).write_bytes(tampered.read_bytes())

    monkeypatch.setattr(builder, "_run", run)
    with pytest.raises(builder.BuildError, match=r"is expected\. Nothing of it was used"):
        builder._sources(tmp_path, getattr(builder, package), getattr(builder, f"{package}_SHA256"))
    name = getattr(builder, package)[0]
    left = sorted(path.name for path in (tmp_path / name).iterdir())
    assert left == ["archives", "requirements.txt"]  # nothing was unpacked


def spoil_bytes(kept: Path) -> None:
    data = bytearray(kept.read_bytes())
    data[-1] ^= 1
    kept.write_bytes(bytes(data))


def spoil_length(kept: Path) -> None:
    kept.write_bytes(kept.read_bytes()[:20])


def spoil_mode(kept: Path) -> None:
    kept.chmod(0o666)


def spoil_folder(kept: Path) -> None:
    kept.parent.chmod(0o777)


def spoil_kind(kept: Path) -> None:
    kept.unlink()
    kept.mkdir()


def spoil_inputs(kept: Path) -> None:
    """What was kept for other inputs, under this name."""
    data = kept.read_bytes()[32:]
    kept.write_bytes(hashlib.sha256(b"0" * 64 + data).digest() + data)


@pytest.mark.parametrize(
    "spoil",
    [
        *(spoil_bytes, spoil_length, spoil_kind, spoil_inputs),
        *(pytest.param(spoil, marks=needs_modes) for spoil in (spoil_mode, spoil_folder)),
    ],
)
def test_what_was_kept_is_used_only_as_it_was_written_by_us(
    builder: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path], None],
) -> None:
    target, built = tmp_path / "guest.wasm", iter([b"one", b"two"])

    def following(_: object) -> bytes:
        return next(built)

    monkeypatch.setattr(builder, "_compile", following)
    builder.build(target)
    (kept,) = (tmp_path / "cache/perdure").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    target.unlink()
    spoil(kept)
    builder.build(target)
    assert target.read_bytes() == b"two"


@needs_modes
def test_what_others_own_is_not_used(
    builder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, built = tmp_path / "guest.wasm", iter([b"one", b"two"])

    def following(_: object) -> bytes:
        return next(built)

    monkeypatch.setattr(builder, "_compile", following)
    builder.build(target)
    target.unlink()
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    builder.build(target)
    assert target.read_bytes() == b"two"


def test_a_target_that_was_changed_is_made_again(
    builder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one(_: object) -> bytes:
        return b"one"

    target = tmp_path / "guest.wasm"
    monkeypatch.setattr(builder, "_compile", one)
    builder.build(target)
    target.write_bytes(b"another")
    builder.build(target)
    assert target.read_bytes() == b"one"
    target.with_suffix(".stamp").write_bytes(b"\xff")
    target.write_bytes(b"another")
    builder.build(target)
    assert target.read_bytes() == b"one"


def test_without_a_place_to_keep_it_it_is_built_all_the_same(
    builder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one(_: object) -> bytes:
        return b"one"

    (tmp_path / "cache").write_text("a file, where the folder should be")
    monkeypatch.setattr(builder, "_compile", one)
    builder.build(tmp_path / "guest.wasm")
    assert (tmp_path / "guest.wasm").read_bytes() == b"one"


def test_an_engine_that_is_another_version_is_refused(builder: Any, tmp_path: Path) -> None:
    source = tmp_path / "quickjs.c"
    source.write_text("int another_version(void)\n{\n    return 1;\n}\n")
    with pytest.raises(builder.BuildError, match=r"quickjs\.c cannot be patched: there are 0 "):
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
    for folder in ("prelude", "step_prelude"):
        (guest / folder).mkdir(parents=True)
    (project / "hatch_build.py").write_bytes((ROOT / "hatch_build.py").read_bytes())
    for path in (ROOT / "src/perdure/_guest").rglob("*.*"):
        if path.suffix in (".py", ".c", ".cpp", ".h", ".js"):
            (guest / path.relative_to(ROOT / "src/perdure/_guest")).write_bytes(path.read_bytes())
    done = subprocess.run(
        [PYTHON, "-c", HOOK, str(project)],
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
