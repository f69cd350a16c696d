"""Sessions: ``nox`` alone runs the tests on the current Python."""

from __future__ import annotations

import tempfile

import nox

nox.options.sessions = ["tests"]


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """The whole suite, in the environment that uv has made."""
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """ruff: rules and formatting."""
    session.run("ruff", "check", "src", "tests", "worlds", "benchmarks")
    session.run("ruff", "format", "--check", "src", "tests", "worlds", "benchmarks")


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


@nox.session(venv_backend="none")
def mongodb_full(session: nox.Session) -> None:
    """The MongoDB world with both drivers: the full tier, and more kills. Minutes."""
    long = {"PERDURE_TIER": "full", "PERDURE_KILLS": "25"}
    session.run("python", "-m", "pytest", "worlds/perdure-mongodb/tests", env=long)


@nox.session(venv_backend="none")
def mongodb_failover(session: nox.Session) -> None:
    """Three mongod of which the primary is killed, with both drivers; prints the pause."""
    session.run("python", "-m", "pytest", "-s", "worlds/perdure-mongodb/tests/failover.py")


@nox.session
def bench(session: nox.Session) -> None:
    """Measurements, beside DBOS in an environment of its own."""
    session.install("-e", ".", "dbos")
    session.run("python", "benchmarks/bench_vm.py")
    session.run("python", "benchmarks/bench_runs.py", "--peer", "python", *session.posargs)
