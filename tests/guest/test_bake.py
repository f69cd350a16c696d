"""Baking: the module begins as the booted one was, byte for byte, and runs nothing for it."""

from __future__ import annotations

from typing import Any

import pytest
import wasmtime

from perdure._guest.bake import bake

# Boots by writing to two places far apart, growing memory and moving the stack pointer.
GUEST = """(module
  (memory (export "memory") 1)
  (global (export "__stack_pointer") (mut i32) (i32.const 1024))
  (global $booted (mut i32) (i32.const 0))
  (data (i32.const 16) "before")
  (start $begin)
  (func $begin
    (i32.store8 (i32.const 32) (i32.const 7))
    (i32.store8 (i32.const 64) (i32.const 100))
    (i32.store8 (i32.const 72) (i32.const 4)))
  (func (export "_initialize"))
  (func (export "perdure_layout") (result i32) (i32.const 64))
  (func (export "compile") (result i32)
    (i32.store8 (i32.const 64) (i32.const 100))
    (i32.store8 (i32.const 72) (i32.const 4))
    (i32.store (i32.const 104) (i32.const 0x65646f63))
    (i32.const COMPILED))
  (func (export "boot") (param $size i32) (result i32)
    (if (i32.ne (local.get $size) (i32.const 4)) (then (unreachable)))
    (drop (memory.grow (i32.const 1)))
    (i32.store (i32.const 16) (i32.const 0x41414141))
    (i32.store (i32.const 70000) (i32.const 0x42424242))
    (i32.store8 (i32.const 64) (i32.const 100))
    (i32.store8 (i32.const 72) (i32.const 4))
    (i32.store (i32.const 104) (i32.const 0x21796857))
    (global.set 0 (i32.const 70000))
    (i32.const RESULT)))
"""


def wasm_of(source: str, *, compiled: int = 4, result: int = 0) -> bytes:
    numbers = source.replace("COMPILED", str(compiled)).replace("RESULT", str(result))
    return bytes(wasmtime.wat2wasm(numbers))


def module(*, compiled: int = 4, result: int = 0) -> bytes:
    return wasm_of(GUEST, compiled=compiled, result=result)


def exports_of(wasm: bytes) -> tuple[wasmtime.Store, Any]:
    store = wasmtime.Store()
    made = wasmtime.Instance(store, wasmtime.Module(store.engine, wasm), [])
    return store, made.exports(store)


def memory_of(store: wasmtime.Store, exports: Any) -> bytes:
    return bytes(exports["memory"].read(store, 0, exports["memory"].data_len(store)))


def test_the_baked_module_begins_where_the_boot_ended() -> None:
    store, booted = exports_of(module())
    booted["memory"].write(store, b"code", 100)
    booted["boot"](store, 4)
    expected = memory_of(store, booted)
    baked = bake(module())
    store, exports = exports_of(baked)
    assert memory_of(store, exports) == expected
    assert expected[16:20] + expected[70000:70004] == b"AAAABBBB"
    assert exports["__stack_pointer"].value(store) == 70000
    assert len(baked) < 600  # zeros are not written out


def test_a_boot_that_fails_tells_what_the_guest_said() -> None:
    with pytest.raises(RuntimeError, match="boot failed: b'Why!'"):
        bake(module(result=-4))


def test_a_prelude_that_does_not_compile_tells_what_the_guest_said() -> None:
    with pytest.raises(RuntimeError, match="compile failed: b'code'"):
        bake(module(compiled=-4))


def test_another_first_global_is_refused() -> None:
    pointer = '(global (export "__stack_pointer")'
    other = GUEST.replace(pointer, f"(global i64 (i64.const 0)) {pointer}")
    other = other.replace("global.set 0", "global.set 1")
    with pytest.raises(RuntimeError, match="not a mutable i32; the linker changed"):
        bake(wasm_of(other))


def data(*segments: str) -> bytes:
    """The guest with these data segments in place of its own."""
    return wasm_of(GUEST.replace('(data (i32.const 16) "before")', " ".join(segments)))


def test_the_layout_tells_where_the_constants_end() -> None:
    store, exports = exports_of(
        bake(data('(data (i32.const 128) "fixed")', '(data (i32.const 200) "x")'))
    )
    assert memory_of(store, exports)[64 + 12 : 64 + 16] == (200).to_bytes(4, "little")


def test_constants_that_are_written_to_are_refused() -> None:
    with pytest.raises(RuntimeError, match="is written to; the linker changed"):
        bake(data('(data (i32.const 16) "before")', '(data (i32.const 200) "x")'))


def test_a_data_segment_of_another_kind_is_refused() -> None:
    with pytest.raises(RuntimeError, match="of another kind; the linker changed"):
        bake(data('(data "passive")'))
