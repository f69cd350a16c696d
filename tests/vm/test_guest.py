"""Engines and the cache of compiled modules."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import wasmtime

from perdure._vm import guest
from perdure._vm.guest import default_engine, load_engine
from tests.systems import needs_modes, needs_movable_files


def test_an_engine_is_known_by_its_bytes() -> None:
    engine = default_engine()
    assert load_engine(engine.wasm) is engine
    assert engine.digest[:12] in repr(engine)


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the default engine's compiled module in it."""
    kept = guest._cache_path(default_engine().digest)
    monkeypatch.setenv("PERDURE_CACHE_DIR", str(tmp_path))
    path = guest._cache_path(default_engine().digest)
    path.parent.mkdir(mode=0o700)
    path.write_bytes(kept.read_bytes())
    path.chmod(0o600)
    return path


def _load() -> wasmtime.Module | None:
    return guest._cached_module(guest._wasm_engine(), default_engine().digest)


def test_a_kept_module_is_used(cached: Path) -> None:
    assert _load() is not None


@pytest.mark.parametrize("place", [0, 1000, -33, -32, -1])
def test_a_damaged_module_is_not_executed(cached: Path, place: int) -> None:
    data = bytearray(cached.read_bytes())
    data[place] ^= 1
    cached.write_bytes(bytes(data))
    assert _load() is None


@pytest.mark.parametrize("size", [0, 1, 32, 33, 5000])
def test_a_module_that_was_cut_short_is_not_executed(cached: Path, size: int) -> None:
    cached.write_bytes(cached.read_bytes()[:size])
    assert _load() is None


def test_a_module_is_copied_from_where_nothing_may_be_executed(
    cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> wasmtime.Module:
        raise wasmtime.WasmtimeError("Permission denied")

    monkeypatch.setattr(wasmtime.Module, "deserialize_file", refuse)
    assert _load() is not None


@needs_movable_files
def test_a_module_goes_on_when_its_file_is_replaced_or_removed(cached: Path) -> None:
    module = _load()
    other = cached.with_suffix(".other")
    other.write_bytes(b"another one")
    other.replace(cached)
    cached.unlink()
    assert module is not None
    assert module.serialize()[:4] == b"\x7fELF"


@needs_modes
def test_a_module_that_others_could_write_is_not_executed(cached: Path) -> None:
    cached.chmod(0o666)
    assert _load() is None
    cached.chmod(0o600)
    cached.parent.chmod(0o777)
    assert _load() is None


@pytest.mark.slow
def test_a_missing_module_is_compiled_and_kept_privately(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_CACHE_DIR", str(tmp_path / "new"))
    engine = default_engine()
    guest._compile(guest._wasm_engine(), engine.digest, engine.wasm)
    path = guest._cache_path(engine.digest)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert _load() is not None
