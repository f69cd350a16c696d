"""Snapshots that a commit brings: of its own turn, or frozen while the turns after it ran."""

from __future__ import annotations

from ..._model.snapshot import Snapshot
from ...abc import Capability, World
from ._case import RUN, Case, commit_of, expect, named, new_run

__all__ = ("SNAPSHOTS",)


async def a_commit_keeps_an_earlier_turns_snapshot(case: Case) -> None:
    """A snapshot is kept by its own turn and position, also if a later commit brings it."""
    root = _snapshot(1, parent=None)
    link = _snapshot(3, parent=1)
    late = _snapshot(2, parent=None)
    newer = _snapshot(5, parent=None)
    async with case.open() as world:
        durable = Capability.DURABLE in world.capabilities
        await world.storage.create_run(new_run())
        await _commit(world, 0, None)
        await _commit(world, 1, root)
        await _holds(world, (root,), turn=2)
        await _commit(world, 2, None)
        await _commit(world, 3, link)
        await _holds(world, (root, link), turn=4)
        await _commit(world, 4, late)
        await _holds(world, (root, link), turn=5)
        await _commit(world, 5, newer)
        await _holds(world, (newer,), turn=6)
    if durable:
        async with case.open() as world:
            await _holds(world, (newer,), turn=6)


def _snapshot(turn: int, *, parent: int | None) -> Snapshot:
    """The heap after that turn, which had seen all that there was before it."""
    return Snapshot(turn=turn, parent_turn=parent, consumed=turn, data=b"heap %d" % turn)


async def _commit(world: World, turn: int, snapshot: Snapshot | None) -> None:
    await world.storage.commit(commit_of(turn, snapshot=snapshot))


async def _holds(world: World, chain: tuple[Snapshot, ...], *, turn: int) -> None:
    """The chain is that, and a worker is given with it all that the newest has not seen."""
    await world.settle()
    expect(await world.snapshots.load(RUN) == chain, "a snapshot is kept by its own turn")
    state = await world.storage.load_run(RUN)
    expect(state.chain == chain and state.record.turn == turn, "a run is loaded as it is kept")
    positions = [logged.position for logged in state.events]
    expect(
        positions == [*range(chain[-1].consumed + 1, turn + 2)],
        "a run is loaded with all events above what its newest snapshot has consumed",
    )


SNAPSHOTS = named(a_commit_keeps_an_earlier_turns_snapshot)
