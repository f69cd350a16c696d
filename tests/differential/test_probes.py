"""Programs written by hand come to the same in the guest and in Node, one in each line of a file.

They are of the corners: setters, labels of encodings, what cannot be cloned, queues of async
generators, disposal. A difference that is accepted is not in the file; docs/limits.md has it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.differential.oracle import answers_of_guest, open_node

PROBES = (Path(__file__).parent / "probes.txt").read_text(encoding="utf-8").splitlines()
BATCH = 100


@pytest.mark.slow
def test_the_guest_and_node_agree_on_each_probe() -> None:
    different: list[str] = []
    with open_node() as node:
        for start in range(0, len(PROBES), BATCH):
            batch = PROBES[start : start + BATCH]
            answers = zip(batch, answers_of_guest(batch), node.answers(batch), strict=True)
            different += [
                f"{program}\n  guest: {ours}\n  node:  {theirs}"
                for program, ours, theirs in answers
                if ours != theirs
            ]
    assert len(PROBES) > 350
    assert different == []
