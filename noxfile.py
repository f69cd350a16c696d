"""Sessions: ``nox`` alone runs the tests on the current Python."""

from __future__ import annotations

import os
import sys
import tempfile

import nox

nox.options.sessions = ["tests"]
LAYERS = ("_model", "_core", "_protocol", "_compiler", "_types")
PURE = ",".join(f"src/perdure/{layer}/*" for layer in LAYERS)
CHECKED = ("src", "tests", "worlds", "benchmarks", "docs", "noxfile.py", "hatch_build.py")


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """The whole suite, in the environment that uv has made."""
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(venv_backend="none")
def coverage(session: nox.Session) -> None:
    """The whole suite under branch coverage, worker processes included: minutes."""
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report", "--skip-covered", "--show-missing", "--fail-under=95")
    session.run("coverage", "report", f"--include={PURE}", "--skip-covered", "--fail-under=100")


@nox.session(venv_backend="none")
def fuzz(session: nox.Session) -> None:
    """A million inputs for the guest's decoder: two minutes. A seed repeats a run."""
    seed = session.posargs[0] if session.posargs else "0"
    environment = {"PERDURE_FUZZ_INPUTS": "1000000", "PERDURE_FUZZ_SEED": seed}
    session.run("python", "-m", "pytest", "-s", "tests/fuzz", env=environment)


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """ruff: rules and formatting."""
    session.run("ruff", "check", *CHECKED)
    session.run("ruff", "format", "--check", *CHECKED)


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """mypy --strict and pyright strict on all we write; every public name has a full type."""
    # pyright looks for the interpreter on the path.
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    session.run("mypy")
    session.run("pyright", env={"PATH": path})
    session.run("pyright", "--verifytypes", "perdure", "--ignoreexternal", env={"PATH": path})


@nox.session(venv_backend="none")
def conformance(session: nox.Session) -> None:
    """Every world of this repository, the full tier: minutes."""
    with tempfile.TemporaryDirectory() as folder:
        for url in ("memory://", f"sqlite:///{folder}/{{n}}.db?synchronous=normal"):
            session.run("perdure", "certify", url, "--tier", "full")


@nox.session(venv_backend="none")
def docs(session: nox.Session) -> None:
    """Draw the diagrams of docs/design.md from the tables."""
    session.run("python", "docs/diagrams.py")


@nox.session
def bench(session: nox.Session) -> None:
    """Measurements, beside DBOS in an environment of its own."""
    session.install("-e", ".", "dbos")
    session.run("python", "benchmarks/bench_vm.py")
    session.run("python", "benchmarks/bench_runs.py", "--peer", "python", *session.posargs)
