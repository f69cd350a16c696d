"""Doors: how a step opens its run's streams, and how a stream that arrived as a value opens."""

from __future__ import annotations

from typing import final

from ..._stream_value import Entrance
from ...errors import UsageError
from ...values import Stream
from ..metadata import entered
from .names import stream_name
from .readable import Readable
from .writable import Writable

__all__ = ("RuntimeDoors", "writable")


def writable(namespace: str | None = None) -> Writable:
    """The stream of the run that the running step belongs to, to write to.

    All that write to one stream within one step share it, in one order. The step is done once its
    chunks are durable. If it runs again, what it writes equally is not written twice.

    Args:
        namespace: names another stream than the run's default one.

    Raises:
        UsageError: no step is running here, or the namespace is none.
    """
    name = stream_name(namespace)
    step = entered.get(None)
    if step is None:
        raise UsageError(
            "writable() works only within a step; elsewhere: get_run(run_id).writable()"
        )
    return Writable(Stream(step.run_id, name))


@final
class RuntimeDoors:
    """Opens streams in the world that the caller means."""

    def readable(self, stream: Stream, start: int) -> Readable[object]:
        """A reader of it."""
        return Readable(stream, start)

    def writable(self, stream: Stream) -> Writable:
        """A writer to it."""
        return Writable(stream)


Entrance.doors = RuntimeDoors()
