"""What a run's stream says once rewinds are heeded: each step's two chunks, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from typing import cast

from perdure import Run
from perdure.values import Rewind

__all__ = ("check_stream",)


async def check_stream(run: Run, namespace: str, steps: set[str]) -> int:
    """Each of *steps* wrote ``[its id, "begins"]``, then one more; returns how many rewinds."""
    counting: dict[int, list[object]] = {}
    rewinds, reader = 0, run.readable(namespace)
    async for value in reader:
        if isinstance(value, Rewind):
            rewinds += 1
            for first, end in value.void:
                for index in range(first, end):
                    del counting[index]
        else:
            counting[reader.index - 1] = cast("list[object]", value)
    chunks: defaultdict[object, list[object]] = defaultdict(list)
    for name, word in counting.values():
        chunks[name].append(word)
    assert chunks.keys() == steps
    assert all(len(words) == 2 and words[0] == "begins" for words in chunks.values())
    return rewinds
