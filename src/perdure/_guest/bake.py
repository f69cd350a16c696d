"""Baking: boots a guest module once and makes the booted memory its initial one.

The prelude is compiled in one instance and run in another, whose heap is dense: it has no holes
where a parser was. The data section is replaced by the image's non-zero pages, the memory's minimum
by its size, the stack pointer by its value; the start section is dropped. An instance then equals
the image byte for byte, and the engine maps it copy-on-write instead of running anything.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import wasmtime

__all__ = ("bake",)

PAGE = 65536
CHUNK = 4096


def bake(module: bytes) -> bytes:
    """The module that starts as *module* is after ``_initialize`` and ``boot``."""
    sections = list(_sections(module))
    constants = _constants(dict(sections).get(11, b"\0"))
    memory, stack_pointer = _boot(module, constants)
    segments = list(_segments(memory))
    out = bytearray(module[:8])
    for kind, body in sections:
        if kind == 8 or (kind == 0):  # start; custom sections (names)
            continue
        if kind == 5:
            body = b"\x01\x00" + _leb(len(memory) // PAGE)
        elif kind == 6:
            body = _globals(body, stack_pointer)
        elif kind == 12:
            body = _leb(len(segments))
        elif kind == 11:
            body = _leb(len(segments)) + b"".join(
                b"\x00\x41" + _sleb(at) + b"\x0b" + _leb(len(data)) + data for at, data in segments
            )
        out += bytes([kind]) + _leb(len(body)) + body
    return bytes(out)


def _constants(body: bytes) -> tuple[int, bytes, int] | None:
    """The constants with their place, and the place of the data behind; None if there are none.

    The linker puts them first, and data that is written to after them.
    """
    segments = list(_data(body))
    if len(segments) < 2:
        return None
    return (*segments[0], segments[1][0])


def _data(body: bytes) -> Iterator[tuple[int, bytes]]:
    count, at = _read_leb(body, 0)
    for _ in range(count):
        if body[at : at + 2] != b"\x00\x41":
            raise RuntimeError("a data segment is of another kind; the linker changed")
        offset, at = _read_leb(body, at + 2)
        size, at = _read_leb(body, at + 1)
        yield offset, body[at : at + size]
        at += size


def _without_constants(image: bytes, layout: int, constants: tuple[int, bytes, int]) -> bytes:
    """The image with a layout in which the memory of a run begins behind the constants."""
    start, data, end = constants
    if image[start : start + len(data)] != data:
        raise RuntimeError("the first data segment is written to; the linker changed")
    place = layout + 12
    return image[:place] + end.to_bytes(4, "little") + image[place + 4 :]


def _boot(module: bytes, constants: tuple[int, bytes, int] | None) -> tuple[bytes, int]:
    config = wasmtime.Config()
    config.max_wasm_stack = 1792 << 10
    engine = wasmtime.Engine(config)
    compiled = wasmtime.Module(engine, module)
    prelude = _Guest(engine, compiled).answer("compile")
    guest = _Guest(engine, compiled)
    guest.answer("boot", prelude)
    image, pointer = guest.image(), int(guest.exports["__stack_pointer"].value(guest.store))
    if constants is not None:
        image = _without_constants(image, guest.layout, constants)
    return image, pointer


class _Guest:
    """An instance of the module before it is baked."""

    def __init__(self, engine: wasmtime.Engine, module: wasmtime.Module) -> None:
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        clock = wasmtime.FuncType([], [wasmtime.ValType.f64()])
        linker.define_func("perdure", "now", clock, _no_time)  # a step's; nothing is read from it
        self.store = store = wasmtime.Store(engine)
        store.set_wasi(wasmtime.WasiConfig())
        # wasmtime types an export as any of its kinds; abi.c says which.
        exports: Any = linker.instantiate(store, module).exports(store)
        exports["_initialize"](store)
        self.exports = exports
        self.layout = int(exports["perdure_layout"](store))

    def answer(self, name: str, request: bytes | None = None) -> bytes:
        """Call an export; returns its bytes. A negative length is that of an error."""
        memory, at = self.exports["memory"], self.layout
        arena, _, offset = (
            int.from_bytes(memory.read(self.store, at + 4 * k, at + 4 * k + 4), "little")
            for k in range(3)
        )
        if request is None:
            length = int(self.exports[name](self.store))
        else:
            memory.write(self.store, request, arena)
            length = int(self.exports[name](self.store, len(request)))
        start = arena + offset
        answer = bytes(memory.read(self.store, start, start + abs(length)))
        if length < 0:
            raise RuntimeError(f"{name} failed: {answer!r}")
        return answer

    def image(self) -> bytes:
        """Its memory."""
        memory: Any = self.exports["memory"]
        size = int(memory.data_len(self.store))
        return ctypes.string_at(ctypes.addressof(memory.data_ptr(self.store).contents), size)


def _no_time() -> float:
    return 0.0


def _segments(memory: bytes) -> Iterator[tuple[int, bytes]]:
    zero = bytes(CHUNK)
    start = None
    for at in range(0, len(memory) + CHUNK, CHUNK):
        blank = at >= len(memory) or memory[at : at + CHUNK] == zero
        if not blank and start is None:
            start = at
        elif blank and start is not None:
            data = memory[start:at]
            lead = len(data) - len(data.lstrip(b"\0"))
            yield start + lead, data.strip(b"\0")
            start = None


def _sections(module: bytes) -> Iterator[tuple[int, bytes]]:
    at = 8
    while at < len(module):
        kind = module[at]
        size, at = _read_leb(module, at + 1)
        yield kind, module[at : at + size]
        at += size


def _globals(body: bytes, stack_pointer: int) -> bytes:
    """The global section with the first global, the stack pointer, set anew."""
    count, at = _read_leb(body, 0)
    if body[at : at + 2] != b"\x7f\x01" or body[at + 2] != 0x41:
        raise RuntimeError("the first global is not a mutable i32; the linker changed")
    end = body.index(b"\x0b", at + 3)
    return _leb(count) + b"\x7f\x01\x41" + _sleb(stack_pointer) + body[end:]


def _read_leb(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _leb(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _sleb(value: int) -> bytes:
    out = bytearray()
    while not -64 <= value < 64:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value & 0x7F)
    return bytes(out)
