"""A world opened in a process that may do less, or that has file systems of its own.

Run as a script it opens the world of its first argument, writes to it, and prints what came of it:
``--nobody`` gives up being root before that, ``--fill`` fills the disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import anyio
import pytest
from sqlite_values import new_run

from perdure.errors import PerdureError
from perdure.model import RunId
from perdure_sqlite import SqliteWorld

__all__ = ("mounted", "opened_by_nobody")

NOBODY = 65534


def opened_by_nobody(url: str) -> dict[str, object]:
    """What came of it for a user who owns nothing here."""
    return _told([sys.executable, __file__, url, "--nobody"])


def mounted(shell: str, url: str, *options: str) -> dict[str, object]:
    """What came of it after a shell script, in which file systems can be mounted."""
    inside = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*inside, "true"], check=False).returncode:
        pytest.skip("this system lets nobody mount anything")
    script = [sys.executable, __file__, url, *options]
    return _told([*inside, "sh", "-ec", f'{shell}\nexec "$@"', "sh", *script])


def _told(command: list[str]) -> dict[str, object]:
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


async def _tried(url: str, options: list[str]) -> dict[str, object]:
    if "--nobody" in options:
        with tempfile.TemporaryDirectory() as folder:  # whatever is imported late, is now
            async with SqliteWorld(f"sqlite:///{folder}/p.db") as world:
                await world.storage.create_run(new_run("a"))
        if os.getuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
    try:
        async with SqliteWorld(url) as world:
            if "--fill" in options:
                return await _filled(world, Path(url.removeprefix("sqlite:///")).parent)
            await world.storage.create_run(new_run("a"))
    except BaseException as error:
        return _shown(error)
    return {"error": None}


async def _filled(world: SqliteWorld, folder: Path) -> dict[str, object]:
    """Fill the disk, be refused, make room, and go on."""
    run_id = RunId("a")
    await world.storage.create_run(new_run(run_id))
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(1 << 20))
    fd = os.open(folder / "rest", os.O_CREAT | os.O_WRONLY)
    with contextlib.suppress(OSError):
        while True:
            os.write(fd, bytes(4096))
    os.close(fd)
    try:
        await world.streams.append(run_id, "s", [bytes(1 << 20)], writer="w", sequence=1)
    except PerdureError as error:
        told = _shown(error)
    else:
        return {"error": None}
    ballast.unlink()
    (folder / "rest").unlink()
    await world.streams.append(run_id, "s", [b"x"], writer="w", sequence=2)
    info = await world.streams.info(run_id, "s")
    return {**told, "length": info.length}


def _shown(error: BaseException) -> dict[str, object]:
    retryable = getattr(error, "retryable", None)
    return {"error": type(error).__name__, "message": str(error), "retryable": retryable}


if __name__ == "__main__":
    print(json.dumps(anyio.run(_tried, sys.argv[1], sys.argv[2:])))
