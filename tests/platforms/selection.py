"""Selection: what is run with hidden parts of this system, and how.

``python -m tests.platforms.selection [PATHS]`` runs it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ("SLICE", "hidden", "run_hidden")

ROOT = Path(__file__).parents[2]
SQLITE = "worlds/perdure-sqlite/tests"
# The main part of the suite: what needs no other server, on memory, SQLite and files.
MAIN = (
    *("tests/core", "tests/model", "tests/protocol", "tests/compiler", "tests/types"),
    *("tests/guest", "tests/vm", "tests/runtime", "tests/acceptance", "tests/testing"),
    *("tests/conformance", "tests/transfer", "tests/cli", "tests/hostile", "tests/docs"),
    *("tests/test_files.py", "tests/test_names.py", "tests/test_platform.py"),
    *("tests/test_posting.py", SQLITE, "examples"),
)
# A test of each thing that is hidden, in seconds.
SLICE = (
    f"{SQLITE}/test_owners.py",
    f"{SQLITE}/test_world.py::test_a_dead_process_loses_its_claims_within_a_second_or_so",
    "tests/cli/test_signals.py",
    "tests/cli/test_commands.py::test_a_worker_carries_on_what_was_started_and_drains_on_sigterm",
    "tests/test_files.py",
    "tests/test_posting.py",
)


def hidden(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment in which every Python process hides what Windows has not."""
    paths = [str(ROOT / "tests" / "platforms" / "hiding"), environment.get("PYTHONPATH", "")]
    return {
        **environment,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONWARNDEFAULTENCODING": "1",  # a text file of no named encoding is another on Windows
    }


def run_hidden(paths: Sequence[str], *, capture: bool = False) -> subprocess.CompletedProcess[str]:
    """Run these tests so, without those of servers; our code has to name each encoding."""
    # The guest's builder, which stands alone, writes nothing but ASCII.
    ours = "error::EncodingWarning:perdure(?!._guest.build)"
    filters = ("error", "ignore::EncodingWarning", ours)
    options = ("-o", "filterwarnings=" + "\n".join(filters), "-k", "not mongodb and not s3")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, *paths],
        cwd=ROOT,
        env=hidden(os.environ),
        capture_output=capture,
        encoding="utf-8",
        check=False,
    )


if __name__ == "__main__":
    sys.exit(run_hidden(sys.argv[1:] or MAIN).returncode)
