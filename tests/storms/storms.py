"""The storms: each begins runs, has many race for them, and compares what they received."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias, cast

import anyio

from perdure import Run, get_run, list_runs, resume_hook
from tests.storms.scene import Scene
from tests.storms.storm_steps import claimed_by, hook_of, rouse_run, send_all, send_rounds

__all__ = ("STORMS", "Storm")

Storm: TypeAlias = Callable[[Scene], Awaitable[None]]
WIDTH = 8  # steps at once
SENDERS = 4  # of each hook, half of them in workers
RESUMES = 24
STARTS = 50
HEARTBEAT_MS = 20


async def step_storm(scene: Scene) -> None:
    """Runs with many steps at once, of which some are tried again."""
    rounds = scene.size.rounds
    runs = [await scene.begin("steps", rounds, WIDTH) for _ in range(scene.size.runs)]
    for run in runs:
        scene.compare(range(rounds * WIDTH), await _list_of(run))


async def hook_storm(scene: Scene) -> None:
    """Payloads of several senders at once for each hook, every one sent twice."""
    await _send_beside(scene, "receiver", ())


async def hook_against_sleep(scene: Scene) -> None:
    """The same, for hooks that are raced with short sleeps in a loop."""
    await _send_beside(scene, "napper", (2,))


async def _send_beside(scene: Scene, name: str, more: tuple[object, ...]) -> None:
    """Begin receivers; those who send to them race each other, here and in the workers."""
    rounds, receivers = scene.size.rounds, dict[str, Run]()
    for number in range(scene.size.runs):
        token = f"{name}-{number}"
        receivers[token] = await scene.begin(name, token, SENDERS * rounds, *more)
    for token in receivers:
        await hook_of(token)
    remote: list[Run] = []
    async with anyio.create_task_group() as group:
        for token in receivers:
            for names in _names(token, rounds)[::2]:
                remote.append(await scene.begin("sender", token, names, 2))
            for names in _names(token, rounds)[1::2]:
                group.start_soon(send_all, token, names, 2)
    for run in remote:
        await run.result()
    for token, run in receivers.items():
        payloads = cast("list[str]", await _list_of(run))
        scene.compare((one for names in _names(token, rounds) for one in names), payloads)
        for names in _names(token, rounds):
            scene.compare_order(names, payloads)


def _names(token: str, rounds: int) -> list[list[str]]:
    """What each sender sends, in its order."""
    return [[f"{token}/{sender}/{n}" for n in range(rounds)] for sender in range(SENDERS)]


async def wake_loop(scene: Scene) -> None:
    """Sleeps of an hour, each ended early by one of three who try; it counts for one of them."""
    rounds = scene.size.rounds
    for _ in range(scene.size.runs):
        sleeper = await scene.begin("sleeper", rounds)
        wakers = [await scene.begin("waker", sleeper.id) for _ in range(2)]
        counts = [await rouse_run(sleeper.id)]
        counts += [int(str(await waker.result())) for waker in wakers]
        assert await sleeper.result() == rounds
        scene.compare(range(rounds), range(sum(counts)))


async def cycle_hook(scene: Scene) -> None:
    """A fresh hook with the same token each round, raced with a heartbeat."""
    rounds, runs, remote = scene.size.rounds, list[Run](), list[Run]()
    async with anyio.create_task_group() as group:
        for number in range(scene.size.runs):
            token = f"cycle-{number}"
            runs.append(await scene.begin("cycle", token, rounds, HEARTBEAT_MS))
            if number % 2:
                remote.append(await scene.begin("driver", token, rounds))
            else:
                group.start_soon(send_rounds, token, rounds)
    for run in remote:
        await run.result()
    for run in runs:
        payloads = await _list_of(run)
        scene.compare(range(rounds), cast("list[int]", payloads))
        scene.findings.disordered += payloads != list(range(rounds))


async def forced_claim(scene: Scene) -> None:
    """Twenty-four resumes at once, while another run takes the token by force."""
    for number in range(scene.size.rounds):
        token = f"forced-{number}"
        names = [f"{token}/{n}" for n in range(RESUMES)]
        victim = await scene.begin("victim", token)
        await hook_of(token)
        takers, remote = list[Run](), list[Run]()
        async with anyio.create_task_group() as group:

            async def take(token: str = token, takers: list[Run] = takers) -> None:
                takers.append(await scene.begin("taker", token))

            for at, name in enumerate(names):
                if at % 4 == 0:
                    remote.append(await scene.begin("sender", token, [name], 1))
                else:
                    group.start_soon(send_all, token, [name], 1)
                if at == RESUMES // 3:
                    group.start_soon(take)
        for run in remote:
            await run.result()
        payloads = await _list_of(victim)
        await resume_hook(token, "over")
        payloads += await _list_of(takers[0])
        scene.compare(names, cast("list[str]", payloads))


async def keyed_start(scene: Scene) -> None:
    """Fifty starts with one token at once: one begins, and the others learn which."""
    for number in range(scene.size.rounds):
        token, owners, remote = f"keyed-{number}", list[str](), list[Run]()
        async with anyio.create_task_group() as group:

            async def claim(token: str = token, owners: list[str] = owners) -> None:
                owners.append(await claimed_by(token))

            for at in range(STARTS):
                if at % 5 == 0:
                    remote.append(await scene.begin("claimant", token))
                else:
                    group.start_soon(claim)
        owners += [str(await run.result()) for run in remote]
        await resume_hook(token, "only")
        owner = get_run(owners[0])
        scene.note(owner)
        assert await _list_of(owner) == ["only"]
        page = await list_runs(attributes={"token": token})
        scene.compare([owner.id] * STARTS, owners)
        scene.compare([owner.id], [record.run_id for record in page.runs])


async def _list_of(run: Run) -> list[object]:
    """The list that the run returns."""
    result = await run.result()
    assert isinstance(result, list), result
    return cast("list[object]", result)


STORMS: tuple[Storm, ...] = (
    step_storm,
    hook_storm,
    hook_against_sleep,
    wake_loop,
    cycle_hook,
    forced_claim,
    keyed_start,
)
