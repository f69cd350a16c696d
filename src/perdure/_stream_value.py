"""Stream values: a stream as it crosses, and the marks that a reader gets besides values.

Pure. A stream that arrives in Python opens through ``Doors``, which the runtime puts here: values
know no world.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from importlib import import_module
from typing import ClassVar, Protocol, final

from ._value_class import AsItIs, value_class

__all__ = ("Doors", "Entrance", "Rewind", "Stream", "StreamReader", "StreamWriter")


class StreamReader(Protocol):
    """A reader of a stream: ``perdure.Readable``."""

    @property
    def index(self) -> int:
        """The index of the chunk that a reader reads next."""
        ...

    def __aiter__(self) -> AsyncIterator[object]: ...

    async def __anext__(self) -> object: ...

    async def tail_index(self) -> int:
        """The last chunk's index; -1 if there is none."""
        ...


class StreamWriter(Protocol):
    """A writer to a stream: ``perdure.Writable``."""

    async def write(self, value: object) -> None:
        """Add *value* as a chunk."""
        ...

    async def write_from(self, values: AsyncIterable[object] | Iterable[object]) -> int:
        """Add a chunk for each of *values*; returns how many."""
        ...

    async def flush(self) -> None:
        """Return once all that was written is durable."""
        ...

    async def close(self) -> None:
        """Let no more chunks in, of nobody."""
        ...


class Doors(Protocol):
    """How a stream that arrived as a value is opened."""

    def readable(self, stream: Stream, start: int) -> StreamReader:
        """A reader of it."""
        ...

    def writable(self, stream: Stream) -> StreamWriter:
        """A writer to it."""
        ...


@final
class Entrance:
    """Where the runtime puts its doors, which it is imported for when a stream is first opened."""

    doors: ClassVar[Doors | None] = None


def _doors() -> Doors:
    if Entrance.doors is None:
        import_module("perdure._runtime.streams.doors")
    assert Entrance.doors is not None  # put there by that module
    return Entrance.doors


@final
@value_class(kw_only=False)
class Stream(AsItIs):
    """A stream of a run, as workflows and steps pass it on: a name, not its chunks."""

    run_id: str
    name: str

    def readable(self, start: int = 0) -> StreamReader:
        """Read it: ``async for``. As ``Run.readable`` of its run.

        Args:
            start: the first chunk's index; below 0 it counts from the end.
        """
        return _doors().readable(self, start)

    def writable(self) -> StreamWriter:
        """Write to it. As ``Run.writable`` of its run."""
        return _doors().writable(self)


@final
@value_class
class Rewind:
    """A step ran again, and wrote something else than before: some of its chunks do not count.

    A reader may ignore it: then it has the chunks of both executions, in their order.
    """

    attempt: int  # of the step, that goes on from here
    void: tuple[tuple[int, int], ...]  # indexes: the first, and the one after the last, in order

    @property
    def index(self) -> int:
        """The first chunk's index that does not count."""
        return self.void[0][0]
