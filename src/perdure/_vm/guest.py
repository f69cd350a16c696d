"""Guest engines: the guests by digest, compiled once per machine, shared by every instance.

A compiled module is native code: the cache folder is private to the user, its files are checked
by digest and owner before they are loaded, and compiled again when anything is off. The digest
is of guest and code together, so that the code of another guest is not taken for it. It follows
the code, which is mapped from its file and not copied: that takes 3 ms, not 12, and processes
share the memory. So a file is never written into, only replaced.
"""

from __future__ import annotations

import functools
import hashlib
import mmap
import os
import platform
import threading
import time
from pathlib import Path
from typing import final

import wasmtime
from wasmtime import _ffi

from .._value_class import value_class
from ..errors import GuestBuildError, ProtocolError
from . import foreign
from .stack import WASM_STACK_BYTES
from .watch import watched_engine

__all__ = ("GuestEngine", "default_engine", "load_engine", "step_engine")

CONFIGURATION = 4  # of the engine and the file, as below: what is of another one is no use
GUESTS = Path(__file__).parents[1] / "_guest"
_TAG_BYTES = 32
_MISSING = (
    "{name} is missing from this installation; build it with 'pip install --force-reinstall "
    "perdure' (from a checkout: 'uv sync --all-packages --reinstall-package perdure'), which needs "
    "the package index once"
)
_lock = threading.Lock()
_loaded: dict[str, GuestEngine] = {}


@final
@value_class
class GuestEngine:
    """One guest binary, ready to be instantiated."""

    digest: str
    wasm: bytes
    engine: wasmtime.Engine
    module: wasmtime.Module
    linker: wasmtime.Linker
    prepared: wasmtime.InstancePre  # module and imports, ready to instantiate

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<GuestEngine {self.digest[:12]}>"


@functools.cache
def default_engine() -> GuestEngine:
    """The engine this package was built with.

    Raises:
        GuestBuildError: ``guest.wasm`` is not there; says how to build it.
    """
    return load_engine(_built("guest.wasm"))


@functools.cache
def step_engine() -> GuestEngine:
    """The engine of steps in JavaScript. Unlike that of workflows it has the real time.

    Raises:
        GuestBuildError: ``step.wasm`` is not there; says how to build it.
    """
    wasm = _built("step.wasm")
    return _make(hashlib.sha256(wasm).hexdigest(), wasm, has_clock=True)


def _built(name: str) -> bytes:
    try:
        return (GUESTS / name).read_bytes()
    except FileNotFoundError:
        raise GuestBuildError(_MISSING.format(name=name)) from None


def load_engine(wasm: bytes) -> GuestEngine:
    """The engine of a guest binary; the same one for the same bytes."""
    digest = hashlib.sha256(wasm).hexdigest()
    with _lock:
        if digest not in _loaded:
            _loaded[digest] = _make(digest, wasm)
        return _loaded[digest]


@functools.cache
def _wasm_engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    config.cranelift_nan_canonicalization = True
    config.wasm_threads = False
    config.wasm_relaxed_simd = False
    config.memory_init_cow = True
    foreign.set_wasm_stack(config, WASM_STACK_BYTES)
    config.epoch_interruption = True
    engine = wasmtime.Engine(config)
    foreign.keep_forever(engine)
    watched_engine(engine)
    return engine


def _make(digest: str, wasm: bytes, *, has_clock: bool = False) -> GuestEngine:
    engine = _wasm_engine()
    module = _cached_module(engine, digest) or _compile(engine, digest, wasm)
    linker = wasmtime.Linker(engine)
    _define_stubs(linker, module, has_clock=has_clock)
    prepared = linker.instantiate_pre(module)
    foreign.keep_forever(module, linker, prepared)
    return GuestEngine(
        digest=digest,
        wasm=wasm,
        engine=engine,
        module=module,
        linker=linker,
        prepared=prepared,
    )


def _define_stubs(linker: wasmtime.Linker, module: wasmtime.Module, *, has_clock: bool) -> None:
    """Every import answers "bad file descriptor": the guest has no file and no terminal.

    Args:
        has_clock: one import answers the time.
    """
    for imported in module.imports:
        kind = imported.type
        if not isinstance(kind, wasmtime.FuncType):
            raise ProtocolError(f"the guest wants {imported.module}.{imported.name}")
        is_clock = has_clock and (imported.module, imported.name) == ("perdure", "now")
        call = _now_ms if is_clock else _bad_descriptor
        linker.define_func(imported.module, imported.name or "", kind, call)


def _now_ms() -> float:
    return time.time() * 1000


def _bad_descriptor(*_: object) -> int:
    return 8  # EBADF


def _compile(engine: wasmtime.Engine, digest: str, wasm: bytes) -> wasmtime.Module:
    module = wasmtime.Module(engine, wasm)
    data = bytes(module.serialize())
    path = _cache_path(digest)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not _is_private(path.parent):
            return module
        partial = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
        _keep(data + _tag(digest, data), partial, path)
    except OSError:
        pass  # A cache that cannot be written costs a compilation per process, no more.
    return module


def _keep(data: bytes, partial: Path, path: Path) -> None:
    try:
        partial.write_bytes(data)
        partial.chmod(0o600)
        partial.replace(path)  # which Windows refuses while another process reads what was there
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _cached_module(engine: wasmtime.Engine, digest: str) -> wasmtime.Module | None:
    path = _cache_path(digest)
    try:
        if not (_is_private(path.parent) and _is_private(path) and _is_tagged(digest, path)):
            return None
    except OSError:
        return None
    try:
        return wasmtime.Module.deserialize_file(engine, str(path))
    except wasmtime.WasmtimeError:
        return _copied_module(engine, path)


def _copied_module(engine: wasmtime.Engine, path: Path) -> wasmtime.Module | None:
    """The module in memory of its own: nothing is executed from a folder mounted ``noexec``."""
    try:
        return wasmtime.Module.deserialize(engine, path.read_bytes()[:-_TAG_BYTES])
    except (OSError, wasmtime.WasmtimeError):
        return None


def _is_tagged(digest: str, path: Path) -> bool:
    """Whether the file ends with the tag of what stands before."""
    if path.stat().st_size <= _TAG_BYTES:
        return False
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        memoryview(content) as view,
        view[:-_TAG_BYTES] as data,
    ):
        return _tag(digest, data) == bytes(view[-_TAG_BYTES:])


def _tag(digest: str, data: bytes | memoryview) -> bytes:
    whole = hashlib.sha256(digest.encode())
    whole.update(data)
    return whole.digest()


def _is_private(path: Path) -> bool:
    """Whether nobody else could have written here; code in other places is not executed."""
    info = path.stat()
    return not hasattr(os, "getuid") or (info.st_uid == os.getuid() and not info.st_mode & 0o022)


def _cache_path(digest: str) -> Path:
    base = os.environ.get("PERDURE_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else Path.home() / ".cache") / "perdure"
    library = Path(_ffi.filename).stat()  # its version, without the price of asking for it
    machine = (
        f"{library.st_size:x}.{library.st_mtime_ns:x}-{platform.system()}-{platform.machine()}"
    )
    return folder / f"module-{digest[:32]}-{machine}-{CONFIGURATION}.bin".lower()
