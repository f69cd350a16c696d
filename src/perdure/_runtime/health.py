"""Health: whether a world answers, and whether a worker carries its runs.

The second is asked by a run: one of a line, that a worker has to claim, execute and end. Nothing
else shows that runs go on, and it needs no message of its own kind. The run is deleted after that.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta
from functools import cache
from time import perf_counter

import anyio

from .._value_class import value_class
from ..abc import World
from ..errors import PerdureError, RunTimeoutError
from .ambient import meant_world
from .arguments import checked_timeout
from .run import Run
from .start import start
from .workflow import Workflow

__all__ = ("Health", "check_health")

_PATIENCE = 5.0  # seconds that the world has at least
_CLEANING = 5.0  # seconds that may take


@value_class
class Health:
    """How a world and its workers fare."""

    is_reachable: bool  # the world answers
    is_worked: bool  # a worker has carried a run
    world_ms: float | None  # that the world took to answer; None: it did not
    worker_ms: float | None  # from the start of the run until its result was here
    waiting: int  # runs and steps that are due and nobody has claimed, before the run was started
    error: str | None  # why it is not healthy

    @property
    def is_healthy(self) -> bool:
        """Whether the world answers and a worker carries its runs."""
        return self.is_reachable and self.is_worked


async def check_health(timeout: float | timedelta = 30.0, *, world: World | None = None) -> Health:
    """Look whether the world answers, and start a run of one line to see that a worker ends it.

    Args:
        timeout: seconds or a ``timedelta`` that the run may take; the world has as long to answer,
            and at least five seconds.
        world: default: as for ``start``.

    Raises:
        UsageError: *world* was left out, and more than one could be meant.
    """
    seconds = checked_timeout("timeout", timeout).total_seconds()
    patience = max(seconds, _PATIENCE)
    target, began = await meant_world(world), perf_counter()
    try:
        with anyio.fail_after(patience):
            waiting = sum((await target.queue.count_waiting()).values())
            world_ms = _ms_since(began)
            began = perf_counter()
            run = await start(_probe(), world=target)
    except (PerdureError, TimeoutError) as exc:
        text = str(exc) or f"the world did not answer within {patience:g} s"
        return _unhealthy(text)
    try:
        await run.result(timeout=seconds)
    except RunTimeoutError:
        error = f"no worker carried a run within {seconds:g} s; start one: perdure worker"
        return _unhealthy(error, world_ms=world_ms, waiting=waiting)
    except PerdureError as exc:
        return _unhealthy(str(exc), world_ms=world_ms, waiting=waiting)
    finally:
        await _remove(run, target)
    return Health(
        is_reachable=True,
        is_worked=True,
        world_ms=world_ms,
        worker_ms=_ms_since(began),
        waiting=waiting,
        error=None,
    )


def _unhealthy(error: str, *, world_ms: float | None = None, waiting: int = 0) -> Health:
    return Health(
        is_reachable=world_ms is not None,
        is_worked=False,
        world_ms=world_ms,
        worker_ms=None,
        waiting=waiting,
        error=error,
    )


def _ms_since(began: float) -> float:
    return round((perf_counter() - began) * 1000, 1)


async def _remove(run: Run, world: World) -> None:
    """Leave nothing of the run, if the world still answers."""
    with anyio.move_on_after(_CLEANING, shield=True), contextlib.suppress(PerdureError):
        with contextlib.suppress(PerdureError):  # it has ended, as a rule
            await run.cancel("the look at the world's health is over")
        await world.catalogue.delete_run(run.id)


@cache
def _probe() -> Workflow:
    return Workflow.from_source(
        'export async function health() { "use workflow"; return "healthy"; }',
        filename="perdure/health.ts",
    )
