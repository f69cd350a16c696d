"""Builds guest.wasm: QuickJS-NG and our C and JS sources, compiled by zig, booted and baked.

Run by the package's build hook; the sources of QuickJS-NG come from its sdist on the package
index, whose pinned digest is checked before anything in it is read or run. Skipped when the inputs
are unchanged; what was kept is used only if nobody else could have written it, and it is what was
written. Stands alone: the build environment has no Perdure.
"""

from __future__ import annotations

import hashlib
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

__all__ = ("build",)

QUICKJS = ("quickjs-ng", "0.17.0.2")
QUICKJS_SHA256 = "43d2e48272208721a7aaea8e3f02d4b9318f12ef20cc4f5421b59d9a470706ef"
ENGINE_SOURCES = ("libregexp.c", "libunicode.c", "dtoa.c")
# engine.c includes the hooked engine, and encode.c.
OWN_SOURCES = ("abi.c", "cbor.c", "engine.c", "natives.c")
FLAGS = [
    "-target",
    "wasm32-wasi",
    "-mexec-model=reactor",
    "-O2",
    "-s",
    "-D_GNU_SOURCE",
    "-D_WASI_EMULATED_PROCESS_CLOCKS",
    "-D_WASI_EMULATED_SIGNAL",
    "-lwasi-emulated-process-clocks",
    "-lwasi-emulated-signal",
    "-Dgettimeofday=guest_gettimeofday",
    "-Dclock_gettime=guest_clock_gettime",
    "-Wl,--export=__stack_pointer",
    "-Wl,-z,stack-size=2883584",
    "-Wno-everything",
]
HERE = Path(__file__).parent
_TAMPERED = (
    f"perdure: {QUICKJS[0]} {QUICKJS[1]} from the package index has sha256 {{found}}, and "
    f"{QUICKJS_SHA256} is expected. Nothing of it was used; check the index"
)


class BuildError(RuntimeError):
    """guest.wasm could not be built; says what mends it."""


def build(target: Path) -> None:
    """Make *target* (``guest.wasm``) unless it is there already for these very inputs.

    ``PERDURE_GUEST_WASM`` names a ready-made file to use instead. Built files are kept in the
    user's cache by the digest of their inputs, behind the digest of their bytes.

    Raises:
        BuildError: the sources cannot be had, or do not compile.
    """
    given = os.environ.get("PERDURE_GUEST_WASM")
    if given:
        if not Path(given).is_file():
            raise BuildError(f"perdure: PERDURE_GUEST_WASM names {given}, and no file is there")
        _install(Path(given).read_bytes(), target)
        return
    digest = _input_digest()
    stamp = target.with_suffix(".stamp")
    if _is_built(target, stamp, digest):
        return
    wasm = _kept(digest)
    if wasm is None:
        with tempfile.TemporaryDirectory() as folder:
            wasm = _compile(Path(folder))
        _keep(digest, wasm)
    _install(wasm, target)
    stamp.write_text(_stamp(digest, wasm))


def _stamp(digest: str, wasm: bytes) -> str:
    return f"{digest} {hashlib.sha256(wasm).hexdigest()}"


def _is_built(target: Path, stamp: Path, digest: str) -> bool:
    try:
        return stamp.read_text() == _stamp(digest, target.read_bytes())
    except (OSError, UnicodeDecodeError):
        return False


def _kept_path(digest: str) -> Path:
    base = os.environ.get("PERDURE_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else Path.home() / ".cache") / "perdure"
    return folder / f"guest-{digest[:32]}.bin"


def _kept(digest: str) -> bytes | None:
    """What was built from these inputs, if it is surely that."""
    path = _kept_path(digest)
    try:
        if not (_is_private(path.parent) and _is_private(path)):
            return None
        data = path.read_bytes()
    except OSError:
        return None
    tag, wasm = data[:32], data[32:]
    return wasm if tag == hashlib.sha256(digest.encode() + wasm).digest() else None


def _keep(digest: str, wasm: bytes) -> None:
    path = _kept_path(digest)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if _is_private(path.parent):
            tag = hashlib.sha256(digest.encode() + wasm).digest()
            _install(tag + wasm, path, mode=0o600)
    except OSError:
        pass  # A cache that cannot be written costs a build for each installation, no more.


def _is_private(path: Path) -> bool:
    """Whether nobody else could have written here."""
    info = path.stat()
    return not hasattr(os, "getuid") or (info.st_uid == os.getuid() and not info.st_mode & 0o022)


def _install(data: bytes, target: Path, *, mode: int = 0o644) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as made:
        made.write(data)
    os.chmod(made.name, mode)
    os.replace(made.name, target)


def _inputs() -> list[Path]:
    names = [*OWN_SOURCES, "encode.c", "guest.h", "build.py", "bake.py", "patches.py"]
    return [HERE / name for name in names] + sorted((HERE / "prelude").glob("*.js"))


def _input_digest() -> str:
    total = hashlib.sha256(QUICKJS_SHA256.encode())
    for path in _inputs():
        total.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def _compile(folder: Path) -> bytes:
    engine = _engine_sources(folder)
    (folder / "quickjs_hooked.c").write_text(_hooked(engine / "quickjs.c"), encoding="utf-8")
    (folder / "prelude.h").write_text(_prelude_header(), encoding="utf-8")
    raw = folder / "raw.wasm"
    sources = [str(engine / s) for s in ENGINE_SOURCES] + [str(HERE / s) for s in OWN_SOURCES]
    command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, f"-I{engine}", f"-I{folder}"]
    _run([*command, f"-I{HERE}", *sources, "-o", str(raw)], "compiling the guest failed")
    # The package cannot be imported yet while it is being built: its file is run by path.
    baked: bytes = runpy.run_path(str(HERE / "bake.py"))["bake"](raw.read_bytes())
    return baked


def _hooked(source: Path) -> str:
    """The engine's source with the patches, which are in a file that is run by path, as bake.py."""
    patch = runpy.run_path(str(HERE / "patches.py"))["patch"]
    try:
        hooked: str = patch(source.read_text(encoding="utf-8"))
    except ValueError as exc:
        raise BuildError(f"perdure: {source.name} cannot be patched: {exc}") from exc
    return hooked


def _prelude_header() -> str:
    rows: list[str] = []
    for path in sorted((HERE / "prelude").glob("*.js")):
        text = path.read_bytes()
        body = "".join(f"\\{byte:03o}" for byte in text)
        rows.append(f'    {{"perdure:{path.stem[2:]}", "{body}"}},')
    head = "static const struct { const char *name, *text; } prelude_files[] = {"
    return "\n".join([head, *rows, "};", ""])


def _engine_sources(folder: Path) -> Path:
    archive = _download(folder)
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != QUICKJS_SHA256:
        raise BuildError(_TAMPERED.format(found=found))
    with tarfile.open(archive) as sources:
        sources.extractall(folder, filter="data")
    return next(folder.glob("quickjs*/upstream-quickjs"))


def _download(folder: Path) -> Path:
    """The engine's sdist. pip runs its build for its name, so pip must check the digest before."""
    name, version = QUICKJS
    wanted, archives = folder / "requirements.txt", folder / "archives"
    wanted.write_text(f"{name}=={version} --hash=sha256:{QUICKJS_SHA256}\n")
    command = "-m pip download -q --no-deps --no-binary :all: --no-build-isolation --require-hashes"
    try:
        _run(
            [sys.executable, *command.split(), "-r", str(wanted), "-d", str(archives)],
            f"cannot get the sources of {name} {version} from the package index, which building "
            "the guest needs once. Check the network (or PIP_INDEX_URL) and install again; or "
            "point PERDURE_GUEST_WASM at a guest.wasm that was built elsewhere",
        )
    except BuildError as exc:
        found = re.search(r"Got\s+([0-9a-f]{64})", str(exc))
        if found is None:
            raise
        raise BuildError(_TAMPERED.format(found=found[1])) from None
    return next(archives.glob("quickjs*.tar.gz"))


def _run(command: list[str], message: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        detail = (done.stderr or done.stdout).strip()[-3000:]
        raise BuildError(f"{detail}\n\nperdure: {message}.")  # what mends it comes last


if __name__ == "__main__":
    build(HERE / "guest.wasm")
    shutil.rmtree(HERE / "__pycache__", ignore_errors=True)
