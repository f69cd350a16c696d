"""Engine: the guest that the heaps of the corpus belong to.

It is built code and not kept with them: the corpus names it, and the sources it is built from.
``python -m tests.corpus.engine FILE`` builds it out of this repository's history.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from perdure._vm.guest import default_engine
from tests.corpus.packing import read

__all__ = ("BUILT", "build", "find_engine", "sources_of_tree")

BUILT = "PERDURE_CORPUS_ENGINE"  # names the file, where this tree has another engine
ROOT = Path(__file__).parents[2]
GUEST = "src/perdure/_guest"
BUILDING = """
import importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("guest_build", sys.argv[1] + "/build.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.build(*(pathlib.Path(name) for name in sys.argv[2:]))
"""


def find_engine() -> bytes | None:
    """The engine of the corpus, if it is this tree's, or was built; else None."""
    digest, wasm = read()["engine"], default_engine().wasm
    if hashlib.sha256(wasm).hexdigest() != digest:
        built = os.environ.get(BUILT)
        if built is None:
            return None
        wasm = Path(built).read_bytes()
        assert hashlib.sha256(wasm).hexdigest() == digest, f"{BUILT} is another engine"
    return wasm


def sources_of_tree() -> str:
    """The git tree that this tree's engine is built from; all of it is committed."""
    assert not _git("status", "--porcelain", "--", GUEST), "commit the guest's sources first"
    return _git("rev-parse", f"HEAD:{GUEST}").decode().strip()


def build(target: Path) -> None:
    """Write the engine of the corpus, built from its sources."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    tools = [part for one in project["build-system"]["requires"] for part in ("--with", one)]
    with tempfile.TemporaryDirectory() as folder:
        archive = _git("archive", read()["sources"])
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        targets = [str(target), str(target.with_suffix(".step.wasm"))]
        python = ["uv", "run", "--no-project", *tools, "python", "-c", BUILDING]
        subprocess.run([*python, folder, *targets], check=True)


def _git(*arguments: str) -> bytes:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


if __name__ == "__main__":
    build(Path(sys.argv[1]))
