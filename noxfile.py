"""Sessions: ``nox`` alone runs the tests on the current Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import nox
import nox.command
import nox.project

nox.options.sessions = ["tests"]


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """The whole suite, in the environment that uv has made."""
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(venv_backend="none")
def matrix(session: nox.Session) -> None:
    """The suite on each Python that pyproject.toml names; those that are missing are told."""
    failed: list[str] = []
    project = nox.project.load_toml("pyproject.toml")
    for version in nox.project.python_versions(project):
        python = _interpreter(version)
        if python is None:
            session.warn(f"Python {version} is not installed here: not tested")
            continue
        folder = Path(".nox", f"matrix-{version}").absolute()
        env = {"UV_PROJECT_ENVIRONMENT": str(folder), "UV_PYTHON": python}
        sync = ("uv", "sync", "--all-packages", "--all-extras", "--all-groups", "--quiet")
        session.run(*sync, env=env, external=True)
        pytest = (str(folder / "bin" / "python"), "-m", "pytest", *session.posargs)
        try:
            session.run(*pytest, external=True)
        except nox.command.CommandFailed:  # the other Pythons are of interest all the same
            failed.append(version)
    if failed:
        session.error(f"failed on Python {', '.join(failed)}")


def _interpreter(version: str) -> str | None:
    """A Python of this version that works: a shim on the path may lead nowhere."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which(f"python{version}"), *map(str, pyenv.glob(f"{version}.*/bin/python"))]
    for python in filter(None, found):
        command = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.stdout.strip() == version:
            return python
    return None


@nox.session
def wheel(session: nox.Session) -> None:
    """Build everything; the wheels run the demo in an empty environment without a compiler."""
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder, "dist")
        session.run("uv", "build", "--all-packages", "--out-dir", str(built), external=True)
        session.install(*map(str, built.glob("*.whl")))
        binaries = str(Path(session.bin))
        with session.chdir(folder):
            session.run("perdure", "demo", env={"PATH": binaries, "CC": "false"})
            session.run("python", "-m", "perdure", "runs", "--json", env={"PATH": binaries})


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """ruff: rules and formatting."""
    session.run("ruff", "check", "src", "tests", "worlds", "benchmarks", "docs")
    session.run("ruff", "format", "--check", "src", "tests", "worlds", "benchmarks", "docs")


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """mypy --strict and pyright strict."""
    session.run("mypy")
    session.run("pyright")


@nox.session(venv_backend="none")
def conformance(session: nox.Session) -> None:
    """Every world of this repository, the full tier: minutes."""
    with tempfile.TemporaryDirectory() as folder:
        for url in ("memory://", f"sqlite:///{folder}/{{n}}.db?synchronous=normal"):
            session.run("perdure", "certify", url, "--tier", "full")


@nox.session
def bench(session: nox.Session) -> None:
    """Measurements, beside DBOS in an environment of its own."""
    session.install("-e", ".", "dbos")
    session.run("python", "benchmarks/bench_vm.py")
    session.run("python", "benchmarks/bench_runs.py", "--peer", "python", *session.posargs)
