"""Sessions: ``nox`` alone runs the tests on the current Python."""

from __future__ import annotations

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
