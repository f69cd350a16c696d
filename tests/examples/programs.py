"""Programs: an example's folder as a user has it, and its programs as real processes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import final

__all__ = ("FULL", "LIMIT", "Program", "commands", "copied", "running", "world_url")

EXAMPLES = Path(__file__).parents[2] / "examples"
UNSET = ("PERDURE_WORLD", "PYTHONDONTWRITEBYTECODE")  # a user has neither
FULL = os.environ.get("PERDURE_TIER") == "full"
LIMIT = 300.0 if FULL else 60.0  # seconds, for anything a program is waited for


def copied(name: str, folder: Path) -> Path:
    """The example, copied without what earlier runs of it left."""
    left = shutil.ignore_patterns("__pycache__", ".perdure", "*.db*", "perdure.d.ts")
    return Path(shutil.copytree(EXAMPLES / name, folder / name, ignore=left))


def commands(folder: Path) -> list[str]:
    """What the example's README has its reader type, a command each."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    blocks: list[str] = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def world_url(folder: Path) -> str:
    """The world that the example's programs use by default."""
    return f"sqlite:///{folder}/.perdure/perdure.db"


@final
class Program:
    """A process, the lines that it printed, and its peak of memory."""

    def __init__(self, command: str, folder: Path) -> None:
        words = [word for word in shlex.split(command, comments=True) if word != "&"]
        if words[0] == "perdure":
            words[:1] = ["python", "-m", "perdure"]
        assert words[0] == "python", command
        self.lines: list[str] = []
        self._peak_bytes = 0
        self._ended = False
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-u", *words[1:]],
            cwd=folder,
            env={name: value for name, value in os.environ.items() if name not in UNSET},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_line(self, pattern: str) -> re.Match[str]:
        """The first line that the pattern is found in."""
        with self._news:
            assert self._news.wait_for(lambda: self._find(pattern) or self._ended, LIMIT), self.told
            match = self._find(pattern)
        assert match is not None, self.told
        return match

    def wait(self) -> int:
        """Its exit code, once it has ended by itself."""
        code = self.process.wait(LIMIT)
        self._reader.join()
        return code

    def stop(self) -> int:
        """Ask it to end, by SIGTERM; its exit code."""
        self.measure()
        self.process.terminate()
        return self.wait()

    def kill(self) -> None:
        """End it at once, by SIGKILL where there is one."""
        self.measure()
        self.process.kill()
        self.wait()

    def measure(self) -> int:
        """The most memory that it had resident, in bytes, as far as that was looked at."""
        try:
            text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        except OSError:  # it has ended, or the system has no such file
            return self._peak_bytes
        peak = re.search(r"VmHWM:\s+(\d+) kB", text)
        self._peak_bytes = max(self._peak_bytes, 1024 * int(peak[1]) if peak else 0)
        return self._peak_bytes

    @property
    def told(self) -> str:
        """All that it printed."""
        return "\n".join(self.lines)

    def _find(self, pattern: str) -> re.Match[str] | None:
        return next(filter(None, (re.search(pattern, line) for line in self.lines)), None)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.measure()
                with self._news:
                    self.lines.append(line.rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


@contextmanager
def running(command: str, folder: Path) -> Generator[Program, None, None]:
    """A program that ends with the block, if not before."""
    program = Program(command, folder)
    try:
        yield program
    finally:
        if program.process.poll() is None:
            program.process.kill()
        program.wait()
