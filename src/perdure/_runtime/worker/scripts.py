"""Scripts: steps in JavaScript as a worker runs them, each from the bundle of its run.

Imported when a worker has the first of them. A bundle is loaded once while it is used; each
execution has a guest of its own. Its retries, leases and outcome are those of every step.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import import_module
from typing import Any, ClassVar, Protocol, final

import anyio

from ..._core.retries import RetryPolicy
from ..._model.ids import Digest, RunId
from ..._model.queue import MessageClaim
from ..._protocol.frames import BUILTIN_STEPS
from ..._steps.driver import Driver
from ..._steps.frames import StepFrame, step_bundle
from ..._steps.guest import StepGuest
from ..._steps.operation_error import OperationError
from ..._steps.operations import Operations
from ..._steps.room import GuestRoom
from ..._vm.guest import step_engine
from ..._vm.image import Baseline
from ..._vm.pool import VmPool
from ..._vm.spares import Spares
from ..._vm.watch import Watch
from ...abc import World
from ...errors import BlobNotFoundError, BundleMissingError, GuestError, WorldContractError
from ..aborts import AbortWatch
from ..log_fields import of_step
from ..metadata import RunMetadata, StepMetadata
from ..signals import ABORT_MARK
from ..step_options import StepOptions
from ..steps import js_topic_of
from ..streams.outputs import Outputs
from .script_doors import ScriptDoors
from .scripting import Scripting

__all__ = ("Script", "Scripts")

_log = logging.getLogger("perdure")
DEFAULT_RETRIES = 3
_UNKNOWN = 10**9  # retries, until the step has said how many it has
_LOAD_SECONDS = 30.0
_PATIENCE = 1.0
_IDLE_S = 10.0  # seconds, after which memory that is ready for guests is freed
_KEPT_BYTES = 64 << 20  # of bundles
_NO_FETCH = (
    "fetch: this worker's steps may fetch nothing; allow what they need: "
    "Worker(fetch=Fetch(allow=['api.example.com']))"
)


class Execution(Protocol):
    """One execution, as an ``Attempt`` is it."""

    @property
    def claim(self) -> MessageClaim:
        """The claim of its message."""
        ...

    @property
    def input(self) -> bytes:
        """The payload of arguments, this and closure."""
        ...

    @property
    def run_id(self) -> RunId:
        """The run's id."""
        ...

    @property
    def outputs(self) -> Outputs:
        """The streams that it writes to."""
        ...

    def __call__(self) -> tuple[RunMetadata, StepMetadata]:
        """The facts of run and step."""
        ...

    def check(self) -> None:
        """Go on only if it may run once more, now that its retries are known.

        Raises:
            StepLostError: it may not.
        """
        ...


class _Loaded:
    """A bundle, ready for guests."""

    __slots__ = ("baseline", "steps")

    def __init__(self, baseline: Baseline, steps: Mapping[str, Mapping[str, object]]) -> None:
        self.baseline = baseline
        self.steps = steps


@final
class Script:
    """A step in JavaScript: in an ``Attempt`` it has the place of a ``Step``."""

    is_async = True

    def __init__(self, scripts: Scripts, step_id: str, bundle: Digest) -> None:
        self.id = step_id
        self.bundle = bundle
        self.topic = js_topic_of()
        self.options = StepOptions(policy=RetryPolicy(max_retries=_UNKNOWN))
        self._scripts = scripts

    def __repr__(self) -> str:
        return f"<Script {self.id} of {self.bundle[:12]}>"

    @property
    def is_known(self) -> bool:
        """Whether it has said how often it may be tried again."""
        return self.options.max_retries != _UNKNOWN

    def learn(self, max_retries: int | None) -> None:
        """It says so; None is that it says nothing."""
        count = DEFAULT_RETRIES if max_retries is None else max_retries
        if self.options.max_retries != count:
            self.options = StepOptions(policy=RetryPolicy(max_retries=count))

    async def perform(self, execution: Execution) -> bytes:
        """The payload of its result.

        Raises:
            Exception: of any kind: the step threw it, or could not run for it.
        """
        return await self._scripts.perform(self, execution)


@final
class Scripts:
    """The steps in JavaScript of one worker. Used in its event loop."""

    def __init__(self, world: World, pool: VmPool, scripting: Scripting) -> None:
        self._world = world
        self._pool = pool
        self._scripting = scripting
        limits = scripting.limits
        self._room = GuestRoom(limits.guests, limits.guest_bytes)
        self._loaded: OrderedDict[Digest, _Loaded] = OrderedDict()
        self._scripts: OrderedDict[tuple[Digest, str], Script] = OrderedDict()
        self._lock = anyio.Lock()
        self._spares = Spares(limits.guest_bytes, max_of_one=limits.guests)
        self._freeing: asyncio.TimerHandle | None = None  # while none runs
        self._web: Any = None  # ``Web``, where something may be fetched, once that was tried

    def __repr__(self) -> str:
        return f"<Scripts of {len(self._loaded)} bundles, {self._room!r}>"

    def script(self, step_id: str, bundle: Digest) -> Script:
        """The step of this id in a bundle; whether there is one is known when it is performed."""
        key = bundle, step_id
        script = self._scripts.get(key)
        if script is None:
            if len(self._scripts) >= 10_000:
                self._scripts.popitem(last=False)
            script = self._scripts[key] = Script(self, step_id, bundle)
        return script

    async def perform(self, script: Script, execution: Execution) -> bytes:
        """The payload of the step's result.

        Raises:
            Exception: of any kind: the step threw it, or could not run for it.
        """
        loaded = await self._get(script.bundle, execution.run_id)
        if script.id not in loaded.steps and script.id not in BUILTIN_STEPS:
            script.learn(None)
            text = f"this run's bundle has no step {script.id!r}"
            raise GuestError(name="StepNotRegisteredError", message=text, fatal=True)
        async with self._room.seat() as seat:
            limits = self._scripting.limits
            guest = StepGuest(loaded.baseline, self._pool, turn_seconds=limits.turn_seconds)
            is_held = execution.claim.claims > 1 and not script.is_known
            frame = self._frame(script, execution, hold=is_held)
            fetching = self._fetching(limits.operations)
            doors = ScriptDoors(self._world, execution.run_id, lambda: execution.outputs)
            operations = Operations(
                {**fetching.performers, **doors.performers},
                most=limits.operations,
                drop=fetching.close,
            )
            printer = _Printer(self._world, execution)
            driver = Driver(guest, frame, printer, operations, seat=seat)
            if ABORT_MARK in execution.input:
                watch = AbortWatch(self._world, execution.run_id, execution.input)
                driver.hears = True
                await doors.listen(watch, driver.deliver)

            def check(max_retries: int | None) -> None:
                script.learn(max_retries)
                execution.check()

            try:
                return await driver.run(check if is_held else None)
            finally:
                self._free_soon()
                script.learn(driver.max_retries)
                fetching.aclose()
                doors.close()

    def _fetching(self, most: int) -> Any:
        """The requests of one execution."""
        if self._scripting.fetch is None:
            return _NoFetching
        module = import_module("perdure._steps.fetching")  # its client takes a tenth of a second
        if self._web is None:
            self._web = module.Web(self._scripting.fetch)
        return module.Fetching(self._web, most=most)

    def _free_soon(self) -> None:
        """Free the memory that is ready for guests once none has run for a while."""
        if self._freeing is None:
            self._freeing = asyncio.get_running_loop().call_later(_IDLE_S, self._free)

    def _free(self) -> None:
        self._freeing = None
        if self._room.guests:
            self._free_soon()
        else:
            self._spares.clear()

    async def aclose(self) -> None:
        """Close connections, and free memory. Idempotent."""
        if self._freeing is not None:
            self._freeing.cancel()
        self._spares.clear()
        self._loaded.clear()
        if self._web is not None:
            await self._web.aclose()

    def _frame(self, script: Script, execution: Execution, *, hold: bool) -> StepFrame:
        run, step = execution()
        return StepFrame(
            step=script.id,
            input=execution.input,
            seed=secrets.token_bytes(32),
            metadata={
                "run": {
                    "id": run.run_id,
                    "workflow": run.workflow,
                    "started_ms": _ms(run.started_at),
                    "url": run.url,
                    "encryption": run.features.encryption,
                },
                "step": {
                    "id": step.id,
                    "name": step.step,
                    "attempt": step.attempt,
                    "started_ms": _ms(step.started_at),
                },
            },
            env=self._scripting.env,
            limits=self._scripting.limits,
            hold=hold,
        )

    async def _get(self, digest: Digest, run_id: RunId) -> _Loaded:
        """A bundle that is loaded.

        Raises:
            BundleMissingError: the world does not have it.
            GuestError: its step modules do not compile.
            WorldContractError: the world has other bytes in its place.
        """
        loaded = self._loaded.get(digest)
        if loaded is not None:
            return loaded
        async with self._lock:
            loaded = self._loaded.get(digest)
            if loaded is None:
                loaded = self._loaded[digest] = await self._load(digest, run_id)
                self._shrink()
            return loaded

    async def _load(self, digest: Digest, run_id: RunId) -> _Loaded:
        try:
            encoded = await self._world.blobs.get(digest)
        except BlobNotFoundError as exc:
            raise BundleMissingError(run_id, digest=digest) from exc
        if hashlib.sha256(encoded).hexdigest() != digest:
            raise WorldContractError(f"the world has other bytes in place of blob {digest}")

        def load() -> _Loaded:
            parts, steps = step_bundle(encoded)
            baseline = Baseline.build_for_steps(step_engine(), parts, self._spares)
            return _Loaded(baseline, steps)

        return await self._pool.run(load, Watch(_LOAD_SECONDS, patience=_PATIENCE))

    def _shrink(self) -> None:
        while len(self._loaded) > 1 and self._held_bytes > _KEPT_BYTES:
            self._loaded.popitem(last=False)

    @property
    def _held_bytes(self) -> int:
        return sum(loaded.baseline.held_bytes for loaded in self._loaded.values())


class _NoFetching:
    """Stands for requests where none may be made."""

    @staticmethod
    async def fetch(_: object) -> None:
        """Refuse.

        Raises:
            OperationError: each time.
        """
        raise OperationError("FetchNotAllowedError", _NO_FETCH, {"fatal": True})

    performers: ClassVar = {"fetch": fetch}

    @staticmethod
    def close(_: int) -> None:
        """Do nothing."""

    @staticmethod
    def aclose() -> None:
        """Do nothing."""


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


@final
class _Printer:
    """See ``_steps.printer.Printer``."""

    def __init__(self, world: World, execution: Execution) -> None:
        self._world = world
        self._run_id = execution.run_id
        self._writer = execution.claim.message.message_id
        self._attempt = execution.claim.claims
        self._sequence = 0
        _, step = execution()
        name = step.step.rpartition("/")[2]
        self._mark = f"[{name} {step.id.rpartition('/')[2]}]"

    async def print(self, lines: Sequence[tuple[str, str]]) -> None:
        """Write console lines to the run's log, marked with the step."""
        chunks = [self._line(level, text) for level, text in lines]
        sequence, self._sequence = self._sequence, self._sequence + 1
        try:
            await self._world.streams.append(
                self._run_id,
                "log",
                chunks,
                writer=self._writer,
                sequence=sequence,
                attempt=self._attempt,
            )
        except Exception as exc:
            _log.warning(
                "%d lines of step %s were not written to the log: %s",
                len(lines),
                self._writer,
                exc,
                extra=of_step(self._writer),
            )

    def _line(self, level: str, text: str) -> bytes:
        marked = f"{self._mark} {text}" if level == "info" else f"{self._mark} [{level}] {text}"
        return marked.encode("utf-8", "replace")
