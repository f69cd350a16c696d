"""Big values: the event loop goes on while one is encoded, decoded or looked at."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from perdure import Worker, Workflow, start, step
from perdure._protocol import codec, decoding, dumping
from perdure._protocol.codec import decode, encode, encode_error
from perdure._runtime import payloads, steps as registry
from perdure._runtime.inspect.inspection import inspect_run
from perdure._runtime.payloads import decode_aside, encode_aside, encode_failure
from perdure.abc import World
from perdure.errors import GuestError, ProtocolError, RunFailedError, ValueNotCarriableError
from tests.heartbeat import Heartbeat
from tests.worlds import IN_MEMORY

pytestmark = [pytest.mark.anyio, IN_MEMORY]
AT = datetime(2026, 1, 1, tzinfo=UTC)
MOST_MS = 25  # of the loop's processor in one gap: 10 are meant, and other tests run beside
ROWS = 40_000


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})  # each test has a body of its own


def calling(call: str) -> Workflow:
    return Workflow.from_source(
        'import { body } from "python:steps";\n'
        f'export async function w(value?: any): Promise<any> {{ "use workflow"; {call} }}\n'
    )


def rows() -> list[dict[str, object]]:
    return [{"id": n, "name": f"row {n}"} for n in range(ROWS)]


BIG: dict[str, Callable[[], Any]] = {
    "rows": rows,
    "dates": lambda: [AT] * ROWS,
    "sets": lambda: [{n} for n in range(ROWS // 2)],
    "numbers": lambda: list(range(900_000)),
    "texts": lambda: [f"text {n}" for n in range(300_000)],
    "nested": lambda: {str(n): {"a": [n, {"b": n}]} for n in range(ROWS // 4)},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", BIG)
async def test_encoding_and_decoding_leave_the_loop_alone(kind: str) -> None:
    value, back = BIG[kind](), list[Any]()
    async with Heartbeat() as heart:
        data = await encode_aside(value, where="v")
    assert heart.busiest_ms < MOST_MS
    async with Heartbeat() as heart:
        await decode_aside(data, back.append)
    assert heart.busiest_ms < MOST_MS
    assert back == [value]


class Holding:
    """The longest time for which a thread kept the interpreter, by its own processor time."""

    def __init__(self) -> None:
        self.longest_ms = 0.0
        self.begin()

    def begin(self) -> None:
        self._began = time.thread_time()

    def give(self) -> None:
        self.longest_ms = max(self.longest_ms, (time.thread_time() - self._began) * 1000)
        self.begin()


@pytest.mark.slow
@pytest.mark.parametrize("kind", BIG)
def test_a_thread_gives_the_interpreter_away_between_pieces(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    value, holding = BIG[kind](), Holding()
    read, write = decoding._Feed.read, dumping._Pieces.write
    dump, load = dumping.dump, decoding._load

    def reading(self: Any, count: int) -> bytes:
        holding.give()
        return read(self, count)

    def writing(self: Any, piece: bytes) -> int:
        holding.give()
        return write(self, piece)

    def encoding(*arguments: Any) -> bytes:
        holding.begin()
        return dump(*arguments)

    def loading(*arguments: Any) -> Any:
        holding.begin()
        return load(*arguments)

    monkeypatch.setattr(decoding._Feed, "read", reading)
    monkeypatch.setattr(dumping._Pieces, "write", writing)
    monkeypatch.setattr(codec, "dump", encoding)
    monkeypatch.setattr(decoding, "_load", loading)
    gc.disable()  # a collection takes as long as this process has objects
    try:
        data = encode(value, where="v")
        writing_ms, holding.longest_ms = holding.longest_ms, 0.0
        assert len(decode(data)) == len(value)
    finally:
        gc.enable()
    assert 0 < writing_ms < 10
    assert 0 < holding.longest_ms < 10


@pytest.mark.slow
async def test_a_run_with_big_values_leaves_the_loop_alone(world: World) -> None:
    seen: list[int] = []

    @step(name="steps:body")
    async def body(value: list[dict[str, object]]) -> object:
        seen.append(len(value))
        return [value, value[:1]]

    value = rows()
    async with Worker(world, steps=[body]), Heartbeat() as heart:
        run = await start(calling("return await body(value)"), [value])
        back = await run.result(timeout=60)
        inspection = await inspect_run(world, run.id)
    assert seen == [ROWS]
    assert back == [value, value[:1]]
    assert len(inspection.events) == 5
    assert heart.busiest_ms < MOST_MS


@pytest.mark.slow
async def test_starting_it_again_under_its_key_leaves_the_loop_alone(world: World) -> None:
    flow = Workflow.from_source('export async function w(v: any) { "use workflow"; }')
    first = await start(flow, [rows()], world=world, idempotency_key="k")
    other = [dict(reversed(row.items())) for row in rows()]
    async with Heartbeat() as heart:
        again = await start(flow, [other], world=world, idempotency_key="k")
    assert again.id == first.id
    assert heart.busiest_ms < MOST_MS


@dataclass
class Row:
    id: int
    name: str


@pytest.mark.slow
async def test_putting_arguments_into_their_types_leaves_the_loop_alone(world: World) -> None:
    @step(name="steps:body")
    async def body(value: list[Row]) -> str:
        return type(value[-1]).__name__

    args = [rows()]
    async with Worker(world, steps=[body]), Heartbeat() as heart:
        run = await start(calling("return await body(value)"), args)
        assert await run.result(timeout=60) == "Row"
    assert heart.busiest_ms < MOST_MS


async def test_more_items_than_can_cross_fail_the_step_at_once(world: World) -> None:
    @step(name="steps:body", max_retries=5)
    async def body() -> object:
        return [None] * 2_000_000

    async with Worker(world, steps=[body]), Heartbeat() as heart:
        run = await start(calling("return await body()"))
        with pytest.raises(RunFailedError, match="1,000,000 items"):
            await run.result(timeout=30)
    assert heart.busiest_ms < MOST_MS


UNFOLDING = """
  let value: any = [];
  for (let n = 0; n < 60; n++) value = [value, value];
"""


async def test_a_thrown_value_that_unfolds_without_end_is_told_in_short(world: World) -> None:
    flow = Workflow.from_source(
        'export async function w(): Promise<any> { "use workflow";'
        f"{UNFOLDING} void Promise.reject(value); throw value; }}"
    )
    async with Worker(world, steps=[]):
        run = await start(flow)
        with pytest.raises(RunFailedError) as caught:
            await run.result(timeout=30)
    assert len(str(caught.value)) < 11_000
    assert isinstance(caught.value.error, list)
    assert all(len(line) < 11_000 for line in await run.log_lines())


def test_an_error_whose_arguments_unfold_without_end_is_told_in_short() -> None:
    value: list[object] = []
    for _ in range(60):
        value = [value, value]
    payload = encode_failure(ValueError(value))
    assert len(payload) < 20_000
    assert "ValueError" in decode(payload).name


@pytest.mark.parametrize(
    "error",
    [
        ExceptionGroup("many", [ValueError(n) for n in range(5000)]),
        GuestError(name="E", message="m", props={"list": [1] * 5000}),
        GuestError(name="E", message="m" * 9_000_000),
        ValueError("m" * 9_000_000),
    ],
    ids=["members", "details", "text", "argument"],
)
def test_a_large_error_is_cut(error: BaseException) -> None:
    shown = decode(encode_failure(error))
    assert isinstance(shown, GuestError)
    assert "(cut: " in shown.text
    assert len(shown.text) < 11_000


def test_an_error_with_large_parts_that_do_not_cross_is_whole() -> None:
    class ResponseError(Exception):
        def __init__(self) -> None:
            super().__init__([None] * 5000)
            self.response = [None] * 5000

        def __str__(self) -> str:
            return "503"

    error = ResponseError()
    error.__cause__ = KeyError("inner")
    assert encode_failure(error) == encode_error(error)


async def test_what_is_malformed_is_refused_aside_too() -> None:
    with pytest.raises(ProtocolError):
        await decode_aside(b"\xff" * 100_000, len)
    with pytest.raises(ValueNotCarriableError, match="at most"):
        await encode_aside(b"a" * 9_000_000, where="v")


def test_a_text_that_is_too_long_is_cut_before_it_is_encoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """100 MB of it kept the loop for half a second."""
    encoded = list[BaseException]()

    def encoding(error: BaseException, **_: object) -> bytes:
        encoded.append(error)
        return encode_error(error)

    class Long(Exception):
        def __str__(self) -> str:
            return "x" * (payloads.MAX_BYTES + 1)

    monkeypatch.setattr(payloads, "encode_error", encoding)
    shown = decode(encode_failure(Long()))
    assert isinstance(shown, GuestError)
    assert shown.name == "Long"
    assert [type(error) for error in encoded] == [GuestError]
    assert "(cut: it has 8,388,609 characters)" in shown.text


def test_a_text_that_cannot_be_made_is_the_callers_matter() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise KeyError("mute")

    with pytest.raises(KeyError, match="mute"):
        encode_failure(Mute())
