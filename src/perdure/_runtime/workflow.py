"""Workflow: source to start runs from; compiled when first used, again when a file changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import final

from .._compiler import Bundle, compile_workflow
from ..errors import UsageError

__all__ = ("Workflow", "workflow")


@final
class Workflow:
    """A workflow's source. Make one with ``workflow(path)`` or ``Workflow.from_source``."""

    def __init__(
        self, *, root: Path | None, entry: str, export: str | None, sources: dict[str, str]
    ) -> None:
        self._root = root
        self._entry = entry
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
            self._check_there()
            self._bundle = compile_workflow(self._entry, read=self._read, export=self._export)
        return self._bundle

    def __repr__(self) -> str:
        where = self._entry if self._root is None else str(self._root / self._entry)
        return f"<Workflow {where}{'#' + self._export if self._export else ''}>"

    def _check_there(self) -> None:
        if self._root is not None and not (self._root / self._entry).is_file():
            raise UsageError(
                f"no workflow file at {self._root / self._entry}; paths are relative to the "
                f"current folder ({Path.cwd()}), or give an absolute one"
            )

    def _is_fresh(self) -> bool:
        return all(_stamp(path) == stamp for path, stamp in self._stamps.items())

    def _read(self, specifier: str) -> str | None:
        if self._root is None:
            return self._sources.get(specifier)
        path = self._root / specifier
        # A workflow's imports stay below its own folder's root, as specifiers are relative to it.
        if not path.is_file():
            return None
        stamp = _stamp(path)
        if stamp is not None:
            self._stamps[path] = stamp
        return path.read_text(encoding="utf-8")


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
