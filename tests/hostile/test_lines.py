"""A hundred hostile lines, or PERDURE_HOSTILE_LINES of them: each ends by name, and nothing else
is held up: healthy runs beside them are served, and the worker can be left.
"""

from __future__ import annotations

import mmap
import os
from collections import Counter

import pytest

from perdure import Worker
from perdure._runtime.timing import Timing
from perdure._vm import rehearsal as rehearsal_module
from perdure.worlds import open_world
from tests.hostile.lines import CONTEXTS, hostile_lines, spread
from tests.hostile.playing import play
from tests.systems import needs_proc

pytestmark = [pytest.mark.anyio, pytest.mark.slow, needs_proc]

COUNT = int(os.environ.get("PERDURE_HOSTILE_LINES", "100"))
DEADLINE = 0.2
NAMES = {
    # The watch, and what the guest counts.
    *("TurnDeadlineError", "InstructionLimitError", "HeapLimitError", "OutputLimitError"),
    *("PayloadLimitError", "ValueLimitError", "RunStalledError"),
    # What JavaScript itself says: too long, of the wrong type, no such value to carry.
    *("RangeError", "TypeError", "SyntaxError", "Error", "SerializationError", "InternalError"),
    *("ValueNotCarriableError", "ForbiddenGlobalError", "GuestTrapError"),
    # The line's own error, or the value that it throws.
    *("dict", "str", "CompileError"),
}


def resident_mib() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * mmap.PAGESIZE >> 20


def test_lines_are_spread_over_natives_and_contexts() -> None:
    lines = spread(100)
    assert len(set(lines)) == 100
    assert {line.context for line in lines} == set(CONTEXTS)
    assert len({line.native for line in lines}) > 75
    assert len(set(hostile_lines())) > 4000
    assert sum(line.endless for line in spread(1000)) > 25


async def test_hostile_lines_end_by_name_and_hold_up_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Worker, "_timing", Timing(first_turn=0.05))
    monkeypatch.setattr(rehearsal_module, "_SECONDS", 0.05)
    before = resident_mib()
    async with open_world("memory://") as world:
        played = await play(world, spread(COUNT), deadline=DEADLINE)
    names = Counter(played.ends.values())
    print(f"\n{COUNT} lines ended: {dict(names.most_common())}")
    print(f"resident memory: {before} MiB before, {resident_mib()} MiB after")
    print(
        f"{len(played.healthy)} healthy runs beside them, the slowest {max(played.healthy):.2f} s"
    )
    print(f"the slowest line took {max(played.seconds.values()):.1f} s")
    assert len(played.ends) == COUNT  # none is left
    assert not set(names) - NAMES - {"value"}
    wrong = [str(line) for line, end in played.ends.items() if line.endless and end == "value"]
    assert not wrong  # they cannot have come to a value
    assert max(played.tries.values()) == 2  # turns that passed the deadline, of any run
    assert played.healthy
    assert sorted(played.healthy)[len(played.healthy) * 9 // 10] < 5
    assert played.closing < 10
