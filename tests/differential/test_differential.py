# ruff: noqa: E501  # one program a line
"""Generated programs come to the same in the guest and in Node.

``PERDURE_DIFFERENTIAL`` is the number of programs, over all areas; ``PERDURE_SEED`` repeats a run.
Differences that are accepted are not generated: docs/limits.md has them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from random import Random

import pytest

from tests.differential import fetching, formats, inputs, programs
from tests.differential.oracle import Node, answers_of_guest, open_node

AREAS = {**inputs.AREAS, **fetching.AREAS, **formats.AREAS, **programs.AREAS}
COUNT = int(os.environ.get("PERDURE_DIFFERENTIAL", "2100"))
SEED = os.environ.get("PERDURE_SEED", "0")
BATCH = 500


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with open_node() as process:
        yield process


@pytest.mark.slow
@pytest.mark.parametrize("area", AREAS)
def test_the_guest_and_node_agree(area: str, node: Node) -> None:
    random = Random(f"{SEED} {area}")
    total = -(-COUNT // len(AREAS))
    different: list[str] = []
    for start in range(0, total, BATCH):
        batch = [AREAS[area](random) for _ in range(min(BATCH, total - start))]
        answers = zip(batch, answers_of_guest(batch), node.answers(batch), strict=True)
        different += [f"{program}\n  guest: {ours}\n  node:  {theirs}" for program, ours, theirs in answers if ours != theirs]  # fmt: skip
    print(f"{area}: {total} programs, {len(different)} differ (seed {SEED})")
    assert not different, f"seed {SEED}, {len(different)} of {total}:\n" + "\n".join(different[:3])


def test_the_comparison_sees_a_difference(node: Node) -> None:
    program = "return typeof globalThis.process"
    assert (answers_of_guest([program]), node.answers([program])) == (['"undefined"'], ['"object"'])


@pytest.mark.parametrize(
    ("program", "answer"),
    [
        ("return [-0, NaN, 1n, 'a\\ud800', undefined, null]", r'Array{0: -0, 1: NaN, 2: 1n, 3: "a\ud800", 4: undefined, 5: null, length<w>: 6}'),
        ("return [1, , 2]", "Array{0: 1, 2: 2, length<w>: 3}"),
        ("const o = {}; o.o = o; return o", "Object{o: #0}"),
        ("throw new TypeError('why')", "throws TypeError/Error TypeError "),
    ],
)  # fmt: skip
def test_an_answer_tells_values_apart(program: str, answer: str, node: Node) -> None:
    assert answers_of_guest([program]) == node.answers([program]) == [answer]
