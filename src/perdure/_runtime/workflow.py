"""Workflow: source to start runs from; compiled when first used, again when a file changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import final

from .._compiler import Bundle, Diagnostic, compile_workflow
from ..errors import CompileError, UsageError

__all__ = ("Workflow", "workflow")

_SEARCHED = 1000  # folders, for a file that is not where it was said to be
_SKIPPED = ("node_modules", "__pycache__", "venv")


@final
class Workflow:
    """A workflow's source. Make one with ``workflow(path)`` or ``Workflow.from_source``."""

    def __init__(
        self, *, root: Path | None, entry: str, export: str | None, sources: dict[str, str]
    ) -> None:
        self._named = root, entry
        self._root, self._entry = root, entry
        self._export = export
        self._sources = sources
        self._bundle: Bundle | None = None
        self._stamps: dict[Path, tuple[int, int]] = {}

    @classmethod
    def from_source(
        cls, text: str, *, filename: str = "workflow.ts", name: str | None = None
    ) -> Workflow:
        """A workflow from source text.

        Args:
            filename: for stack traces; its ending chooses TypeScript or JavaScript.
            name: the exported function, where there is more than one.
        """
        return cls(root=None, entry=filename, export=name, sources={filename: text})

    @property
    def compiled(self) -> Bundle | None:
        """The bundle, if it was compiled and its files have not changed since."""
        return self._bundle if self._is_fresh() else None

    def compile(self) -> Bundle:
        """The bundle; compiled at most once for unchanged files.

        Raises:
            CompileError: the source has errors; each names file, line and column.
            UsageError: the file is not there.
        """
        if self._bundle is None or not self._is_fresh():
            self._stamps = {}
            self._root, self._entry = self._named
            self._check_there()
            self._bundle = self._compile()
        return self._bundle

    def _compile(self) -> Bundle:
        while True:
            try:
                return compile_workflow(self._entry, read=self._read, export=self._export)
            except CompileError as exc:
                if not self._widen(_levels_up(exc)):
                    raise

    def _widen(self, levels: int) -> bool:
        """Make the root so many folders wider, for imports such as ``../lib/money``."""
        root = self._root
        if root is None or not levels or len(root.parts) <= levels:
            return False
        self._entry = "/".join((*root.parts[-levels:], self._entry))
        self._root = root.parents[levels - 1]
        return True

    def __repr__(self) -> str:
        where = self._entry if self._root is None else str(self._root / self._entry)
        return f"<Workflow {where}{'#' + self._export if self._export else ''}>"

    def _check_there(self) -> None:
        if self._root is not None and not (self._root / self._entry).is_file():
            near = _nearby(self._root / self._entry)
            raise UsageError(
                f"no workflow file at {self._root / self._entry}; paths are relative to the "
                f"current folder ({Path.cwd()}), or give an absolute one"
                + (f". Did you mean {near}?" if near else "")
            )

    def _is_fresh(self) -> bool:
        return all(_stamp(path) == stamp for path, stamp in self._stamps.items())

    def _read(self, specifier: str) -> str | None:
        if self._root is None:
            return self._sources.get(specifier)
        path = self._root / specifier
        if not path.is_file():
            return None
        stamp = _stamp(path)
        if stamp is not None:
            self._stamps[path] = stamp
        return path.read_text(encoding="utf-8")


def _nearby(missing: Path) -> str | None:
    """A file of that name below the current folder, else one of a like name beside it."""
    for folder in _folders(Path.cwd()):
        if (folder / missing.name).is_file():
            return str((folder / missing.name).relative_to(Path.cwd()))
    from difflib import get_close_matches  # for errors alone

    beside = sorted(path.name for path in missing.parent.glob("*.[tj]s*"))
    close = get_close_matches(missing.name, beside, n=1)
    return os.path.relpath(missing.parent / close[0]) if close else None


def _folders(top: Path) -> Iterator[Path]:
    for count, (folder, below, _) in enumerate(os.walk(top), start=1):
        below[:] = [name for name in below if name[0] != "." and name not in _SKIPPED]
        yield Path(folder)
        if count == _SEARCHED:
            return


def _levels_up(error: CompileError) -> int:
    """How far above the root the imports lead that were not found."""
    return max((d.levels_up for d in error.diagnostics if isinstance(d, Diagnostic)), default=0)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def workflow(where: str | os.PathLike[str]) -> Workflow:
    """The workflow in a file: ``"path/file.ts"``, or ``"path/file.ts#export"`` to choose one.

    The file is read when the workflow is first started or compiled.
    """
    path, _, export = os.fspath(where).partition("#")
    if not path:
        raise UsageError("workflow() needs a path, for example workflow('flows/checkout.ts')")
    full = Path(path).absolute()
    return Workflow(root=full.parent, entry=full.name, export=export or None, sources={})
