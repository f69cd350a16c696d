"""Cell: one wasm store with one instance and its memory, owned and freed once.

Used by one thread at a time. Addresses in memory hold until memory grows, so they are asked for
anew for every use.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import final

import wasmtime

from ..errors import ProtocolError
from . import foreign
from .watch import STOPPED, StoppedError, StopReason, heed_watches, place_here

__all__ = ("Cell", "prepare")

WASM_PAGE = 65536


def prepare(source: str) -> tuple[wasmtime.Engine, wasmtime.InstancePre]:
    """A module of our own in wasm's text form, compiled for the rest of the process."""
    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, source)
    linker = wasmtime.Linker(engine)
    prepared = linker.instantiate_pre(module)
    foreign.keep_forever(engine, module, linker, prepared)
    return engine, prepared


@final
class Cell:
    """A live instance. ``close`` it; one that is left open is closed with its last reference."""

    __slots__ = (
        "_address",
        "_argument",
        "_argument_at",
        "_call",
        "_context",
        "_functions",
        "_instance",
        "_memory",
        "_store",
        "_trap",
        "_trap_at",
    )

    def __init__(
        self,
        prepared: wasmtime.InstancePre,
        engine: wasmtime.Engine,
        *,
        brief: bool = False,
        freely: bool = False,
    ) -> None:
        """Instantiate.

        Args:
            brief: its calls take microseconds, so they keep the interpreter lock.
            freely: others may have the lock meanwhile, as many are made at a time.
        """
        self._store: int | None = None
        self._call = foreign.call_briefly if brief else foreign.call
        self._functions: dict[bytes, foreign.Extern] = {}
        self._instance = ctypes.create_string_buffer(16)
        values = ctypes.create_string_buffer(16)  # one wasmtime_val_raw_t, and the result's place
        self._argument = ctypes.c_int64.from_buffer(values)
        self._argument_at = ctypes.addressof(values)
        self._trap = ctypes.c_void_p()
        self._trap_at = ctypes.addressof(self._trap)
        self._store = foreign.new_store(foreign.pointer_of(engine), None, None)
        self._context = foreign.store_context(self._store)
        heed_watches(self._store, self._context)
        error = (foreign.instantiate_freely if freely else foreign.instantiate)(
            foreign.pointer_of(prepared),
            self._context,
            ctypes.addressof(self._instance),
            self._trap_at,
        )
        foreign.raise_error(error, self._trap.value)
        export = foreign.find_export(self._context, ctypes.addressof(self._instance), b"memory")
        if not export.is_memory:
            raise ProtocolError("the guest exports no memory")
        self._memory = export
        self._locate()

    def __del__(self, _delete: Callable[[int], object] = foreign.delete_store) -> None:
        # Bound early: at the interpreter's end modules go before objects.
        store, self._store = self._store, None
        if store is not None:
            _delete(store)

    @property
    def closed(self) -> bool:
        """Whether memory is gone."""
        return self._store is None

    @property
    def address(self) -> int:
        """Where memory lies in this process; asked for after all that may let it grow.

        On processors of 64 bits it grows where it lies: there all that it may come to is reserved.
        """
        if self._store is None:
            raise ProtocolError("this guest has ended")
        return self._address

    def _locate(self) -> None:
        self._address = foreign.memory_address(self._context, self._memory.address)

    @property
    def memory_bytes(self) -> int:
        """The memory's size; 0 once closed."""
        if self._store is None:
            return 0
        return foreign.memory_size(self._context, self._memory.address)

    def grow_to(self, size: int) -> None:
        """Make memory at least *size* bytes.

        Raises:
            wasmtime.WasmtimeError: there is no room.
        """
        missing = size - self.memory_bytes
        if missing > 0:
            before = ctypes.c_uint64()
            error = foreign.grow_memory(
                self._context,
                self._memory.address,
                -(-missing // WASM_PAGE),
                ctypes.addressof(before),
            )
            foreign.raise_error(error, None)
            self._locate()

    def call(self, name: bytes, argument: int = 0) -> int:
        """Call an export that takes at most one i32, and give its result as a signed 64-bit number.

        Raises:
            wasmtime.Trap: wasm code trapped; the cell is unusable.
            StoppedError: this thread's watch was stopped; the cell is unusable.
        """
        if self._store is None:
            raise ProtocolError("this guest has ended")
        function = self._functions.get(name)
        if function is None:
            function = foreign.find_export(self._context, ctypes.addressof(self._instance), name)
            self._functions[name] = function
        trap, value = self._trap, self._argument
        trap.value = None
        value.value = argument
        error = self._call(self._context, function.address, self._argument_at, 1, self._trap_at)
        if error or trap.value:
            _raise(error, trap.value)
        self._address = foreign.memory_address(self._context, self._memory.address)
        return value.value

    def close(self) -> None:
        """Free memory. Idempotent."""
        store, self._store = self._store, None
        if store is not None:
            foreign.delete_store(store)


def _raise(error: int, trap: int | None) -> None:
    """Raise the error that a call handed back.

    Raises:
        wasmtime.Trap: wasm code trapped.
        StoppedError: this thread's watch was stopped.
        wasmtime.WasmtimeError: anything else.
    """
    try:
        foreign.raise_error(error, trap)
    except wasmtime.WasmtimeError as exc:
        if STOPPED not in str(exc):
            raise
        watch = place_here().watch
        raise StoppedError((watch and watch.reason) or StopReason.ABANDONED) from None
