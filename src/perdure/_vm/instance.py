"""Instance: one run's live VM.

Used by one thread at a time; owns its wasmtime store and closes it once. Requests and answers go
through the arena by address; the address may move when memory grows, so it is asked for anew.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import wasmtime

from .._model.commands import Answer, Failed
from .._protocol.codec import decode, encode
from .._protocol.frames import (
    GuestDelivery,
    StartFrame,
    decode_answer,
    decode_result,
    encode_evaluate,
    encode_resume,
    encode_start,
)
from ..errors import GuestError, ProtocolError
from .guest import GuestEngine

__all__ = ("Instance", "Layout", "layout_of")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where things lie in a guest's memory."""

    arena: int
    arena_bytes: int
    answer: int  # address
    stack_end: int
    interrupt: int
    stack_pointer: int
    memory_bytes: int  # at the start


@final
class Instance:
    """A guest in memory. ``close`` it when done; a crashed one answers nothing more."""

    def __init__(self, engine: GuestEngine) -> None:
        self.engine = engine
        self._store = wasmtime.Store(engine.engine)
        instance = engine.linker.instantiate(self._store, engine.module)
        self._exports = instance.exports(self._store)
        memory = self._exports["memory"]
        if not isinstance(memory, wasmtime.Memory):
            raise ProtocolError("the guest exports no memory")
        self._memory = memory
        self._functions: dict[str, wasmtime.Func] = {}
        self.dead = False
        self.layout = layout_of(engine)

    def __repr__(self) -> str:
        return f"<Instance {'dead' if self.dead else 'live'} {self.memory_bytes >> 10} KiB>"

    @property
    def memory_bytes(self) -> int:
        """The memory's size; 0 once closed."""
        return 0 if self._store is None else self._memory.data_len(self._store)

    @property
    def address(self) -> int:
        """Where memory lies in this process, until it grows."""
        pointer = self._memory.data_ptr(self._store)
        return ctypes.addressof(pointer.contents)

    def grow_to(self, size: int) -> None:
        """Make memory at least *size* bytes."""
        missing = size - self.memory_bytes
        if missing > 0:
            self._memory.grow(self._store, -(-missing // 65536))

    def load(self, bundle: bytes) -> None:
        """Compile a bundle's modules.

        Raises:
            GuestError: they do not compile.
        """
        ok, payload = decode_result(self._call("load", bundle))
        if not ok:
            raise _as_error(payload)

    def start(self, frame: StartFrame) -> Answer:
        """Deliver ``run_created``."""
        return self._turn("start", encode_start(frame))

    def resume(self, deliveries: Sequence[GuestDelivery]) -> Answer:
        """Deliver events, in order, each drained before the next."""
        return self._turn("resume", encode_resume(deliveries))

    def evaluate(self, source: str) -> bytes:
        """The payload of an expression's value, for inspection of a copy.

        Raises:
            GuestError: it threw.
        """
        ok, payload = decode_result(self._call("evaluate", encode_evaluate(source)))
        if not ok:
            raise _as_error(payload)
        return payload

    def interrupt(self) -> None:
        """Ask a call that is running in another thread to stop soon."""
        if not self.dead:
            ctypes.memset(self.address + self.layout.interrupt, 1, 1)

    def close(self) -> None:
        """Free memory. Idempotent."""
        if not self.dead:
            self.dead = True
        self._store.close()

    def _turn(self, name: str, request: bytes) -> Answer:
        try:
            return decode_answer(self._call(name, request))
        except wasmtime.Trap as trap:
            self.dead = True
            error = GuestError(
                name="GuestTrapError", message=f"the guest trapped: {trap.message.splitlines()[0]}"
            )
            return _crashed(encode(error, where="error"))

    def _call(self, name: str, request: bytes) -> bytes:
        if self.dead:
            raise ProtocolError("this guest has ended")
        layout = self.layout
        if len(request) > layout.answer - layout.arena:
            raise ProtocolError(f"a frame of {len(request)} bytes is larger than the arena")
        ctypes.memmove(self.address + layout.arena, request, len(request))
        function = self._functions.get(name)
        if function is None:
            found = self._exports[name]
            if not isinstance(found, wasmtime.Func):
                raise ProtocolError(f"the guest exports no {name}")
            function = self._functions[name] = found
        size = function(self._store, len(request))
        if not isinstance(size, int) or size < 0:
            self.dead = True
            raise ProtocolError(f"the guest answered {name} with {size}")
        return ctypes.string_at(self.address + layout.answer, size)


def _crashed(error: bytes) -> Answer:
    return Answer(
        turns=(),
        consumed=0,
        outcome=Failed(error),
        unhandled=(),
        instructions=0,
        heap_bytes=0,
        clock_ms=0,
        open=0,
    )


def _as_error(payload: bytes) -> GuestError:
    value = decode(payload)
    if isinstance(value, GuestError):
        return value
    return GuestError(name="Error", message=str(value))


@functools.cache
def layout_of(engine: GuestEngine) -> Layout:
    """The layout of an engine's guests, asked of one."""
    store = wasmtime.Store(engine.engine)
    exports = engine.linker.instantiate(store, engine.module).exports(store)
    memory, locate = exports["memory"], exports["perdure_layout"]
    pointer = exports["__stack_pointer"]
    assert isinstance(memory, wasmtime.Memory)
    assert isinstance(locate, wasmtime.Func)
    assert isinstance(pointer, wasmtime.Global)
    at = locate(store)
    words = bytes(memory.read(store, at, at + 32))
    number = [int.from_bytes(words[k : k + 4], "little") for k in range(0, 32, 4)]
    if number[6] != 1:
        raise ProtocolError(f"the guest speaks ABI version {number[6]}, this host version 1")
    layout = Layout(
        arena=number[0],
        arena_bytes=number[1],
        answer=number[0] + number[2],
        stack_end=number[3],
        interrupt=number[4],
        stack_pointer=int(pointer.value(store)),
        memory_bytes=memory.data_len(store),
    )
    store.close()
    return layout
