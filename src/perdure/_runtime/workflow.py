"""Workflow: source to start runs from; compiled when first used, again when a file changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import final

from .._compiler import ANY, Bundle, Diagnostic, Refusal, compile_workflow
from ..errors import CompileError, UsageError
from .arguments import checked_path, checked_text
from .python_modules import python_module
from .sources import Sources, file_of, find_root, raised

__all__ = ("Workflow", "workflow")

_SEARCHED = 1000  # folders, for a file that is not where it was said to be
_SKIPPED = ("node_modules", "__pycache__", "venv")


@final
class Workflow:
    """A workflow's source. Make one with ``workflow(path)`` or ``Workflow.from_source``.

    Args:
        file: the file, absolute; None if its text is in *sources*.
        root: the folder that all its sources lie in; None finds it when it is compiled.
        entry: the name of the module that the workflow is in.
        export: which exported workflow; None if there is one.
        sources: texts by module, where there is no file.
    """

    def __init__(
        self,
        *,
        file: Path | None,
        root: Path | None = None,
        entry: str,
        export: str | None,
        sources: dict[str, str],
    ) -> None:
        self._file = file
        self._root = root  # what may be read lies below; None finds it
        self._name = entry
        self._export = export
        self._sources = sources
        self._folder = file.parent if file is not None else None  # specifiers are relative to it
        self._entry = entry
        self._bundle: Bundle | None = None
        self._files: Sources | None = None

    @classmethod
    def from_source(
        cls, text: str, *, filename: str = "workflow.ts", name: str | None = None
    ) -> Workflow:
        """A workflow from source text.

        Args:
            text: TypeScript or JavaScript; it imports no file.
            filename: for stack traces; its ending chooses TypeScript or JavaScript.
            name: the exported function, where there is more than one.

        Raises:
            UsageError: one of them is no text.
        """
        checked_text("filename", filename)
        checked_text("text", text)
        if name is not None:
            checked_text("name", name)
        return cls(file=None, entry=filename, export=name, sources={filename: text})

    @property
    def compiled(self) -> Bundle | None:
        """The bundle; None if it was not compiled yet, or its files have changed since."""
        return self._bundle if self._is_fresh() else None

    def compile(self) -> Bundle:
        """The bundle; compiled at most once for unchanged files.

        Steps are looked up in the Python modules that are imported in this process; none is
        imported for that.

        Raises:
            CompileError: the source has errors, or asks an imported Python module for a step that
                it has not; each names file, line and column.
            UsageError: the file is not there.
        """
        if self._bundle is None or not self._is_fresh():
            file, self._entry = self._file, self._name
            if file is not None:
                _check_there(file)
                self._folder = file.parent
                self._files = Sources(self._root or find_root(file.parent))
            self._bundle = None
            self._bundle = self._compile()
        return self._bundle

    def survey(self) -> Bundle:
        """The bundle of the chosen workflow, else of the first: what else the file holds is told.

        Raises:
            CompileError: as for ``compile``, but not for a file with many workflows, or with none
                and with steps.
            UsageError: the file is not there.
        """
        if self._export is not None:
            return self.compile()
        return Workflow(
            file=self._file, root=self._root, entry=self._name, export=ANY, sources=self._sources
        ).compile()

    def _compile(self) -> Bundle:
        while True:
            try:
                return compile_workflow(
                    self._entry, read=self._read, export=self._export, look=python_module
                )
            except CompileError as exc:
                if not self._widen(exc):
                    raise self._explained(exc) from None

    def _widen(self, error: CompileError) -> bool:
        """Make specifiers relative to a higher folder of the root, for ``../lib/money``."""
        folder, sources = self._folder, self._files
        if folder is None or sources is None:
            return False
        most = len(folder.parts) - len(sources.root.parts)
        levels = max((up for up in _levels_up(error) if up <= most), default=0)
        if not levels:
            return False
        self._folder, self._entry = raised(folder, self._entry, levels)
        return True

    def _explained(self, error: CompileError) -> CompileError:
        """The error, with the root's name where something leads out of it."""
        if self._files is None or not any(_levels_up(error)):
            return error
        hint = self._files.outside().hint
        return CompileError(
            [
                replace(d, hint=hint) if isinstance(d, Diagnostic) and d.levels_up else d
                for d in error.diagnostics
            ]
        )

    def __repr__(self) -> str:
        where = self._name if self._file is None else str(self._file)
        return f"<Workflow {where}{'#' + self._export if self._export else ''}>"

    def _is_fresh(self) -> bool:
        return self._files is None or self._files.are_fresh

    def _read(self, specifier: str) -> str | Refusal | None:
        if self._folder is None or self._files is None:
            return self._sources.get(specifier)
        file = file_of(self._folder, specifier)
        return None if file is None else self._files.read(file)


def _check_there(file: Path) -> None:
    if not os.path.lexists(file):
        near = _nearby(file)
        raise UsageError(
            f"no workflow file at {file}; paths are relative to the "
            f"current folder ({Path.cwd()}), or give an absolute one"
            + (f". Did you mean {near}?" if near else "")
        )


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


def _levels_up(error: CompileError) -> list[int]:
    """How far above the compiled folder each import leads that was not found."""
    return [d.levels_up for d in error.diagnostics if isinstance(d, Diagnostic)]


def workflow(
    where: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None
) -> Workflow:
    """The workflow in a file, which is read when the workflow is first started or compiled.

    Args:
        where: ``"path/file.ts"``, or ``"path/file.ts#export"`` to choose one of several.
        root: the folder that all its sources lie in; nothing outside is read, also by a link.
            None is the nearest folder upwards with a ``package.json``, ``tsconfig.json``,
            ``pyproject.toml`` or ``.git``, else the file's own.

    Raises:
        UsageError: there is no path, or the file is not below *root*.
    """
    path, _, export = checked_path("workflow()'s path", where).partition("#")
    if not path:
        raise UsageError("workflow() needs a path, for example workflow('flows/checkout.ts')")
    file, folder = Path(os.path.abspath(path)), None
    if root is not None:
        folder = Path(os.path.abspath(checked_path("root", root)))
        if not file.is_relative_to(folder):
            raise UsageError(f"{file} is not below its root {folder}")
    return Workflow(file=file, root=folder, entry=file.name, export=export or None, sources={})
