"""The table of values.md: each Python value sent through step, workflow and step; ``nox -s docs``.

Everything between the two markers is written here, from what a workflow said it was given. A test
holds the page to it, and each value to what it was.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Literal, NamedTuple, NewType, Optional, TypedDict
from zoneinfo import ZoneInfo

import pydantic

from perdure import Worker, Workflow, open_world, start
from perdure._core.retries import RetryPolicy
from perdure._runtime.step_options import StepOptions
from perdure._runtime.steps import AnyStep, Step
from perdure._types.forms import Forms
from perdure.values import (
    ArrayBuffer,
    BigInt,
    DataView,
    Headers,
    RegExp,
    Request,
    Response,
    Stream,
    TypedArray,
    Url,
)

__all__ = ("BEGIN", "END", "ROWS", "Row", "crossed", "nested", "updated")

PAGE = Path(__file__).with_name("values.md")
BEGIN = "<!-- values: written by `nox -s docs` from docs/value_table.py -->"
END = "<!-- end of values -->"
UserId = NewType("UserId", uuid.UUID)


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Shape(enum.Enum):
    SQUARE = (1, 1)
    WIDE = (2, 1)


class Access(enum.IntFlag):
    READ = 1
    WRITE = 2


@dataclass
class Item:
    price: Decimal
    count: int = field(init=False, default=0)


class Point(NamedTuple):
    x: int
    y: int


class Options(TypedDict):
    after: timedelta


class Order(pydantic.BaseModel):
    order_id: uuid.UUID = pydantic.Field(alias="orderId")
    took: timedelta


class Numbers(pydantic.RootModel[list[int]]):
    pass


@dataclass
class Row:
    """One kind of value: how Python writes its type, the type, and a sample."""

    python: str
    annotation: Any
    value: Any


ITEM = Item(Decimal("1.50"))
ITEM.count = 3
ROWS = [
    Row("int up to 2**53 - 1", int, 2**53 - 1),
    Row("perdure.values.BigInt", BigInt, BigInt(2**60)),
    Row("float", float, 1.5),
    Row("float that is whole", float, 2.0),
    Row("bool", bool, True),
    Row("str", str, "é"),
    Row("None", None, None),
    Row("bytes", bytes, b"\x00\xff"),
    Row("datetime (aware)", datetime, datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)),
    Row("date", date, date(2026, 1, 2)),
    Row("time", time, time(10, 30)),
    Row("timedelta", timedelta, timedelta(seconds=1.5)),
    Row("UUID, NewType of it", UserId, UserId(uuid.UUID(int=1))),
    Row("Decimal", Decimal, Decimal("1.50")),
    Row("Path", Path, Path("a/b")),
    Row("IPv4Address and the like", IPv4Address, IPv4Address("127.0.0.1")),
    Row("ZoneInfo", ZoneInfo, ZoneInfo("Europe/Berlin")),
    Row("Fraction", Fraction, Fraction(1, 3)),
    Row("pydantic URL", pydantic.HttpUrl, pydantic.HttpUrl("http://a/b")),
    Row("Enum of texts", Colour, Colour.RED),
    Row("IntEnum", Size, Size.LARGE),
    Row("Flag", Access, Access.READ | Access.WRITE),
    Row("Enum of other values", Shape, Shape.WIDE),
    Row("Literal", Literal["a", 1], "a"),
    Row("list", list[int], [1, 2]),
    Row("tuple", tuple[int, str], (1, "a")),
    Row("NamedTuple", Point, Point(1, 2)),
    Row("deque", deque[int], deque([1])),
    Row("set", set[int], {1, 2}),
    Row("frozenset", frozenset[str], frozenset({"a"})),
    Row("dict with text keys", dict[str, float], {"a": 1.0}),
    Row("dict with other keys", dict[int, str], {1: "a"}),
    Row("dataclass", Item, ITEM),
    Row("TypedDict", Options, {"after": timedelta(days=1)}),
    Row("pydantic model", Order, Order(orderId=uuid.UUID(int=1), took=timedelta(seconds=1))),
    Row("pydantic root model", Numbers, Numbers([1])),
    Row("perdure.values.Url", Url, Url("http://a/b")),
    Row("perdure.values.RegExp", RegExp, RegExp("a+", "g")),
    Row("perdure.values.ArrayBuffer", ArrayBuffer, ArrayBuffer(b"a")),
    Row("perdure.values.DataView", DataView, DataView(b"a")),
    Row("perdure.values.TypedArray, an array.array", TypedArray, TypedArray(86, bytes(16))),
    Row("perdure.values.Headers", Headers, Headers({"A": "b"})),
    Row("perdure.values.Request", Request, Request("POST", "http://a/", body=b"a")),
    Row("perdure.values.Response", Response, Response("a", status=201)),
    Row("perdure.values.Stream", Stream, Stream("run_1", "out")),
]
_TELL = """
const nameOf = (v) => Object.getPrototypeOf(v).constructor.name;
const tell = (v) => v === null ? "null" : typeof v !== "object" ? typeof v : nameOf(v);
"""


def nested(row: Row) -> list[Row]:
    """The row's value by itself and within each kind of structure."""
    kind: Any = row.annotation
    value = row.value
    holder = dataclasses.make_dataclass("Holder", [("held", kind)])
    model = pydantic.create_model("Model", held=(kind, ...))
    typed: Any = TypedDict
    return [
        row,
        Row("list", list[kind], [value]),
        Row("dict", dict[str, kind], {"a": value}),
        Row("optional", Optional[kind], value),  # noqa: UP045 # None | None is no type
        Row("dataclass", holder, holder(value)),
        Row("model", model, model(held=value)),
        Row("TypedDict", typed("Keyed", {"held": kind}), {"held": value}),
    ]


def crossed(rows: list[Row]) -> list[tuple[str, Any, Any]]:
    """Each row's value sent from a step through a workflow to a step, and as an argument.

    Returns:
        For each row the name of its type in JavaScript, the value that the second step was given,
        and the value that a step was given which the workflow passed its own argument.
    """
    return asyncio.run(_crossed(rows))


async def _crossed(rows: list[Row]) -> list[tuple[str, Any, Any]]:
    taken: dict[str, Any] = {}
    steps: list[AnyStep] = []
    for number, row in enumerate(rows):
        steps += [_giving(number, row), _taking(number, row, taken)]
    names = ", ".join(step.id.partition(":")[2] for step in steps)
    calls = "\n".join(
        f'  told.push(tell(await give{n}())); await take{n}(await give{n}(), "step");'
        f' await take{n}(args[{n}], "start");'
        for n in range(len(rows))
    )
    source = (
        f'import {{ {names} }} from "python:values";\n{_TELL}\n'
        "export async function table(...args) {\n"
        f'  "use workflow";\n  const told = [];\n{calls}\n  return told;\n}}\n'
    )
    async with open_world("memory://") as world, Worker(world, steps=steps):
        flow = Workflow.from_source(source, filename="table.js")
        run = await start(flow, [row.value for row in rows])
        told: Any = await run.result(timeout=60)
    return [(kind, taken[f"{n}/step"], taken[f"{n}/start"]) for n, kind in enumerate(told)]


def _giving(number: int, row: Row) -> AnyStep:
    async def give() -> Any:
        return row.value

    return Step(give, step_id=f"values:give{number}", options=StepOptions())


def _taking(number: int, row: Row, taken: dict[str, Any]) -> AnyStep:
    async def take(value: Any, source: str) -> None:
        taken[f"{number}/{source}"] = value

    take.__annotations__ = {"value": row.annotation, "source": str, "return": None}
    return Step(
        take, step_id=f"values:take{number}", options=StepOptions(policy=RetryPolicy(max_retries=0))
    )


def updated(page: str, told: Mapping[str, str]) -> str:
    """The page with its table; *told* is each row's name -> its type in JavaScript."""
    lines = ["| Python | JavaScript | TypeScript |", "| --- | --- | --- |"]
    for row in ROWS:
        typed = Forms().of(row.annotation).replace("|", "\\|")
        lines.append(f"| {row.python} | {told[row.python]} | `{typed}` |")
    head, _, rest = page.partition(BEGIN)
    tail = rest.partition(END)[2]
    return "\n\n".join([head + BEGIN, "\n".join(lines), END + tail])


def main() -> None:
    """Write the page."""
    told = {row.python: kind for row, (kind, _, _) in zip(ROWS, crossed(ROWS), strict=True)}
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8"), told), encoding="utf-8")


if __name__ == "__main__":
    main()
