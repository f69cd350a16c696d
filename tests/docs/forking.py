"""Forking: Python programs run in forks of a process that has imported what they import.

A command of ``perdure`` imports for half a second and works for a tenth. The guide has fifty.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ("Forks",)

ENDS_IN = 60  # seconds, for a program
IMPORTS = ("perdure.cli", "perdure.testing.memory", "perdure_sqlite", "pydantic")


class Forks:
    """A process that runs programs, one at a time, in forks of itself; or none, without fork."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._server: subprocess.Popen[str] | None = None
        if hasattr(os, "fork"):
            self._server = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**env},
            )

    def __enter__(self) -> Forks:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.communicate(timeout=ENDS_IN)

    def run(self, argv: Sequence[str], folder: Path, env: Mapping[str, str]) -> tuple[int, str]:
        """Run ``perdure …`` or ``python file …``; returns its exit code, and what it printed."""
        if self._server is None:
            return _run_alone(argv, folder, env)
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        request = {"argv": [*argv], "folder": str(folder), "env": {**env}}
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        code = int(self._server.stdout.readline())
        return code, Path(folder, "output").read_text(encoding="utf-8")


def _run_alone(argv: Sequence[str], folder: Path, env: Mapping[str, str]) -> tuple[int, str]:
    program = ("-m", "perdure") if argv[0] == "perdure" else ()
    done = subprocess.run(
        [sys.executable, *program, *argv[1:]],
        cwd=folder,
        env={**env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=ENDS_IN,
        check=False,
    )
    return done.returncode, done.stdout


def _serve() -> None:
    """Fork for each request; in a fork, be the program that is asked for."""
    modules = [importlib.import_module(name) for name in IMPORTS]
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _become(**json.loads(line), program=modules[0].main)
            return
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(code, flush=True)


def _become(
    argv: list[str], folder: str, env: dict[str, str], program: Callable[[], object]
) -> None:
    """Run the program; its end is that of this process."""
    signal.alarm(ENDS_IN)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for descriptor, source in ((0, os.open(os.devnull, os.O_RDONLY)), (1, output), (2, output)):
        os.dup2(source, descriptor)
    sys.argv = argv[argv[0] == "python" :]
    sys.path.insert(0, folder)
    if argv[0] == "python":
        runpy.run_path(argv[1], run_name="__main__")
    else:
        program()


if __name__ == "__main__":
    _serve()
