"""Reading: the code blocks of a guide's page, carried out in order, as a reader would.

- A block whose first line is a comment with a file's name is written to that file.
- Each line of an ``sh`` block is a command. One that ends with ``&`` runs until the next such one,
  ``NAME=$(command)`` keeps what the command prints, ``# exit code 1`` says how it ends.
- A ``text`` block is what the commands of the block before it print; ``…`` stands for anything.

Any other block is an error. A file that neither a command nor another file names is imported, or
compiled, at the page's end.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .forking import ENDS_IN, Forks

__all__ = ("Block", "Reader", "blocks", "environment")

_FILE = re.compile(r"(?:#|//) ([\w./-]+\.(?:py|ts|js|json|toml))\n(.*)", re.DOTALL)
_KEPT = re.compile(r"(\w+)=\$\((.*)\)")
_CODE = re.compile(r"\s+# exit code (\d+)$")
_PROGRAM = re.compile(r"(perdure|python [\w./-]+\.py)\b[^|<>;&`()]*$")  # no shell is needed
_FILES = ("python", "ts", "js", "json", "toml")
_USE = """
import importlib, sys
from perdure import workflow
for name in sys.argv[1:]:
    if name.endswith(".py"):
        importlib.import_module(name.removesuffix(".py").replace("/", "."))
    else:
        workflow(name).compile()
"""


class Block(NamedTuple):
    """A code block of a page."""

    language: str
    text: str
    line: int  # of the page, where its fence stands


def blocks(page: str) -> Iterator[Block]:
    """The code blocks of a page's text, in order."""
    for match in re.finditer(r"^```(\S*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        yield Block(match[1], match[2], page.count("\n", 0, match.start()) + 1)


class Reader:
    """Someone who does what a page says, in a folder of their own."""

    def __init__(self, folder: Path, forks: Forks) -> None:
        self._folder = folder
        self._forks = forks
        self._variables: dict[str, str] = {}
        self._files: dict[str, bool] = {}  # by name: whether a command has used it
        self._beside: subprocess.Popen[str] | None = None
        self._output = ""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = str(free.getsockname()[1])

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def read(self, page: str) -> None:
        """Carry out every block; an ``AssertionError`` has the line where the page is wrong."""
        for block in blocks(page):
            try:
                self._take(block)
            except (AssertionError, subprocess.SubprocessError) as exc:
                raise AssertionError(f"line {block.line}: {exc}") from exc
        unused = [name for name, used in self._files.items() if not used]
        if unused:
            (self._folder / "use.py").write_text(_USE, encoding="utf-8")
            self._finish(f"python use.py {' '.join(unused)}")

    def _take(self, block: Block) -> None:
        if block.language == "sh":
            self._output = "".join(map(self._run, block.text.splitlines()))
        elif block.language == "text":
            _check_output(block.text, self._output)
        else:
            self._write(block)

    def _write(self, block: Block) -> None:
        match = _FILE.match(block.text)
        assert block.language in _FILES, f"nothing carries out a block of {block.language!r}"
        assert match, "the block's first line is no comment with its file's name"
        path = self._folder / match[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(match[2], encoding="utf-8")
        self._use(match[2])  # which names files before it, or itself; a file after it is run
        self._files[match[1]] = match[1].endswith(("json", "toml"))

    def _run(self, line: str) -> str:
        """Run a command; returns what it prints."""
        self._use(line)
        if line.endswith("&"):
            self._begin(line.removesuffix("&"))
            return ""
        kept = _KEPT.fullmatch(line)
        output = self._finish(kept[2] if kept else line)
        if kept:
            self._variables[kept[1]] = output.strip()
        return "" if kept else output

    def _use(self, text: str) -> None:
        """Note the files that a command or another file names."""
        for name in self._files:
            stem = re.escape(name.rsplit(".", 1)[0])
            if re.search(rf"\b{stem}\b|\bpytest\b", text):
                self._files[name] = True

    def _finish(self, line: str) -> str:
        """Run a command to its end; returns what it prints."""
        ending = _CODE.search(line)
        code, output = self._carry_out(_CODE.sub("", line).replace("8000", self._port))
        assert code == int(ending[1] if ending else 0), f"{line}\n{output}"
        return output

    def _carry_out(self, line: str) -> tuple[int, str]:
        variables = {**environment(), **self._variables}
        if _PROGRAM.match(line):
            words = shlex.split(re.sub(r"\$(\w+)", lambda name: variables[name[1]], line))
            code, output = self._forks.run(words, self._folder, variables)
        else:
            done = subprocess.run(
                line,
                shell=True,
                cwd=self._folder,
                env=variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=ENDS_IN,
                check=False,
            )
            code, output = done.returncode, done.stdout
        return code if code >= 0 else 128 - code, output

    def _begin(self, line: str) -> None:
        """Start what goes on beside the page; returns when it says that it is ready."""
        self._stop()
        self._beside = subprocess.Popen(
            f"exec {line.replace('8000', self._port)}",
            shell=True,
            cwd=self._folder,
            env={**environment(), **self._variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._beside.stdout is not None
        lines: list[str] = []
        while not re.search("working on|running on|is ready", lines[-1] if lines else ""):
            lines.append(self._beside.stdout.readline())
            assert lines[-1], f"{line} ended\n{''.join(lines)}"

    def _stop(self) -> None:
        if self._beside is not None:
            self._beside.send_signal(signal.SIGTERM)
            self._beside.communicate(timeout=ENDS_IN)
            self._beside = None


def environment() -> dict[str, str]:
    """A reader's environment: no settings of Perdure's, its programs on the path, no colours."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PERDURE_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    plugins = "-p no:asyncio -p no:faker"  # what only tests/frameworks installs
    return {**kept, "PATH": path, "COLUMNS": "100", "NO_COLOR": "1", "PYTEST_ADDOPTS": plugins}


def _check_output(expected: str, output: str) -> None:
    """Compare; a line of "…" stands for any number of lines, within a line for any text."""
    pattern = "".join(
        r"(?:.*\n)*"
        if line.strip() == "…"
        else re.escape(line.rstrip()).replace("…", ".*") + r"\s*\n"
        for line in expected.splitlines()
    )
    ended = output if output.endswith("\n") else output + "\n"
    assert re.fullmatch(pattern, ended), f"it prints\n{output}\nnot\n{expected}"
