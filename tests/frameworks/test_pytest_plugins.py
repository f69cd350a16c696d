"""Plug-ins of pytest, each in a session of its own: ``with_pytest_asyncio_strict.py`` and so on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
STRICT = ("--asyncio-mode=strict", "-o", "asyncio_default_fixture_loop_scope=function")
AUTO = ("--asyncio-mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")


@pytest.mark.parametrize(
    ("name", "options", "passed"),
    [
        ("with_pytest_asyncio_strict.py", STRICT, 3),
        ("with_pytest_asyncio_auto.py", AUTO, 2),
        ("with_anyio.py", ("-p", "no:asyncio"), 2),
    ],
)
def test_fixtures(name: str, options: tuple[str, ...], passed: int, tmp_path: Path) -> None:
    config = tmp_path / "pytest.ini"
    config.write_text(f"[pytest]\npythonpath = {ROOT}\n", encoding="utf-8")
    command = ("-m", "pytest", "-W", "error", "-c", str(config), "--noconftest", *options)
    session = subprocess.run(
        [sys.executable, *command, "--import-mode=importlib", str(HERE / name)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert session.returncode == 0, session.stdout + session.stderr
    assert f"{passed} passed" in session.stdout
