"""Reading: the code blocks of a guide's page, carried out in order, as a reader would.

- A block whose first line is a comment with a file's name is written to that file.
- Each line of an ``sh`` block is a command. One that ends with ``&`` runs until the page ends,
  ``NAME=$(command)`` keeps what the command prints, ``# exit code 1`` says how it ends.
- A ``text`` block is what the commands of the block before it print; ``…`` stands for anything.

Any other block is an error. A file that neither a command nor another file names is imported, or
compiled, at the page's end.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ("Block", "Reader", "blocks")

ENDS_IN = 60  # seconds, for a command
_FILE = re.compile(r"(?:#|//) ([\w./-]+\.(?:py|ts|js|json|toml))\n(.*)", re.DOTALL)
_KEPT = re.compile(r"(\w+)=\$\((.*)\)")
_CODE = re.compile(r"\s+# exit code (\d+)$")
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

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._variables: dict[str, str] = {}
        self._files: dict[str, bool] = {}  # by name: whether a command has used it
        self._running: list[subprocess.Popen[str]] = []
        self._output = ""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = str(free.getsockname()[1])

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            process.send_signal(signal.SIGTERM)
        for process in self._running:
            process.communicate(timeout=ENDS_IN)

    def read(self, page: str) -> None:
        """Carry out every block; raises ``AssertionError`` with the line where the page is wrong."""
        for block in blocks(page):
            try:
                self._take(block)
            except (AssertionError, subprocess.SubprocessError) as exc:
                raise AssertionError(f"line {block.line}: {exc}") from exc
        unused = [name for name, used in self._files.items() if not used]
        if unused:
            self._finish(f"{sys.executable} use.py {' '.join(unused)}", use=_USE)

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

    def _finish(self, line: str, use: str | None = None) -> str:
        code = _CODE.search(line)
        if use is not None:
            (self._folder / "use.py").write_text(use, encoding="utf-8")
        done = subprocess.run(
            _CODE.sub("", line).replace("8000", self._port),
            shell=True,
            cwd=self._folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=ENDS_IN,
            check=False,
        )
        ended = done.returncode if done.returncode >= 0 else 128 - done.returncode
        assert ended == int(code[1] if code else 0), f"{line}\n{done.stdout}"
        return done.stdout

    def _begin(self, line: str) -> None:
        """Start what goes on beside the page; returns when it has said something."""
        process = subprocess.Popen(
            f"exec {line.replace('8000', self._port)}",
            shell=True,
            cwd=self._folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._running.append(process)
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any(re.search("working on|running on", text) for text in lines), f"{line} ended"

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PERDURE_")}
        path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
        return {**kept, **self._variables, "PATH": path, "COLUMNS": "100", "NO_COLOR": "1"}


def _check_output(expected: str, output: str) -> None:
    """Compare; a line of "…" stands for any number of lines, within a line for any text."""
    pattern = "".join(
        r"(?:.*\n)*" if line.strip() == "…" else re.escape(line.rstrip()).replace("…", ".*") + r"\s*\n"
        for line in expected.splitlines()
    )
    assert re.fullmatch(pattern, output), f"it prints\n{output}\nnot\n{expected}"
