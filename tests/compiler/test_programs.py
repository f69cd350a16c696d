"""Programs made up by a grammar: each is erased by us and by Node, and both are one tree."""

from __future__ import annotations

import os
from collections import Counter
from random import Random

import pytest

from perdure._compiler.erase import erase
from tests.compiler.oracle import open_oracle
from tests.compiler.programs import Programs

COUNT = int(os.environ.get("PERDURE_PROGRAMS", "2000"))
SEED = int(os.environ.get("PERDURE_PROGRAMS_SEED", "0"))
BY_DESIGN = "a cast that holds operators together"


@pytest.mark.slow
def test_a_program_means_what_node_says() -> None:
    sources = (Programs(Random(SEED * COUNT + number)).program() for number in range(COUNT))
    verdicts, failures = Counter[str](), list[str]()
    with open_oracle() as oracle:
        for source in sources:
            erasure = erase("a.ts", source)
            script = None if erasure.problems else erasure.script
            answer = oracle.ask("strip", source=source, ours=script)
            verdicts[answer.verdict] += 1
            if answer.verdict in {"different", "refused"}:
                first = str(erasure.problems[0]) if erasure.problems else answer.detail
                failures += [f"{first}\n{source}"] if BY_DESIGN not in first else []
    print(dict(verdicts))
    assert min(failures, key=len, default="") == ""
    assert verdicts["equal"] > COUNT * 0.9
