"""Builds the guests: QuickJS-NG, ada, our C and JS sources, compiled by zig, booted and baked.

There are two, which share all but two of their C files and most of their prelude: ``guest.wasm``
for workflows, ``step.wasm`` for steps in JavaScript.

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
OWN_SOURCES = ("cbor.c", "engine.c", "heap.c", "random.c", "web.c")
OF_EACH = ("abi.c", "natives.c")  # of which each guest has its own; abi.c includes step.c
WORKFLOW, STEP = "guest", "step"  # guests, by their files' names
# Of the workflow's prelude, what a step has as well.
SHARED_PRELUDE = (
    *("1_values.js", "2_workflow.js", "3_attributes.js", "3_classes.js", "3_clone.js"),
    *("3_console.js", "3_crypto.js", "3_errors.js", "3_locale.js", "3_text.js", "3_url.js"),
    *("4_abort.js", "4_fetch.js"),
)
FLAGS = [
    "-target",
    "wasm32-wasi",
    "-O2",
    "-D_GNU_SOURCE",
    "-D_WASI_EMULATED_PROCESS_CLOCKS",
    "-D_WASI_EMULATED_SIGNAL",
    "-Dgettimeofday=guest_gettimeofday",
    "-Dclock_gettime=guest_clock_gettime",
    "-Wno-everything",
]
LINK_FLAGS = [
    *("-target", "wasm32-wasi", "-mexec-model=reactor", "-s", "-Wno-everything"),
    *("-lwasi-emulated-process-clocks", "-lwasi-emulated-signal", "-lc++"),
    *("-Wl,--export=__stack_pointer", "-Wl,-z,stack-size=2883584"),
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
    """A guest could not be built; the message says how to mend that."""


def build(*targets: Path) -> None:
    """Make each of *targets* unless it is there already for these very inputs.

    Args:
        targets: ``guest.wasm`` or ``step.wasm`` in some folder.

    ``PERDURE_GUEST_WASM`` names a ready-made ``guest.wasm`` to use instead, and the ``step.wasm``
    beside it. Built files are kept in the user's cache by the digest of their inputs, behind the
    digest of their bytes.

    Raises:
        BuildError: the sources cannot be had, or do not compile.
    """
    ready = os.environ.get("PERDURE_GUEST_WASM")
    if ready:
        for target in targets:
            _install_ready(Path(ready), target)
        return
    with tempfile.TemporaryDirectory() as folder:
        for target in targets:
            _make(target, Path(folder))


def _install_ready(ready: Path, target: Path) -> None:
    path = ready if target.stem == WORKFLOW else ready.with_name(target.name)
    if not path.is_file():
        raise BuildError(f"perdure: PERDURE_GUEST_WASM names {ready}, and no file is there: {path}")
    _install(path.read_bytes(), target)


def _make(target: Path, folder: Path) -> None:
    digest = _input_digest(target.stem)
    stamp = target.with_suffix(".stamp")
    if _is_built(target, stamp, digest):
        return
    wasm = _kept(digest)
    if wasm is None:
        wasm = _compile(folder / target.stem)
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
    included = ("encode.c", "step.c", "waiting.c", "url.cpp", "guest.h")
    names = (*OWN_SOURCES, *OF_EACH, *included, "build.py", "bake.py", "patches.py")
    preludes = [*(HERE / "prelude").glob("*.js"), *(HERE / "step_prelude").glob("*.js")]
    return [HERE / name for name in names] + sorted(preludes)


def _input_digest(guest: str) -> str:
    total = hashlib.sha256((QUICKJS_SHA256 + ADA_SHA256 + guest).encode())
    for path in _inputs():
        total.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def _compile(place: Path) -> bytes:
    """Compile the guest that the last part of *place* names; shared files lie beside it."""
    shared, guest = place.parent, place.name
    objects = _shared_objects(shared)
    place.mkdir()
    (place / "prelude.h").write_text(_prelude_header(_prelude_files(guest)), encoding="utf-8")
    engine = _unpacked(shared, QUICKJS) / "upstream-quickjs"
    includes = [f"-I{folder}" for folder in (engine, place, HERE)]
    includes += ["-DPERDURE_STEP"] if guest == STEP else []
    objects += _objects(place, [HERE / name for name in OF_EACH], includes)
    raw = place / "raw.wasm"
    command = [sys.executable, "-m", "ziglang", "cc", *LINK_FLAGS, *map(str, objects)]
    _run([*command, "-o", str(raw)], "linking the guest failed")
    # The package cannot be imported yet while it is being built: its file is run by path.
    baked: bytes = runpy.run_path(str(HERE / "bake.py"))["bake"](raw.read_bytes())
    return baked


def _unpacked(folder: Path, package: tuple[str, str]) -> Path:
    name, version = package
    return next(path for path in (folder / name).iterdir() if path.name.endswith(version))


def _shared_objects(shared: Path) -> list[Path]:
    """Compile the sources that are the same in both guests, once."""
    folder = shared / "objects"
    if not folder.is_dir():
        engine, url = _engine_sources(shared), _url_object(shared)
        (shared / "quickjs_hooked.c").write_text(_hooked(engine / "quickjs.c"), encoding="utf-8")
        folder.mkdir()
        sources = [*(engine / name for name in ENGINE_SOURCES), *(HERE / s for s in OWN_SOURCES)]
        includes = [f"-I{where}" for where in (engine, shared, HERE, url.parent)]
        _objects(folder, sources, includes)
        shutil.copy(url, folder / url.name)
    return sorted(folder.glob("*.o"))


def _objects(folder: Path, sources: list[Path], includes: list[str]) -> list[Path]:
    """Compile each of *sources* into *folder*."""
    objects: list[Path] = []
    for source in sources:
        objects.append(folder / f"{source.stem}.o")
        command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, *includes, "-c", str(source)]
        _run([*command, "-o", str(objects[-1])], "compiling the guest failed")
    return objects


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


def _prelude_files(guest: str) -> list[Path]:
    """The prelude of a guest, in order."""
    files = list((HERE / "prelude").glob("*.js"))
    if guest == STEP:
        files = [path for path in files if path.name in SHARED_PRELUDE]
        files += (HERE / "step_prelude").glob("*.js")
    return sorted(files, key=lambda path: path.name)


def _prelude_header(files: list[Path]) -> str:
    rows: list[str] = []
    for path in files:
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
    return _unpacked(folder, package)


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
    build(HERE / "guest.wasm", HERE / "step.wasm")
    shutil.rmtree(HERE / "__pycache__", ignore_errors=True)
