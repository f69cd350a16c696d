"""Own tasks: those of a worker, which a step cannot cancel.

They are among ``asyncio.all_tasks()``, and a step that cancels all of these means its own. Python
does not tell who cancels a task, but ``cancel`` runs in the canceller's context, and a step's body
has left its mark there. So these tasks look, and stay. A worker cancels tasks of its own in a
context of its own, not in its caller's: a scope of anyio's tries again and again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, ClassVar, TypeVarTuple, final

from anyio.abc import TaskGroup

from .contained import step_in
from .log_fields import of_step
from .metadata import entered

__all__ = ("OwnTask", "own_task", "start_own")

Args = TypeVarTuple("Args")
_log = logging.getLogger("perdure")


@final
class OwnTask(asyncio.Task[Any]):
    """A task that is cancelled by all but steps."""

    __slots__ = ()
    _last: ClassVar[str] = ""  # id of the step that was told of last

    def cancel(self, msg: object = None) -> bool:
        """Cancel it; returns whether that will be."""
        if entered.get(None) is None or self.done():
            return super().cancel(msg)
        self._tell()
        return False

    def _tell(self) -> None:
        """Tell of it, once for all the tasks that a step cancels."""
        step = step_in(copy_context())
        if step is None or step.id == OwnTask._last:
            return
        OwnTask._last = step.id
        _log.warning(
            "step %s cancels tasks of its worker, which go on: cancel the tasks that the step"
            " began, not all of asyncio.all_tasks()",
            step.step,
            extra=of_step(step.id, step=step.step, attempt=step.attempt),
        )


def start_own(
    group: TaskGroup, call: Callable[[*Args], Coroutine[object, object, object]], *args: *Args
) -> None:
    """Have *group* run this in a task of the worker's own."""
    loop = asyncio.get_running_loop()
    factory = loop.get_task_factory()
    own: Any = own_task  # whose types none of the releases agrees on
    loop.set_task_factory(own)
    try:
        group.start_soon(call, *args)
    finally:
        loop.set_task_factory(factory)


def own_task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[object, object, Any], **named: Any
) -> asyncio.Task[Any]:
    """A task of a worker's own; of one that a step has begun it is as others."""
    if entered.get(None) is None:
        return OwnTask(coroutine, loop=loop, **named)
    return asyncio.Task(coroutine, loop=loop, **named)
