"""Killing: every broken world against the kit, and the table of what told it.

``python tests/conformance/killing.py docs/mutants.md`` writes the table; ``nox -s mutants`` does.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mutants
import mutants_attributes
import mutants_blobs
import mutants_claims
import mutants_conversations
import mutants_edges
import mutants_families
import mutants_graceful
import mutants_races
import mutants_snapshots
import mutants_stores
import mutants_streams
import mutants_transfer

from perdure.testing.conformance import Check, MakeWorld, Store, certify
from perdure.testing.memory import MemoryWorld
from perdure.worldkit.clock import Clock

__all__ = ("NAMES", "Kill", "kill", "promise_of")

LIMIT_S = 60.0
SEEDS = 4
assert mutants_attributes
assert mutants_blobs  # the mutants there are registered by being there
assert mutants_claims
assert mutants_conversations
assert mutants_edges
assert mutants_families
assert mutants_graceful
assert mutants_races
assert mutants_snapshots
assert mutants_streams
assert mutants_transfer


def _store_of(name: str) -> Store:
    @contextmanager
    def store() -> Generator[MakeWorld, None, None]:
        made: list[MemoryWorld] = []

        def make(clock: Clock) -> MemoryWorld:
            if not made:
                made.append(MemoryWorld(clock=clock))
                mutants.MUTANTS[name](made[0])
            return made[0]

        yield make

    return store


ALL: dict[str, tuple[Store, str]] = {
    **{name: (_store_of(name), mutants_stores.INSTALLED) for name in mutants.MUTANTS},
    **mutants_stores.STORES,
}
NAMES = tuple(ALL)


@dataclass(frozen=True, slots=True)
class Kill:
    """How a mutant was told."""

    name: str
    check: Check
    seed: int
    seconds: float


def kill(name: str, *, shrink: bool = True) -> Kill | None:
    """What told this mutant; None if nothing did."""
    store, opener = ALL[name]
    began = time.perf_counter()
    for seed in range(SEEDS):
        report = certify(
            store, seed=seed, until_failure=True, shrink=shrink, in_time=False, opener=opener
        )
        if not report.passed:
            seconds = time.perf_counter() - began
            return Kill(name, report.checks[-1], seed, seconds)
        if time.perf_counter() - began > LIMIT_S:
            break
    return None


def promise_of(name: str) -> str:
    """What it breaks, in a sentence."""
    if name not in mutants.MUTANTS:
        return (
            "It declares what is not so."
            if name != "fenced in one process only"
            else ("The fence is a number in one process's memory.")
        )
    return (mutants.MUTANTS[name].__doc__ or "").split("\n")[0]


def table(kills: list[Kill]) -> str:
    """The page."""
    rows = [
        f"| {k.name} | {promise_of(k.name)} | {k.check.name} | {k.check.calls or ''} "
        f"| {k.seconds:.1f} | {k.seed} |"
        for k in kills
    ]
    return "\n".join(
        [
            "# Mutants",
            "",
            "Worlds that break one promise each, and the check of the smoke tier that told it. "
            "Written by `nox -s mutants`, the run that",
            "proved it; `tests/conformance/test_mutants.py` kills every one of them again.",
            "",
            f"{len(kills)} mutants, {len(kills)} killed; the slowest took "
            f"{max(k.seconds for k in kills):.1f} s. *Calls*: of the shortest program that shows "
            "it, where a",
            "random program did.",
            "",
            "| mutant | what is broken | told by | calls | seconds | seed |",
            "| --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


def main() -> int:
    """Kill them all and write the page; 1 if one survives."""
    parser = argparse.ArgumentParser()
    parser.add_argument("page", type=Path)
    parser.add_argument("--only", default="", help="mutants whose name has this in it; no page")
    given = parser.parse_args()
    page, chosen = given.page, [name for name in NAMES if given.only in name]
    kills: list[Kill] = []
    survivors: list[str] = []
    for name in chosen:
        found = kill(name)
        if found is None or found.seconds > LIMIT_S:
            survivors.append(name)
            print(f"SURVIVED {name}", flush=True)
            continue
        kills.append(found)
        print(f"{found.seconds:6.1f} s  {name}: {found.check.name} {found.check.calls}", flush=True)
    if survivors or not kills:
        return 1
    if len(kills) < len(NAMES):
        return 0
    page.write_text(table(kills), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
