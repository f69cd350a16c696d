"""The cost of a session of few tests: it loads and collects no more than these need."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hypothesis_profile import PROFILE

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
SERVERS = {"aiobotocore", "aiohttp", "motor", "perdure_mongodb", "perdure_s3", "pymongo"}
LOADED = """
import sys, pytest
code = pytest.main(sys.argv[1:])
print("loaded:", *sorted(name for name in sys.modules if "." not in name))
raise SystemExit(code)
"""
CHOSEN = (
    "tests/core/test_urls.py",
    "tests/runtime/test_lifecycle.py",
    "worlds/perdure-s3/tests/test_due.py",
    "worlds/perdure-sqlite/tests/test_url.py",
)


def session(*arguments: str, script: tuple[str, ...] = ("-m", "pytest")) -> str:
    """The output of a session of pytest in a process of its own."""
    command = [sys.executable, *script, "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("path", ["tests/types/test_names.py", "tests/test_names.py"])
def test_a_test_without_servers_and_examples_imports_neither(path: str) -> None:
    modules = session(path, script=("-c", LOADED)).partition("loaded:")[2].split()
    assert "perdure" in modules
    assert not {"hypothesis", *SERVERS} & {*modules}


def ids(*arguments: str) -> list[str]:
    """The tests that a session would run."""
    return re.findall(r"^\S+::.+$", session("--collect-only", *arguments), re.MULTILINE)


def test_a_session_for_one_world_has_its_tests_alone() -> None:
    tests = ids("--world", "s3", *CHOSEN)
    files = {test.partition("::")[0] for test in tests}
    assert files == {"tests/runtime/test_lifecycle.py", "worlds/perdure-s3/tests/test_due.py"}
    assert not [test for test in tests if re.search(r"\[(memory|sqlite|mongodb)\b", test)]
    assert not [test for test in tests if "of_a_closed_loop_is_refused" in test]  # never on s3


def test_the_usual_session_has_each_test_on_the_worlds_it_names() -> None:
    tests = ids(*CHOSEN)
    name = "test_a_world_of_a_closed_loop_is_refused"
    on = {re.sub(r".*\[|\]", "", test) for test in tests if f"::{name}[" in test}
    assert on == {"memory", "sqlite", "mongodb"}
    assert {test.partition("::")[0] for test in tests} == set(CHOSEN)
    name = "test_a_worker_is_closed_in_its_own_loop"
    on = {re.sub(r".*\[|\]", "", test) for test in tests if f"::{name}[" in test}
    assert on == {"memory", "sqlite"}


def test_examples_may_take_their_time() -> None:
    """In every process of the suite, and for settings of a module that another imports."""
    from hypothesis import settings  # not for the sessions above

    assert settings.get_current_profile_name() == PROFILE
    assert settings().deadline is None
