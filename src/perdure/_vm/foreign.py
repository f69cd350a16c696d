"""Foreign: the few wasmtime and libc functions that are called for every turn.

wasmtime-py describes each call's types anew (tens of microseconds a call); these are the same C
functions with plain addresses. Short ones keep the interpreter lock: giving it up for a
microsecond may cost a thread switch of milliseconds. Only ``call``, ``copy_much``,
``delete_store`` and ``instantiate_freely`` release it.
Nothing here owns anything; ``instance`` and ``kernel`` do.
"""

from __future__ import annotations

import atexit
import ctypes
import sys
from ctypes import c_char_p, c_int, c_size_t, c_uint64, c_void_p
from typing import Protocol

import wasmtime
from wasmtime import _ffi

from ..errors import ProtocolError

__all__ = (
    "Extern",
    "call",
    "call_briefly",
    "compare",
    "copy",
    "copy_much",
    "delete_store",
    "find_export",
    "grow_memory",
    "increment_epoch",
    "instantiate",
    "instantiate_freely",
    "keep_forever",
    "memory",
    "memory_address",
    "memory_size",
    "new_error",
    "new_store",
    "pointer_of",
    "raise_error",
    "set_epoch_callback",
    "set_epoch_deadline",
    "set_wasm_stack",
    "store_context",
    "zero",
)

_EXTERN_MEMORY = bytes([_ffi.WASMTIME_EXTERN_MEMORY.value])
_releasing = ctypes.CDLL(str(_ffi.filename))
_keeping = ctypes.PyDLL(str(_ffi.filename))
_LIBC = "msvcrt" if sys.platform == "win32" else None
_libc = ctypes.PyDLL(_LIBC)


class _Handle(Protocol):
    def _consume(self) -> object: ...


class _Function(Protocol):
    def __call__(self, *arguments: object) -> int: ...


def _bind(library: ctypes.CDLL, name: str, result: object, *arguments: object) -> _Function:
    # Indexing, unlike attribute access, makes a function object of our own.
    function = library[name]
    function.restype = result  # type: ignore[assignment]  # ctypes' stubs name a private type
    function.argtypes = arguments  # type: ignore[assignment]  # likewise
    return function


new_store = _bind(_keeping, "wasmtime_store_new", c_void_p, c_void_p, c_void_p, c_void_p)
store_context = _bind(_keeping, "wasmtime_store_context", c_void_p, c_void_p)
delete_store = _bind(_releasing, "wasmtime_store_delete", None, c_void_p)
instantiate = _bind(
    _keeping, "wasmtime_instance_pre_instantiate", c_void_p, c_void_p, c_void_p, c_void_p, c_void_p
)
instantiate_freely = _bind(
    *(_releasing, "wasmtime_instance_pre_instantiate"),
    *(c_void_p, c_void_p, c_void_p, c_void_p, c_void_p),
)
memory_address = _bind(_keeping, "wasmtime_memory_data", c_void_p, c_void_p, c_void_p)
memory_size = _bind(_keeping, "wasmtime_memory_data_size", c_size_t, c_void_p, c_void_p)
grow_memory = _bind(
    _keeping, "wasmtime_memory_grow", c_void_p, c_void_p, c_void_p, c_uint64, c_void_p
)
_CALL = (c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p)
call = _bind(_releasing, "wasmtime_func_call_unchecked", *_CALL)
call_briefly = _bind(_keeping, "wasmtime_func_call_unchecked", *_CALL)
increment_epoch = _bind(_keeping, "wasmtime_engine_increment_epoch", None, c_void_p)
set_epoch_deadline = _bind(
    _keeping, "wasmtime_context_set_epoch_deadline", None, c_void_p, c_uint64
)
set_epoch_callback = _bind(
    _keeping,
    "wasmtime_store_epoch_deadline_callback",
    None,
    c_void_p,
    c_void_p,
    c_void_p,
    c_void_p,
)
new_error = _bind(_keeping, "wasmtime_error_new", c_void_p, c_char_p)
_export_get = _bind(
    _keeping,
    "wasmtime_instance_export_get",
    ctypes.c_bool,
    c_void_p,
    c_void_p,
    c_char_p,
    c_size_t,
    c_void_p,
)
_set_async_stack = _bind(_keeping, "wasmtime_config_async_stack_size_set", None, c_void_p, c_uint64)
compare = _bind(_libc, "memcmp", c_int, c_void_p, c_void_p, c_size_t)
copy = _bind(_libc, "memcpy", c_void_p, c_void_p, c_void_p, c_size_t)
zero = _bind(_libc, "memset", c_void_p, c_void_p, c_int, c_size_t)
# A slice of it is a range of addresses. To assign one slice to another takes half the time of
# ``copy`` where ranges are short: ctypes converts three arguments. It reaches past what any
# processor can address (47 bits on some, 52 on others): slices beyond its end would be empty.
memory = memoryview((ctypes.c_char * (1 << 62)).from_address(0)).cast("B")
copy_much = _bind(ctypes.CDLL(_LIBC), "memcpy", c_void_p, c_void_p, c_void_p, c_size_t)


class Extern:
    """One export: its C value, kept alive, and the address of the function or memory in it."""

    __slots__ = ("address", "is_memory", "value")

    def __init__(self) -> None:
        self.value = _ffi.wasmtime_extern_t()
        self.address = ctypes.addressof(self.value.of)
        self.is_memory = False


def find_export(context: int, instance: int, name: bytes) -> Extern:
    """The export called *name* of an instance.

    Raises:
        ProtocolError: there is none.
    """
    export = Extern()
    if not _export_get(context, instance, name, len(name), ctypes.addressof(export.value)):
        raise ProtocolError(f"the guest exports no {name.decode()}")
    # The kind is the first byte, under any type that the bindings say.
    export.is_memory = ctypes.string_at(ctypes.addressof(export.value), 1) == _EXTERN_MEMORY
    return export


def pointer_of(handle: wasmtime.Config | wasmtime.Engine | wasmtime.InstancePre) -> int:
    """The address behind one of wasmtime-py's handles; the caller keeps the handle alive."""
    return ctypes.cast(handle.ptr(), c_void_p).value or 0


def keep_forever(*handles: _Handle) -> None:
    """Leave the objects behind these handles to the end of the process.

    wasmtime-py frees handles when its own modules may be gone already, and complains.
    """

    def let_go() -> None:
        for handle in handles:
            handle._consume()  # pyright: ignore[reportPrivateUsage]  # no public way

    atexit.register(let_go)


def set_wasm_stack(config: wasmtime.Config, size: int) -> None:
    """Let wasm code use *size* bytes of its thread's stack."""
    # Its stacks of async calls, of which there are none here, must not be smaller.
    _set_async_stack(pointer_of(config), size)
    config.max_wasm_stack = size


def raise_error(error: int | None, trap: int | None) -> None:
    """Raise the error that a foreign call handed back, and free it.

    Raises:
        wasmtime.Trap: wasm code trapped.
        wasmtime.WasmtimeError: anything else.
    """
    # wasmtime-py has no public way to adopt a pointer.
    if error:
        error_at = ctypes.cast(error, ctypes.POINTER(_ffi.wasmtime_error_t))
        # No public way.
        raise wasmtime.WasmtimeError._from_ptr(error_at)  # pyright: ignore[reportPrivateUsage]
    if trap:
        trap_at = ctypes.cast(trap, ctypes.POINTER(_ffi.wasm_trap_t))
        raise wasmtime.Trap._from_ptr(trap_at)  # pyright: ignore[reportPrivateUsage]  # likewise
