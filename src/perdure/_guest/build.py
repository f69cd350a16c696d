"""Builds guest.wasm: QuickJS-NG, ada and our C and JS sources, compiled by zig, booted and baked.

Run by the package's build hook; the sources of QuickJS-NG and of ada, the URL parser, come from
sdists on the package index, whose pinned digests are checked before anything in them is read or
run. Skipped when the inputs are unchanged; a kept file is used only if nobody else could have
written it, and its digest is as it was. Stands alone: the build environment has no Perdure.
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
ADA = ("ada-url", "4.0.0")
ADA_SHA256 = "9f399ec867349800a4c2d3aa8df8c533c340494b04d34b1f082b97d9a8b76a07"
ENGINE_SOURCES = ("libregexp.c", "libunicode.c", "dtoa.c")
# engine.c includes the hooked engine, waiting.c and encode.c.
OWN_SOURCES = ("abi.c", "cbor.c", "engine.c", "heap.c", "natives.c", "random.c", "web.c")
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
URL_FLAGS = [
    *("-target", "wasm32-wasi", "-Os", "-std=c++20", "-fno-exceptions", "-fno-rtti", "-c"),
    *("-DADA_INCLUDE_URL_PATTERN=0", "-Wno-everything"),
]
HERE = Path(__file__).parent
_TAMPERED = (
    "perdure: {name} {version} from the package index has sha256 {found}, and {sha256} is "
    "expected. Nothing of it was used; check the index"
)


class BuildError(RuntimeError):
    """guest.wasm could not be built; the message says how to mend that."""


def build(target: Path) -> None:
    """Make *target* (``guest.wasm``) unless it is there already for these very inputs.

    ``PERDURE_GUEST_WASM`` names a ready-made file to use instead. Built files are kept in the
    user's cache by the digest of their inputs, behind the digest of their bytes.

    Raises:
        BuildError: the sources cannot be had, or do not compile.
    """
    ready = os.environ.get("PERDURE_GUEST_WASM")
    if ready:
        if not Path(ready).is_file():
            raise BuildError(f"perdure: PERDURE_GUEST_WASM names {ready}, and no file is there")
        _install(Path(ready).read_bytes(), target)
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
    """The guest that was built from these inputs; None if that is not sure."""
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
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        file.write(data)
    os.chmod(file.name, mode)
    os.replace(file.name, target)


def _inputs() -> list[Path]:
    included = ("encode.c", "waiting.c", "url.cpp", "guest.h")
    names = (*OWN_SOURCES, *included, "build.py", "bake.py", "patches.py")
    return [HERE / name for name in names] + sorted((HERE / "prelude").glob("*.js"))


def _input_digest() -> str:
    total = hashlib.sha256((QUICKJS_SHA256 + ADA_SHA256).encode())
    for path in _inputs():
        total.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def _compile(folder: Path) -> bytes:
    engine = _engine_sources(folder)
    url = _url_object(folder)
    (folder / "quickjs_hooked.c").write_text(_hooked(engine / "quickjs.c"), encoding="utf-8")
    (folder / "prelude.h").write_text(_prelude_header(), encoding="utf-8")
    raw = folder / "raw.wasm"
    sources = [str(engine / s) for s in ENGINE_SOURCES] + [str(HERE / s) for s in OWN_SOURCES]
    command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, f"-I{engine}", f"-I{folder}"]
    command += [f"-I{HERE}", f"-I{url.parent}", *sources, str(url), "-lc++", "-o", str(raw)]
    _run(command, "compiling the guest failed")
    # The package cannot be imported yet while it is being built: its file is run by path.
    baked: bytes = runpy.run_path(str(HERE / "bake.py"))["bake"](raw.read_bytes())
    return baked


def _url_object(folder: Path) -> Path:
    """The URL parser, compiled beside its sources."""
    sources = _sources(folder, ADA, ADA_SHA256) / "ada_url"
    target = sources / "url.o"
    command = [sys.executable, "-m", "ziglang", "c++", *URL_FLAGS, f"-I{sources}"]
    _run([*command, str(HERE / "url.cpp"), "-o", str(target)], "compiling the URL parser failed")
    return target


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
    return _sources(folder, QUICKJS, QUICKJS_SHA256) / "upstream-quickjs"


def _sources(folder: Path, package: tuple[str, str], sha256: str) -> Path:
    """The folder of an sdist of the package index, unpacked; only if it has this digest."""
    name, version = package
    archive = _download(folder / name, package, sha256)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != sha256:
        raise BuildError(_TAMPERED.format(name=name, version=version, found=digest, sha256=sha256))
    with tarfile.open(archive) as sources:
        sources.extractall(folder / name, filter="data")
    return next(path for path in (folder / name).iterdir() if path.name.endswith(version))


def _download(folder: Path, package: tuple[str, str], sha256: str) -> Path:
    """A package's sdist. pip runs its build for its name, so pip must check the digest before."""
    name, version = package
    wanted, archives = folder / "requirements.txt", folder / "archives"
    folder.mkdir(exist_ok=True)
    wanted.write_text(f"{name}=={version} --hash=sha256:{sha256}\n")
    command = "-m pip download -q --no-deps --no-binary :all: --no-build-isolation --require-hashes"
    try:
        _run(
            [sys.executable, *command.split(), "-r", str(wanted), "-d", str(archives)],
            f"cannot get the sources of {name} {version} from the package index, which building "
            "the guest needs once. Check the network (or PIP_INDEX_URL) and install again; or "
            "point PERDURE_GUEST_WASM at a guest.wasm that was built elsewhere",
        )
    except BuildError as exc:
        match = re.search(r"Got\s+([0-9a-f]{64})", str(exc))
        if match is None:
            raise
        text = _TAMPERED.format(name=name, version=version, found=match[1], sha256=sha256)
        raise BuildError(text) from None
    return next(archives.glob("*.tar.gz"))


def _run(command: list[str], message: str) -> None:
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        detail = (process.stderr or process.stdout).strip()[-3000:]
        raise BuildError(f"{detail}\n\nperdure: {message}.")  # the remedy comes last


if __name__ == "__main__":
    build(HERE / "guest.wasm")
    shutil.rmtree(HERE / "__pycache__", ignore_errors=True)
