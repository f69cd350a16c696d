"""Values of types made up by chance come back equal and of their type, or are refused by name.

``PERDURE_VALUES`` is how many; ``PERDURE_SEED`` repeats a run of the session ``values``.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings, strategies as st

from docs.value_table import Row, crossed
from perdure import Worker, Workflow, open_world, start
from perdure._protocol.annotations import converter
from perdure._protocol.codec import decode, encode
from perdure._protocol.equality import same_value
from perdure._runtime.step_options import StepOptions
from perdure._runtime.steps import Step
from perdure.errors import UsageError, ValueNotCarriableError
from tests.values.kinds import kinds, same

# Strategies of types have long names, which an error would tell.
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")
COUNT = int(os.environ.get("PERDURE_VALUES", "300"))
ROWS = 20  # in one run
SOME = settings(
    max_examples=COUNT,
    deadline=None,
    database=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.data_too_large,
    ],
)
FEW = settings(SOME, max_examples=max(10, COUNT // ROWS), phases=(Phase.explicit, Phase.generate))
SEED = int(os.environ.get("PERDURE_SEED", "0"))
PAIRS = kinds().flatmap(lambda kind: st.tuples(st.just(kind.annotation), kind.values))
verdicts = Counter[str]()


@pytest.mark.slow
@seed(SEED)
@SOME
@given(PAIRS)
def test_a_value_of_a_type_made_up_comes_back(pair: tuple[Any, Any]) -> None:
    annotation, value = pair
    try:
        convert = converter(annotation)
    except TypeError as exc:
        verdicts["refused at the step"] += 1
        assert_named(annotation, exc)
        return
    payload = encode(value, where="value")
    back = convert(decode(payload), "arguments[0]")
    verdicts["the same"] += 1
    assert same(back, value), f"{annotation}: {value!r} came back as {back!r}"


def assert_named(annotation: Any, error: TypeError) -> None:
    """Fail unless ``@step`` names the parameter."""

    async def take(value: Any) -> None: ...

    take.__annotations__ = {"value": annotation}
    with pytest.raises(UsageError, match="parameter 'value' cannot be converted") as caught:
        Step(take, step_id="values:take", options=StepOptions())
    assert str(error) in str(caught.value)


@pytest.mark.slow
@seed(SEED)
@FEW
@given(st.lists(PAIRS, min_size=ROWS, max_size=ROWS))
def test_values_go_through_step_workflow_and_step(pairs: list[tuple[Any, Any]]) -> None:
    rows = [Row(str(n), *pair) for n, pair in enumerate(pairs) if can_cross(*pair)]
    verdicts["through a worker"] += len(rows)
    for row, (_, by_step, by_start) in zip(rows, crossed(rows), strict=True):
        assert same(by_step, row.value), f"{row.annotation}: {row.value!r} became {by_step!r}"
        assert same(by_start, row.value), f"{row.annotation}: {row.value!r} became {by_start!r}"


def can_cross(annotation: Any, value: Any) -> bool:
    try:
        converter(annotation)
        encode(value, where="value")
    except (TypeError, ValueNotCarriableError):
        return False
    return True


@pytest.mark.slow
@pytest.mark.anyio
async def test_a_result_is_what_went_in() -> None:
    values: list[Any] = []

    @seed(SEED)
    @settings(FEW, phases=(Phase.generate,))
    @given(PAIRS)
    def gather(pair: tuple[Any, Any]) -> None:
        if can_cross(*pair):
            values.append(pair[1])

    gather()
    flow = Workflow.from_source(
        'export async function same(v) { "use workflow"; return v; }', filename="same.js"
    )
    async with open_world("memory://") as world, Worker(world):
        result = await (await start(flow, [values])).result(timeout=60)
    assert same_value(encode(result, where="result"), encode(values, where="values"))
    print(dict(verdicts))
