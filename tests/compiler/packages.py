"""The TypeScript that npm packages ship, erased by us and by others: ``nox -s typescript``.

Prints for each package how many files are equal, refused by design, refused otherwise, different.
Ends with an error if one is different, or more than one in two hundred that Node takes is refused.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

from perdure._compiler.erase import erase
from perdure._compiler.parse import parse
from tests.compiler.oracle import Answer, Oracle, open_oracle, script_of
from tests.compiler.programs import NAMES, Programs

PACKAGES = (
    "@anthropic-ai/sdk@1.14.0",
    "@msgpack/msgpack@3.1.3",
    "@noble/curves@2.4.0",
    "@reduxjs/toolkit@2.15.0",
    "@tanstack/query-core@5.108.4",
    "@tanstack/router-core@1.171.39",
    "@trpc/client@11.25.2",
    "@trpc/server@11.25.2",
    "abitype@1.3.0",
    "effect@4.1.0",
    "ethers@6.17.0",
    "immer@11.2.13",
    "mobx@7.1.3",
    "openai@6.49.0",
    "ox@1.8.3",
    "redux@5.0.1",
    "rxdb@17.6.0",
    "rxjs@7.8.2",
    "viem@2.57.20",
    "zod@4.6.7",
)
TYPESCRIPT = "typescript@5.9.3"
PROGRAMS = 5000
BY_DESIGN = ("a namespace", "a decorator", "a cast that holds", "import =", "export =")


def main(folder: Path) -> int:
    compiler = fetch(folder, TYPESCRIPT) / "package/lib/typescript.js"
    total = Counter[str]()
    with open_oracle(compiler) as oracle:
        for package in PACKAGES:
            counts = Counter[str]()
            for path in sources(fetch(folder, package)):
                counts[judge(oracle, path)] += 1
            total += counts
            print(f"{package}: {told(counts)}", flush=True)
        counts = Counter(program_verdict(oracle, number) for number in range(PROGRAMS))
        print(f"programs with imports: {told(counts)}")
        total += counts
    print(f"all: {told(total)}")
    valid = total.total() - total["refused by design"]
    return 1 if total["different"] or total["refused"] * 200 > valid else 0


def program_verdict(oracle: Oracle, number: int) -> str:
    """What TypeScript says of a made-up program whose names are imported."""
    source = f"import {{ {', '.join(NAMES)} }} from 'm'\n{Programs(Random(number)).program()}"
    script = script_of(source)
    if script is None or oracle.ask("strip", source=source, ours=script).verdict == "unsupported":
        return "refused by design"
    answer = oracle.ask("emit", source=source, ours=script)
    if answer.verdict == "different":
        print(f"  program {number}: {answer.detail}")
    return answer.verdict


def fetch(folder: Path, package: str) -> Path:
    """A package's files, downloaded once."""
    target = folder / package.replace("/", "-")
    if not target.exists():
        command = ["npm", "pack", "--silent", "--pack-destination", str(folder), package]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        archive = folder / answer.stdout.strip().splitlines()[-1]
        with tarfile.open(archive) as packed:
            packed.extractall(target, filter="data")
        archive.unlink()
    return target


def sources(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*.*ts")):
        if path.suffix in {".ts", ".mts"} and ".d." not in path.name and path.is_file():
            yield path


def judge(oracle: Oracle, path: Path) -> str:
    text = path.read_bytes().decode("utf-8")
    erasure = erase(path.name, text)
    if erasure.problems:
        message = erasure.problems[0].message
        if message.startswith(BY_DESIGN):
            return "refused by design"
        print(f"  {path}: {erasure.problems[0]}")
        return "refused"
    broken = parse(path.name, erasure.script, text=text, mask=erasure.mask)[1]
    if broken:
        print(f"  {path}: {broken[0]}")
        return "refused"
    answers = [oracle.ask("strip", source=text, ours=erasure.script)]
    answers.append(oracle.ask("emit", source=text, ours=erasure.script))
    return verdict(path, answers)


def verdict(path: Path, answers: list[Answer]) -> str:
    """Different if one says so; equal if one does, and the other cannot judge or says the same."""
    for answer in answers:
        if answer.verdict == "different":
            print(f"  {path}: {answer.detail}")
    verdicts = {answer.verdict for answer in answers}
    return next(v for v in ("different", "equal", "unread", "unsupported") if v in verdicts)


def told(counts: Counter[str]) -> str:
    kinds = ("equal", "refused by design", "refused", "different")
    others = sorted(counts.keys() - set(kinds))
    return ", ".join(f"{counts[kind]} {kind}" for kind in (*kinds, *others))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
