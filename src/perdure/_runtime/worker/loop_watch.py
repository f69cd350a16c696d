"""Loop watch: a thread that notices when the event loop of a worker is blocked.

It asks the loop for a sign several times a second, while leases are held; one that does not come
within a second is told once, with the name of the task that blocks and its stack, or with the plain
steps whose threads keep the interpreter from it. A loop that is
blocked renews no leases, so that is done here meanwhile, through a twin of the world in an event
loop of this thread: opened when it is needed, closed when the loop is back. Sleeps otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import PurePath
from types import FrameType
from typing import Protocol, final

from ..._logs import Lines
from ..._platform import thread_clock
from ...abc import World
from ..log_fields import of_task

__all__ = ("LoopWatch", "Renewing", "Working")

_log = logging.getLogger("perdure")
_OURS = str(PurePath(__file__).parent.parent)
LOOK_EVERY = 0.25  # seconds between signs
BLOCKED_AFTER = 1.0  # seconds without one
CLOSING = 5.0  # seconds that closing waits for the thread
FRAMES = 20  # of a stack, the innermost
NAMED = 3  # steps whose threads are at work, those with the most


class Renewing(Protocol):
    """The leases to renew."""

    def __len__(self) -> int: ...

    @property
    def every(self) -> float:
        """Seconds between renewals."""
        ...

    async def renew(self, world: World) -> None:
        """Renew them through *world*. Raises no error of the world's."""
        ...


class Working(Protocol):
    """The steps to name."""

    def plain_steps(self) -> Counter[str]:
        """How many threads each plain step has just now. From any thread."""
        ...


@final
class LoopWatch:
    """Watches one event loop: that in which ``watching`` is entered."""

    def __init__(
        self,
        world: World,
        leases: Renewing,
        steps: Working,
        *,
        look_every: float = LOOK_EVERY,
        blocked_after: float = BLOCKED_AFTER,
    ) -> None:
        """Watch nothing yet.

        Args:
            steps: to name, where the loop is blocked.
            look_every: seconds between signs.
            blocked_after: seconds without one, after which it is blocked.
        """
        self._world = world
        self._look_every = look_every
        self._blocked_after = blocked_after
        self._leases = leases
        self._steps = steps
        self._clock: int | None = None  # of the loop's processor time
        self._question_at = 0.0  # when the loop was asked for a sign, by ``time.monotonic``
        self._used = 0.0, 0.0  # seconds of a processor by then: by the loop, by all threads
        self._is_awaited = False  # and has not given it
        self._closed = threading.Event()
        self.blocked = 0  # so often

    def __repr__(self) -> str:
        return f"<LoopWatch blocked={self.blocked}>"

    @contextmanager
    def watching(self) -> Generator[None, None, None]:
        """Watch, within the block. Once."""
        self._loop, self._loop_thread = asyncio.get_running_loop(), threading.get_ident()
        self._clock = thread_clock()
        thread = threading.Thread(target=self._watch, name="perdure-loop-watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._closed.set()
            thread.join(CLOSING)

    # --- in the thread ----------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._closed.wait(self._pause):
            if not self._is_awaited:
                self._ask()
            elif self._blocked_for > min(self._blocked_after, self._leases.every):
                asyncio.run(self._stand_in())

    @property
    def _pause(self) -> float:
        return min(self._look_every, self._leases.every)

    @property
    def _blocked_for(self) -> float:
        return time.monotonic() - self._question_at if self._is_awaited else 0.0

    def _ask(self) -> None:
        if not len(self._leases):
            return  # nothing depends on it
        self._used = self._processor_times()
        self._question_at, self._is_awaited = time.monotonic(), True
        try:
            self._loop.call_soon_threadsafe(self._answered)
        except RuntimeError:  # it is closed
            self._closed.set()

    def _answered(self) -> None:
        """In the loop."""
        self._is_awaited = False

    async def _stand_in(self) -> None:
        """Tell that the loop is blocked, and renew the leases until it is back."""
        twin: World | None = None
        is_told, renew_at = False, self._question_at + self._leases.every
        try:
            while self._is_awaited and not self._closed.is_set():
                if not is_told and self._blocked_for >= self._blocked_after:
                    self._tell()
                    is_told = True
                if time.monotonic() >= renew_at:
                    renew_at = time.monotonic() + self._leases.every
                    twin = twin or await self._opened_twin()
                    if twin is not None:
                        await self._leases.renew(twin)
                await asyncio.sleep(min(self._pause, self._blocked_after / 10))
        finally:
            if twin is not None:
                await twin.aclose()

    async def _opened_twin(self) -> World | None:
        try:
            twin = self._world.twin()
            if twin is not None:
                await twin.open()
        except Exception as exc:  # tried again at the next renewal
            url = self._world.url
            _log.warning("world %s cannot be opened beside the blocked loop: %r", url, exc)
            return None
        return twin

    def _processor_times(self) -> tuple[float, float]:
        loop = 0.0 if self._clock is None else time.clock_gettime(self._clock)
        return loop, time.process_time()

    @property
    def _is_starved(self) -> bool:
        """Whether other threads had the interpreter meanwhile, as far as times tell."""
        (loop, every), (loop_then, every_then) = self._processor_times(), self._used
        loop, every = loop - loop_then, every - every_then
        return loop < self._blocked_for / 2 and every - loop > max(loop, self._blocked_for / 10)

    def _tell(self) -> None:
        self.blocked += 1
        task = asyncio.current_task(self._loop)
        steps = self._steps.plain_steps()
        is_step = task is not None and bool(of_task(task.get_name()))
        if steps and not is_step and self._is_starved:
            self._tell_threads(steps)
        else:
            self._tell_task(task)

    def _tell_threads(self, steps: Counter[str]) -> None:
        named = ", ".join(f"{count} of {step}" for step, count in steps.most_common(NAMED))
        _log.warning(
            "the event loop has been blocked for %.1f s by threads of plain steps, with which it"
            " shares the interpreter (%s%s): compute in another process, or have fewer at a time,"
            " by Worker(max_steps=…)",
            self._blocked_for,
            named,
            "" if len(steps) <= NAMED else ", …",
        )

    def _tell_task(self, task: asyncio.Task[object] | None) -> None:
        frames = sys._current_frames()  # pyright: ignore[reportPrivateUsage] # documented
        frame = frames.get(self._loop_thread)
        name = "a callback" if task is None else task.get_name()
        _log.warning(
            "the event loop has been blocked for %.1f s by %s: use await, or a plain def for what"
            " blocks%s",
            self._blocked_for,
            name,
            "" if frame is None else Lines(f"\n{_stack_of(frame)}"),
            extra=of_task(name),
        )


def _stack_of(frame: FrameType) -> str:
    """The stack below the last of our own frames, or all of it if it is all ours."""
    stack = traceback.extract_stack(frame)
    ours = [at for at, entry in enumerate(stack) if entry.filename.startswith(_OURS)]
    below = stack[ours[-1] + 1 :] if ours else []
    return "".join(traceback.format_list((below or stack)[-FRAMES:])).rstrip()
