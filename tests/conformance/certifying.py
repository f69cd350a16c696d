"""Certifying: every world of this repository by the kit, on real servers, with the time it took.

``python tests/conformance/certifying.py --tier full [WORLD ...]``; ``nox -s conformance`` does. It
fails if a promise is broken, or a tier takes longer than it may. Prints what took longest.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from perdure.testing.conformance import Check, FailIo, Tier, certify, store_at
from perdure_mongodb.testing import replica_set
from perdure_s3.testing import KEYS, running_ministack, running_seaweed

sys.path.insert(0, str(Path(__file__).parents[2] / "worlds/perdure-s3/tests"))
sys.path.insert(0, str(Path(__file__).parents[2] / "worlds/perdure-mongodb/tests"))
sys.path.insert(0, str(Path(__file__).parents[2] / "examples/files_world"))

from faulty_driver import fail_commands  # type: ignore[import-not-found]  # by the paths above
from wrapped import fail_requests  # type: ignore[import-not-found]  # likewise

OPENERS = {"files": "files_world:FilesWorld"}  # of worlds that are not installed
FAIL_IO: dict[str, FailIo] = {"mongodb": fail_commands, "s3": fail_requests}
INSTALLED = "perdure.worlds:make_world"
LIMIT_S = {Tier.SMOKE: 10.0, Tier.FULL: 300.0}
TOLD = 6  # of the checks, the longest
LONG_S = 4.0


@contextmanager
def memory(folder: Path) -> Generator[str, None, None]:
    yield "memory://"


@contextmanager
def files(folder: Path) -> Generator[str, None, None]:
    yield f"files://{folder}/{{n}}"


@contextmanager
def sqlite(folder: Path) -> Generator[str, None, None]:
    yield f"sqlite:///{folder}/{{n}}.db"


@contextmanager
def mongodb(folder: Path, driver: str) -> Generator[str, None, None]:
    with replica_set(folder) as (server,):
        yield f"{server.url('certify{n}')}&driver={driver}"


@contextmanager
def motor(folder: Path) -> Generator[str, None, None]:
    with mongodb(folder, "motor") as url:
        yield url


@contextmanager
def pymongo(folder: Path) -> Generator[str, None, None]:
    with mongodb(folder, "pymongo") as url:
        yield url


@contextmanager
def seaweed(folder: Path) -> Generator[str, None, None]:
    with running_seaweed(folder) as server:
        yield server.url().replace("?", "-{n}?")


@contextmanager
def ministack(folder: Path) -> Generator[str, None, None]:
    with running_ministack() as server:
        yield server.url().replace("?", "-{n}?")


WORLDS: dict[str, Callable[[Path], AbstractContextManager[str]]] = {
    "memory": memory,
    "files": files,
    "sqlite": sqlite,
    "mongodb, motor": motor,
    "mongodb, pymongo": pymongo,
    "s3, seaweedfs": seaweed,
    "s3, ministack": ministack,
}


def check(name: str, tier: Tier, seed: int | None, only: str) -> bool:
    """Whether this world passes, and soon enough."""
    opener = OPENERS.get(name, INSTALLED)
    with tempfile.TemporaryDirectory() as folder, WORLDS[name](Path(folder)) as url:
        began = time.perf_counter()
        report = certify(
            store_at(url, opener=opener),
            tier=tier,
            seed=seed,
            opener=opener,
            fail_io=FAIL_IO.get(name.partition(",")[0]),
            only=lambda check: only in check,
            listener=_hear,
        )
        took = time.perf_counter() - began
    longest = sorted(report.checks, key=lambda check: -check.seconds)[:TOLD]
    print(f"{name}: {tier} {took:.1f} s, seed {report.seed}; {_times(longest)}", flush=True)
    for failed in (one for one in report.checks if not one.passed):
        print(f"BROKEN {name}, {failed.name}, seed {failed.seed}:\n{failed.failure}", flush=True)
    if took > LIMIT_S[tier]:
        print(f"TOO SLOW {name}: {took:.1f} s, may take {LIMIT_S[tier]:.0f}", flush=True)
    return report.passed and took <= LIMIT_S[tier]


def _hear(one: Check) -> None:
    if one.seconds > LONG_S:
        notes = "; ".join(one.notes)
        print(f"  {one.seconds:6.1f} s  {one.name}: {notes}", flush=True)


def _times(checks: list[Check]) -> str:
    return ", ".join(f"{check.name} {check.seconds:.1f}" for check in checks)


def main() -> int:
    """Check those that are named, or all; 1 if one does not pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("worlds", nargs="*", metavar="WORLD", help=", ".join(WORLDS))
    parser.add_argument("--tier", type=Tier, choices=tuple(LIMIT_S), default=Tier.FULL)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--only", default="", help="checks whose name has this in it")
    given = parser.parse_args()
    os.environ.update(KEYS)
    logging.basicConfig(level=logging.ERROR)
    chosen = [name for name in WORLDS if not given.worlds or name in given.worlds]
    passed = [check(name, given.tier, given.seed, given.only) for name in chosen]
    return 0 if chosen and all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
