"""What a debugger, or an operator at 3 a.m., is shown of what has state."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure import UNDEFINED, Run, Worker, Workflow, step, workflow
from perdure._ending import Ending
from perdure._runtime.carrier.baselines import Baselines
from perdure._runtime.carrier.carrier import Carrier
from perdure._runtime.carrier.slow_runs import SlowRuns
from perdure._runtime.carrier.warm_heaps import WarmHeaps
from perdure._runtime.carrier.writes import Writes
from perdure._runtime.room import Room
from perdure._runtime.slots import Slots, TakenSlots
from perdure._runtime.worker.leases import Leases
from perdure._vm.pool import VmPool
from perdure._vm.spares import Spares
from perdure._vm.watch import Watch
from perdure.model import RunId
from perdure.testing.clock import ManualClock
from perdure.testing.memory import MemoryWorld
from perdure.worldkit.clock import SystemClock
from perdure.worldkit.waiting import Bells
from perdure_sqlite import SqliteWorld

pytestmark = pytest.mark.anyio


@step(name="reprs:idle", max_retries=7)
async def idle() -> None: ...


async def test_what_has_state_shows_it(tmp_path: Path) -> None:
    slots, room = Slots(3), Room(5 << 20)
    taken = TakenSlots(slots)
    taken.take()
    async with MemoryWorld("memory://reprs") as world, Worker(world, steps=[idle]) as worker:
        found = {
            slots: "<Slots 2/3 free>",
            taken: "<TakenSlots 1>",
            world: "MemoryWorld('memory://reprs', open, runs=0)",
            worker: "<Worker memory://reprs steps=1 runs=0>",
            room: "<Room 0 things, 0 of 5 MiB>",
            WarmHeaps(room): "<WarmHeaps 0>",
            Baselines(world, VmPool(1), room): "<Baselines of 0 bundles>",
            Leases(world): "<Leases 0 held>",
            Ending(): "<Ending 0 waiting>",
            SlowRuns(): "<SlowRuns 0>",
            Spares(64 << 20): "<Spares of 0 baselines, 0 of 64 MiB>",
            Watch(1.5): "<Watch of 1.5 s>",
            Writes(RunId("run_a"), world): "<Writes of run_a>",
            Carrier(RunId("run_a"), worker._shared): "<Carrier of run_a, 0 steps in flight>",
            Run("run_a", world): "<Run run_a>",
            idle: "<Step reprs:idle max_retries=7>",
            workflow(tmp_path / "f.ts#one"): f"<Workflow {tmp_path}/f.ts#one>",
            Workflow.from_source("", filename="made.ts"): "<Workflow made.ts>",
            SystemClock(): "SystemClock()",
            ManualClock(5): "ManualClock(now_ms=5, alarms=0)",
            Bells(SystemClock()): "<Bells []>",
            UNDEFINED: "UNDEFINED",
            SqliteWorld(f"sqlite:///{tmp_path}/x.db"): f"SqliteWorld('sqlite:///{tmp_path}/x.db')",
        }
        assert {repr(key): repr(key) for key in found} == {shown: shown for shown in found.values()}
