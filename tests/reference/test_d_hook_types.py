"""D10 of the reference: the schema of a hook is checked, and converts, where a payload is sent."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypedDict

import pytest
from pydantic import BaseModel, Field

from perdure import HookPayloadError, HookType, Worker, Workflow, hook_type, start
from perdure.abc import World
from perdure.errors import HookNotFoundError, UsageError
from tests.reference.test_d_hooks import received, until_live
from tests.worlds import IN_MEMORY

pytestmark = pytest.mark.anyio
BEGINS = "Hook payload did not match the defined schema:"


class Item(BaseModel):
    sku: str
    price: float


class Order(BaseModel):
    items: list[Item]
    by: Annotated[str, Field(min_length=2)] = "desk"


@dataclass
class Answer:
    approved: bool
    at: datetime


class Ticket(TypedDict):
    id: int


def even(payload: Any) -> int:
    """A function is a schema, too; what it returns is what is sent."""
    number = int(payload)
    if number % 2:
        raise ValueError("it is odd")
    return number // 2


def by_model(payload: Any) -> Order:
    return Order.model_validate(payload)


ORDER = hook_type("order", Order)
TWO_ISSUES = {"items": [{"sku": "a", "price": 1}, {"sku": 7}]}
REFUSED: list[tuple[HookType[Any], object, list[str]]] = [
    (ORDER, TWO_ISSUES, ["payload.items[1].sku", "payload.items[1].price"]),
    (ORDER, {"items": [], "by": "x"}, ["payload.by"]),
    (ORDER, 7, ["payload"]),
    (hook_type("answer", Answer), {"approved": "perhaps"}, ["payload.approved", "payload.at"]),
    (hook_type("ticket", Ticket), {"id": "x"}, ["payload.id"]),
    (hook_type("list", list[int]), [1, "x"], ["payload[1]"]),
    (hook_type("even", even), 3, ["payload"]),
    (hook_type("even", even), None, ["payload"]),
    (hook_type("model", by_model), TWO_ISSUES, ["payload.items[1].sku", "payload.items[1].price"]),
]
TAKEN: list[tuple[HookType[Any], object, object]] = [
    (ORDER, {"items": [{"sku": "a", "price": "1.5"}]}, [[{"sku": "a", "price": 1.5}], "desk"]),
    (ORDER, Order(items=[], by="ann"), [[], "ann"]),
    (
        hook_type("answer", Answer),
        {"approved": 1, "at": "2026-11-30T12:00:00Z"},
        [True, datetime(2026, 11, 30, 12, tzinfo=UTC)],
    ),
    (hook_type("ticket", Ticket), {"id": "4"}, [4]),
    (hook_type("even", even), "8", 4),
]


@pytest.mark.parametrize(("kind", "payload", "paths"), REFUSED)
async def test_each_issue_is_told_with_its_path(
    kind: HookType[Any], payload: object, paths: list[str]
) -> None:
    with pytest.raises(HookPayloadError) as failure:
        await kind.resume("t", payload)  # no world is looked for: nothing is sent
    assert [path for path, _ in failure.value.issues] == paths
    assert str(failure.value).startswith(BEGINS)
    assert all(f"{path}: {text}" in str(failure.value) for path, text in failure.value.issues)
    again = pickle.loads(pickle.dumps(failure.value))
    assert (again.name, again.issues) == (kind.name, failure.value.issues)


@IN_MEMORY
async def test_what_was_converted_is_what_arrives(world: World) -> None:
    flow = Workflow.from_source(
        'import { createHook } from "workflow";\n'
        "export async function flow(n: number) {\n"
        '  "use workflow";\n'
        '  const hook = createHook<any>({ token: "typed" }), got: unknown[] = [];\n'
        "  for (; n; n--) {\n"
        "    const value = await hook;\n"
        "    got.push(typeof value === 'object' ? Object.values(value) : value);\n"
        "  }\n"
        "  return got;\n"
        "}\n"
    )
    async with Worker(world, steps=[]):
        run = await start(flow, [len(TAKEN)], world=world)
        await until_live(world, "typed")
        for kind, payload, _ in TAKEN:
            assert (await kind.resume("typed", payload, world=world)).run_id == run.id
        assert await run.result(timeout=20) == [value for *_, value in TAKEN]
        assert await received(run) == len(TAKEN)
        with pytest.raises(HookNotFoundError):
            await ORDER.resume("typed", {"items": []}, world=world)


def test_many_issues_are_cut_in_the_text_alone() -> None:
    with pytest.raises(HookPayloadError, match=r"and 1,980 more") as failure:
        hook_type("list", list[int]).check(["x"] * 2000)
    assert len(failure.value.issues) == 2000


async def later(payload: object) -> object:
    return payload


class Unknown:
    """Nothing that pydantic can read."""


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: hook_type("n", later), "async function"),
        # Wrong on purpose, as the next, too.
        (lambda: hook_type("n", 7), "value of type int"),  # type: ignore[arg-type]
        (lambda: hook_type(7, Ticket), "name is a text"),  # type: ignore[arg-type]  # wrong on purpose
        (lambda: hook_type("n", Unknown).check(1), "cannot read its schema"),
        (lambda: hook_type("n", list["Missing"]).check(1), "cannot read its schema"),  # type: ignore[name-defined]  # noqa: F821  # likewise
    ],
)
def test_what_is_no_schema_is_refused(make: Callable[[], object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        make()


def test_an_error_of_another_kind_is_a_defect_and_leaves_as_it_is() -> None:
    def broken(payload: object) -> None:
        raise KeyError(payload)

    with pytest.raises(KeyError):
        hook_type("n", broken).check(1)


@pytest.mark.slow
def test_pydantic_is_imported_for_the_first_payload_it_checks() -> None:
    code = (
        "import sys, perdure, dataclasses\n"
        "@dataclasses.dataclass\nclass A: n: int\n"
        "kind = perdure.hook_type('a', A)\n"
        "assert perdure.hook_type('f', int.bit_length).check(7) == 3\n"
        "assert 'pydantic' not in sys.modules\n"
        "assert kind.check({'n': '1'}) == A(1)\n"
        "assert 'pydantic' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
