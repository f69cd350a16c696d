"""Elsewhere: what the type checker finds missing on Windows and macOS, file by file.

``python -m tests.platforms.elsewhere`` checks our code as it would be there: a module or call that
such a system has not is an error, unless it is asked for first. Those errors must be in the few
files that ask, and of the names that they ask for.
"""

from __future__ import annotations

import re
import subprocess
import sys

__all__ = ("main",)

SOURCES = ("src", *(f"worlds/perdure-{name}/src" for name in ("mongodb", "s3", "sqlite")))
_MISSING = re.compile(r'^(\S+?):\d+: error: Module has no attribute "(\w+)"')
_UNKNOWN = "[no-any-return]"  # of a missing name's answer
# Each stands behind a question: hasattr, a bell that was opened, a clock, can_fork.
ASKED = {
    "src/perdure/_platform.py": {
        *("flock", "LOCK_EX", "LOCK_NB", "fcntl", "EFD_CLOEXEC", "EFD_NONBLOCK"),
        *("sched_setscheduler", "sched_param"),
    },
    "src/perdure/worldkit/posting.py": {"eventfd_write", "eventfd_read"},
    "src/perdure/_vm/seat.py": {"clock_gettime"},
    "src/perdure/testing/conformance/_nursery.py": {"send_fds", "recv_fds", "fork", "SIGKILL"},
}


def missing_on(platform: str) -> list[str]:
    """The errors that nothing asks about first."""
    command = [sys.executable, "-m", "mypy", "--platform", platform, *SOURCES]
    done = subprocess.run(
        [*command, "--cache-dir", f".mypy_cache/{platform}"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    if done.returncode > 1 or not errors:  # it names at least those that are asked about
        return [done.stdout + done.stderr]
    return [line for line in errors if not _is_asked(line)]


def _is_asked(line: str) -> bool:
    match = _MISSING.match(line.replace("\\", "/"))
    if match is None:
        return line.endswith(_UNKNOWN) and line.partition(":")[0].replace("\\", "/") in ASKED
    return match[2] in ASKED.get(match[1], ())


def main() -> int:
    """Say what is missing; 1 if anything is."""
    problems = [f"{name}: {line}" for name in ("win32", "darwin") for line in missing_on(name)]
    print(
        "\n".join(problems) or "nothing is missing on win32 and darwin that is not asked for first"
    )
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
