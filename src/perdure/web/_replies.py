"""Replies: the answer of a step to the caller of a manual webhook, by a stream of the run.

The first answer in the stream counts. Whoever waits closes the stream when it gives up, so a step
that answers later is told that nobody waits; an answer that came just before is still delivered.
"""

from __future__ import annotations

from typing import Final, final

import anyio

from .._ending import Ending
from .._model.ids import RunId
from .._protocol.codec import decode
from .._runtime.replies import REPLIES
from ..abc import World
from ..errors import PerdureError, RunNotFoundError
from ..values import Response

__all__ = ("Reply",)


@final
class Reply:
    """A place for one answer."""

    def __init__(self, world: World, run_id: str, resume_id: str) -> None:
        self._world = world
        self._run_id = RunId(run_id)
        self.name: Final = REPLIES + resume_id

    def __repr__(self) -> str:
        return f"<Reply {self.name} of {self._run_id}>"

    async def wait(self, seconds: float) -> Response | None:
        """The answer; None: the run ended without one, or it took too long.

        Asks the store for nothing while nothing happens to the run.

        Raises:
            RunNotFoundError: the run was deleted meanwhile.
        """
        ending, errors = Ending(), list[PerdureError]()
        answer, is_closed = None, False

        async def watch() -> None:
            try:
                await self._world.storage.wait_ended(self._run_id, wait_ms=int(seconds * 1000))
            except PerdureError as exc:
                errors.append(exc)
            ending.end()

        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            try:
                with ending.heeded():
                    answer, is_closed = await self._read(seconds)
            except PerdureError as exc:
                errors.append(exc)
            group.cancel_scope.cancel()
        if errors:
            raise errors[0]
        if answer is None and not is_closed:
            await self.close()
            answer, _ = await self._read(0)
        return answer

    async def close(self) -> None:
        """Take no answer any more."""
        try:
            await self._world.streams.close(self._run_id, self.name)
        except RunNotFoundError:
            return  # nor can anybody answer

    async def _read(self, seconds: float) -> tuple[Response | None, bool]:
        page = await self._world.streams.read(
            self._run_id, self.name, limit=1, wait_ms=int(seconds * 1000)
        )
        value: object = decode(page.chunks[0]) if page.chunks else None
        return (value if isinstance(value, Response) else None), page.done or bool(page.chunks)
