"""The corpus: sources that once were read wrong, each with what others make of it.

A file is a list of cases: a title, a source, and the JavaScript that Node's stripper (``strip``) or
TypeScript itself (``emit``) writes. ``python -m tests.compiler.corpus typescript.js`` asks them
again for the cases that have no answer yet.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path

FOLDER = Path(__file__).parent / "corpus"
_CASE = re.compile(r"^=== (.*)\n([\s\S]*?)^--- (strip|emit)\n([\s\S]*?)(?=^=== |\Z)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Case:
    """A source, and what it becomes."""

    title: str
    source: str
    oracle: str
    expected: str

    def __str__(self) -> str:
        return f"=== {self.title}\n{self.source}--- {self.oracle}\n{self.expected}"


def read_cases(path: Path) -> list[Case]:
    """The cases of a file."""
    cases = [Case(*match.groups()) for match in _CASE.finditer(path.read_text(encoding="utf-8"))]
    assert "".join(map(str, cases)) == path.read_text(encoding="utf-8")
    return cases


def all_cases() -> list[Case]:
    """The cases of all files."""
    return [case for path in sorted(FOLDER.glob("*.txt")) for case in read_cases(path)]


def store(typescript: Path) -> None:
    """Write the answers that are missing."""
    from tests.compiler.oracle import open_oracle

    with open_oracle(typescript) as oracle:
        for path in sorted(FOLDER.glob("*.txt")):
            cases = read_cases(path)
            for index, case in enumerate(cases):
                if not case.expected.strip():
                    answer = oracle.ask("text", source=case.source, how=case.oracle)
                    if answer.verdict == "unsupported":
                        print(f"{path.name}: {case.title}: {answer.detail}")
                        continue
                    lines = (line.rstrip() for line in answer.detail.split("\n"))
                    cases[index] = replace(case, expected="\n".join(lines).rstrip("\n") + "\n")
            path.write_text("".join(map(str, cases)), encoding="utf-8")


if __name__ == "__main__":
    store(Path(sys.argv[1]))
