"""Without what Windows lacks: it is hidden indeed, and a slice of the suite runs all the same.

``nox -s platforms`` runs the suite's main part so.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.platforms.selection import SLICE, hidden, run_hidden

LOOK = """
import asyncio, os, signal, sys
import perdure._platform as platform

async def look():
    loop = asyncio.get_running_loop()
    heard = []
    for name, arguments in (("add_reader", (0, print)), ("add_signal_handler", (2, print))):
        try:
            getattr(loop, name)(*arguments)
            heard.append(name)
        except NotImplementedError:
            pass
    return heard

left = [name for name in ("fork", "eventfd", "fchmod", "O_NOFOLLOW") if hasattr(os, name)]
left += [name for name in ("SIGKILL", "SIGSTOP", "SIGHUP") if hasattr(signal, name)]
left += asyncio.run(look()) + [name for name in ("fcntl", "resource") if sys.modules[name]]
with open(sys.argv[1], "ab") as one, open(sys.argv[1], "ab") as two:
    locks = platform.try_lock(one.fileno()), platform.try_lock(two.fileno())
    try:
        os.unlink(sys.argv[1])
    except PermissionError:
        left.append("open files stay")
print(left, locks, "portalocker" in sys.modules, platform.thread_clock(), platform.processor_here())
"""


def test_what_windows_lacks_is_hidden(tmp_path: object) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOK, f"{tmp_path}/lock"],
        env=hidden(os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "['open files stay'] (True, False) True None None\n"


@pytest.mark.slow
def test_a_slice_of_the_suite_runs_without_it() -> None:
    done = run_hidden(SLICE, capture=True)
    assert done.returncode == 0, done.stdout[-4000:]
