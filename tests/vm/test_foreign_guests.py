"""A guest that is not ours: what it lacks is named, and a trap ends a run, not the worker."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import pytest
import wasmtime

from perdure._model.commands import Failed
from perdure._protocol.codec import decode_error
from perdure._vm import guest
from perdure._vm.cell import Cell
from perdure._vm.guest import GuestEngine, default_engine, load_engine
from perdure._vm.instance import Instance, layout_of
from perdure.errors import GuestBuildError, GuestError, ProtocolError
from tests.systems import needs_modes
from tests.vm.conftest import RunOf

SLEEPS = """
import { work } from "python:steps";
export async function w() { return await work(1); }
"""
POINTER = '(global (export "__stack_pointer") (mut i32) (i32.const 8))'


def engine_of(body: str) -> GuestEngine:
    return load_engine(bytes(wasmtime.wat2wasm(f"(module {body})")))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    default_engine()
    monkeypatch.setenv("PERDURE_CACHE_DIR", str(tmp_path / "cache"))


def test_one_without_memory_is_refused() -> None:
    engine = engine_of('(func (export "memory"))')
    with pytest.raises(ProtocolError, match="exports no memory"):
        Cell(engine.prepared, engine.engine)


def test_one_without_our_exports_is_refused() -> None:
    layout = '(global (export "perdure_layout") i32 (i32.const 0))'
    body = f'(memory (export "memory") 1) {POINTER} {layout}'
    with pytest.raises(ProtocolError, match=r"not those of docs/protocol\.md"):
        layout_of(engine_of(body))
    cell = Cell((made := engine_of('(memory (export "memory") 1)')).prepared, made.engine)
    with pytest.raises(ProtocolError, match="exports no resume"):
        cell.call(b"resume")
    cell.close()
    cell.close()
    assert (cell.closed, cell.memory_bytes) == (True, 0)
    with pytest.raises(ProtocolError, match="has ended"):
        cell.call(b"resume")


def test_one_of_another_abi_is_refused() -> None:
    layout = '(func (export "perdure_layout") (result i32) (i32.const 0))'
    with pytest.raises(ProtocolError, match="speaks ABI version 0, this host version 4"):
        layout_of(engine_of(f'(memory (export "memory") 1) {POINTER} {layout}'))


def test_one_that_wants_more_than_functions_is_refused() -> None:
    with pytest.raises(ProtocolError, match=r"the guest wants host\.table"):
        engine_of('(import "host" "table" (table 1 funcref))')


def test_its_imports_answer_that_there_is_no_such_file() -> None:
    engine = engine_of(
        '(import "wasi" "fd_write" (func $f (param i32) (result i32))) (memory (export "memory") 1)'
        '(func (export "ask") (param i32) (result i32) (call $f (local.get 0)))'
    )
    assert Cell(engine.prepared, engine.engine).call(b"ask", 1) & 0xFF == 8


def test_memory_that_cannot_grow_is_told() -> None:
    engine = engine_of('(memory (export "memory") 1 2)')
    cell = Cell(engine.prepared, engine.engine)
    cell.grow_to(100_000)
    assert cell.memory_bytes == 131_072
    with pytest.raises(wasmtime.WasmtimeError, match="grow"):
        cell.grow_to(200_000)


def wreck(instance: Instance) -> None:
    """Take the heap away."""
    _, (start, end) = instance.layout.ranges(instance.memory_bytes)
    ctypes.memset(instance.address + start, 0, end - start)


def test_a_trap_fails_the_run_by_name_and_ends_the_guest(run_of: RunOf) -> None:
    run = run_of(SLEEPS)
    run.start()
    wreck(run.guest)
    answer = run.complete()
    assert isinstance(answer.outcome, Failed)
    error = decode_error(answer.outcome.error)
    assert isinstance(error, GuestError)
    assert error.name == "GuestTrapError"
    assert repr(run.guest).startswith("<Instance dead ")
    with pytest.raises(ProtocolError, match="has ended"):
        run.complete()
    run.guest.close()
    assert repr(run.guest) == "<Instance closed 0 KiB>"
    with pytest.raises(ProtocolError, match="was closed"):
        run.guest.grow_to(1)


def test_a_frame_larger_than_the_arena_is_refused(run_of: RunOf) -> None:
    guest = run_of(SLEEPS).guest
    with pytest.raises(ProtocolError, match="is larger than the arena"):
        guest.evaluate("x" * (17 << 20))


def test_a_call_in_the_wrong_order_is_refused(run_of: RunOf) -> None:
    run = run_of(SLEEPS)
    run.start()
    with pytest.raises(ProtocolError, match="the guest refused start: "):
        run.start()


def test_what_is_thrown_need_not_be_an_error(run_of: RunOf) -> None:
    guest = run_of(SLEEPS).guest
    with pytest.raises(GuestError, match="Error: 7"):
        guest.evaluate("(() => { throw 7 })()")


def test_an_installation_without_a_guest_says_how_to_build_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest, "GUESTS", tmp_path)
    with pytest.raises(GuestBuildError, match="--reinstall-package perdure"):
        default_engine.__wrapped__()


def in_a_file(folder: Path) -> None:
    folder.write_text("where the folder should be")


def for_others_too(folder: Path) -> None:
    folder.joinpath("perdure").mkdir(parents=True)
    folder.joinpath("perdure").chmod(0o777)


@pytest.mark.parametrize("spoil", [in_a_file, pytest.param(for_others_too, marks=needs_modes)])
def test_without_a_cache_that_is_ours_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], None]
) -> None:
    monkeypatch.setenv("PERDURE_CACHE_DIR", str(tmp_path / "spoilt"))
    spoil(tmp_path / "spoilt")
    engine = engine_of(f'(memory (export "{spoil.__name__}") 1)')
    assert not guest._cache_path(engine.digest).exists()


def test_a_kept_module_of_another_make_is_compiled_again() -> None:
    engine = engine_of('(memory (export "other make") 1)')
    path = guest._cache_path(engine.digest)
    data = b"no module of this version"
    path.write_bytes(data + guest._tag(engine.digest, data))
    assert guest._cached_module(engine.engine, engine.digest) is None


def test_the_kept_module_of_another_guest_is_not_taken_for_it() -> None:
    one, other = (engine_of(f'(memory (export "{name}") 1)') for name in ("one", "other"))
    path = guest._cache_path(one.digest)
    assert guest._cached_module(one.engine, one.digest) is not None
    path.write_bytes(guest._cache_path(other.digest).read_bytes())
    assert guest._cached_module(one.engine, one.digest) is None
