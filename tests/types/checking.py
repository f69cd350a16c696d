"""Check every workflow of this repository with TypeScript's own compiler; ``nox -s declarations``.

python tests/types/checking.py TSC: the declarations are those that ``perdure types`` prints. The
examples are checked with the ``tsconfig.json`` that each has.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "src/perdure/cli/demo"
OPTIONS = (
    *("--strict", "--noEmit", "--target", "es2022"),
    *("--module", "esnext", "--moduleResolution", "bundler"),
)
LIBRARIES = ("es2023", "es2023,dom")
EXAMPLES = {
    "agent_loop": "tools",
    "approval": "mails",
    "fastapi_service": "orders",
    "nightly_etl": "items",
}
SHAPES = """
import enum
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar

import pydantic

from perdure import step

T = TypeVar("T")
UserId = NewType("UserId", int)


class Size(enum.IntEnum):
    SMALL = 1
    HUGE = 2**60


class Point(NamedTuple):
    x: int
    y: int = 0


@dataclass
class Box(Generic[T]):
    item: T
    count: int = field(init=False, default=0)


class Options(TypedDict, total=False):
    after: timedelta


class Order(pydantic.BaseModel):
    id: UserId
    at: datetime
    total: Decimal = Decimal(0)
    tags: dict[Literal["a", "b"], set[int]] = {}


@dataclass
class Parcel:  # only a workflow takes and returns it
    weight: float
    size: Size = Size.SMALL


@step
async def place(order: Order, *points: Point) -> Box[Order]: ...


@step
async def size(options: Options | None = None) -> Size: ...


@step
async def same(value: T) -> T: ...
"""
NAMES = """
import enum
from collections import Counter, OrderedDict
from dataclasses import InitVar, dataclass
from datetime import datetime, timedelta
from typing import Any, Dict, Generic, List, NamedTuple, Tuple, TypedDict, TypeVar

import pydantic

from perdure import step

T = TypeVar("T")


class Record(pydantic.BaseModel):
    type: datetime
    strict: dict[str, int] = {}


class Date(pydantic.BaseModel):
    at: datetime
    link: pydantic.HttpUrl


class Promise(TypedDict):
    x: set[int]


class delete(NamedTuple):
    new: int
    var: str = "a"


class Text(enum.Enum):
    BAR = "a | b"
    MARK = 'x"y'


@dataclass
class Box(Generic[T]):
    item: T


@dataclass
class DayBox(Box[timedelta]):
    start: InitVar[int]


@step
async def default(function: Record, new: Date, *arguments: Promise) -> dict[Text | str, int]: ...


@step
async def typeof(first: delete, box: DayBox) -> DayBox: ...


@step
async def bare(a: List, b: Dict, c: Tuple, d: OrderedDict[str, int]) -> Counter[Text]: ...
"""
NAMES_FLOW = """
import { default as first, typeof as second, bare } from "python:names";

export async function flow(): Promise<number | undefined> {
  "use workflow";
  const counts: Record<string, number> = await first(
    { type: new Date() }, { at: new Date(), link: "http://a" }, { x: new Set([1]) },
  );
  const box = await second([1], { item: 1000, start: 2 });
  const item: number = box.item;
  console.log(counts.a, item);
  return (await bare([1], {}, [], { a: 1 }))["a | b"];
}
"""
FLOW = """
import { place, same, size, type Order } from "python:shapes";
import type { Parcel, ParcelInput, Size } from "python:shapes";

export async function pack(parcel: Parcel): Promise<ParcelInput> {
  "use workflow";
  const size: Size = parcel.size;
  return size === 1 ? { weight: parcel.weight } : parcel;
}

export async function flow(): Promise<Order> {
  "use workflow";
  const placed = await place({ id: 1, at: new Date() }, [1], [1, 2]);
  const count: number = placed.count;
  console.log(count, await size({ after: 1000 }), await same("text"));
  const url = new URL("http://example.com/a?b=c");
  const copy = structuredClone({ query: url.searchParams.get("b"), id: crypto.randomUUID() });
  console.log(URL.parse("x")?.href, new DOMException("m", "AbortError").name);
  console.log(copy.query, new TextDecoder().decode(new TextEncoder().encode(atob(btoa("a")))));
  return placed.item;
}
"""


def main(tsc: str) -> None:
    """Check them all; exits with 1 where one does not pass."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    projects = [
        ("shop", _block(readme, "python"), _block(readme, "ts")),
        ("shop", _text(DEMO / "shop.py"), _text(DEMO / "order.ts")),
        ("shapes", SHAPES, FLOW),
        ("names", NAMES, NAMES_FLOW),
    ]
    checks = [(project, library) for project in projects for library in LIBRARIES]
    failed = [check for check in checks if not _passes(tsc, *check[0], library=check[1])]
    refused = [name for name in EXAMPLES if not _example_passes(tsc, name)]
    if failed or refused:
        count = len(checks) + len(EXAMPLES)
        raise SystemExit(f"TypeScript refuses {len(failed) + len(refused)} of {count}")
    print(f"{len(projects)} workflows pass tsc --strict with --lib {' and '.join(LIBRARIES)}")
    print(f"{len(EXAMPLES)} examples pass tsc with their own tsconfig.json")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _block(page: str, language: str) -> str:
    block = re.search(rf"```{language}\n(.*?)```", page, re.DOTALL)
    assert block is not None
    return block[1]


def _passes(tsc: str, module: str, steps: str, flow: str, *, library: str) -> bool:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / f"{module}.py").write_text(steps, encoding="utf-8")
        (folder / "flow.ts").write_text(flow, encoding="utf-8")
        _declare(module, folder)
        command = [tsc, *OPTIONS, "--lib", library, "flow.ts", "perdure.d.ts"]
        return subprocess.run(command, cwd=folder, check=False).returncode == 0


def _example_passes(tsc: str, name: str) -> bool:
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(shutil.copytree(ROOT / "examples" / name, Path(parent, name)))
        _declare(EXAMPLES[name], folder)
        return subprocess.run([tsc], cwd=folder, check=False).returncode == 0


def _declare(module: str, folder: Path) -> None:
    """Write the declarations of a module in the folder, as its README says."""
    types = (sys.executable, "-m", "perdure", "types", module)
    done = subprocess.run(types, cwd=folder, check=True, capture_output=True, text=True)
    (folder / "perdure.d.ts").write_text(done.stdout, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
