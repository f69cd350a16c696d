"""Script doors: the reach of one execution of a step in JavaScript into its world.

Each door is an operation of the guest. A field may be of any type: one of another type than the
door takes is an error of the protocol. Errors that the step's code can meet have its names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import cast, final

from ..._abort import SignalState
from ..._model.ids import RunId
from ..._model.runs import NewRun, RunRecord
from ..._protocol.chunks import BYTES, VALUE
from ..._protocol.codec import decode, encode
from ..._protocol.frames import MAX_ENTRY
from ..._steps.operation_error import OperationError
from ...abc import World
from ...errors import (
    FatalError,
    HookConflictError,
    HookNotFoundError,
    ProtocolError,
    RunCancelledError,
    RunFailedError,
    RunNotFoundError,
    UsageError,
)
from ...values import Request, Response, Stream
from ..aborts import AbortWatch
from ..attributes import initial_attributes, set_attributes
from ..crossings import write_abort
from ..fresh_ids import fresh_id, fresh_secret
from ..hooks import Hook, get_hook, resume_hook
from ..keyed_starts import keyed_claim
from ..lineage import with_lineage
from ..replies import respond
from ..run import Run
from ..streams.outputs import Outputs
from ..streams.readable import Readable

__all__ = ("ScriptDoors",)

_END = object()
_PAGE = 200  # values
_KINDS = {0: BYTES, 1: VALUE}


@final
class ScriptDoors:
    """The doors of one execution. ``close`` them. Used in the worker's event loop."""

    def __init__(self, world: World, run_id: RunId, outputs: Callable[[], Outputs]) -> None:
        """Open none yet.

        Args:
            run_id: of the run that the step works for.
            outputs: returns the sinks of the streams that it writes to.
        """
        self._world = world
        self._run_id = run_id
        self._outputs = outputs
        self._removes: list[Callable[[], object]] = []
        self._watch: AbortWatch | None = None

    def __repr__(self) -> str:
        return f"<ScriptDoors of {self._run_id}>"

    @property
    def performers(self) -> Mapping[str, Callable[..., Awaitable[object]]]:
        """The operations, by kind."""
        doors: dict[str, Callable[..., Awaitable[object]]] = {
            "put": self.put,
            "close": self.close_stream,
            "page": self.page,
            "resume": self.resume,
            "hook": self.hook,
            "respond": self.respond,
            "start": self.start,
            "run": self.run,
            "result": self.result,
            "cancelRun": self.cancel_run,
            "wakeRun": self.wake_run,
            "attributes": self.attributes,
            "abort": self.abort,
        }
        return {kind: _named(door) for kind, door in doors.items()}

    # --- streams ----------------------------------------------------------------------------------

    async def put(self, run: object, name: object, kind: object, content: object) -> None:
        """Add a chunk to a stream. Returns once there is room for the next."""
        sink = self._outputs().sink(None, RunId(_text(run)), _text(name))
        if type(kind) is not int or kind not in _KINDS or type(content) is not bytes:
            raise ProtocolError("the step guest writes a chunk that is none")
        await sink.put(_KINDS[kind], content)

    async def close_stream(self, run: object, name: object) -> None:
        """Let no more chunks in."""
        await self._outputs().sink(None, RunId(_text(run)), _text(name)).close()

    async def page(self, run: object, name: object, index: object) -> list[object]:
        """Some chunks from *index*, once there are any; the next index; whether it has ended."""
        if type(index) is not int:
            raise ProtocolError("the step guest reads from no index")
        stream = Stream(_text(run), _text(name))
        reader: Readable[object] = Readable(stream, index, world=self._world)
        first: object = await anext(reader, _END)
        if first is _END:
            return [[], reader.index, True]
        values = [first, *await reader.page(_PAGE)]
        return [[_chunk(value) for value in values], reader.index, reader.done]

    # --- hooks ------------------------------------------------------------------------------------

    async def resume(self, token: object, payload: object) -> dict[str, object]:
        """Send a payload to a hook."""
        value = decode(_bytes(payload))
        return _hook(await resume_hook(_text(token), value, world=self._world))

    async def hook(self, token: object) -> dict[str, object]:
        """The hook that has a token."""
        return _hook(await get_hook(_text(token), world=self._world))

    async def respond(self, request: object, response: object) -> None:
        """Answer the caller of a webhook."""
        await respond(
            cast("Request", decode(_bytes(request))), cast("Response", decode(_bytes(response)))
        )

    # --- runs -------------------------------------------------------------------------------------

    async def start(
        self, entry: object, args: object, attributes: object, token: object, run_id: object
    ) -> RunId:
        """Start a run of a function of this bundle; returns its id."""
        module, mark, export = _text(entry, MAX_ENTRY).rpartition("#")
        if not mark or not isinstance(attributes, dict):
            raise ProtocolError("the step guest starts no workflow")
        own = {key: text for key, text in cast("dict[str, object]", attributes).items() if text}
        texts = initial_attributes(own, allow_reserved=True)
        parent = await self._world.storage.get_run(self._run_id)
        file = module.rpartition("/")[2].partition(".")[0]
        new = NewRun(
            run_id=RunId(_text(run_id, 200)) if run_id else RunId(fresh_id("run")),
            workflow=file if export == "default" else export,
            bundle=parent.bundle,
            engine=parent.engine,
            input=_bytes(args),
            created_at_ms=self._world.now_ms(),
            attributes=await with_lineage(texts, self._world),
            level=parent.level,
            secret=fresh_secret(),
            base_url=parent.base_url,
            hook=keyed_claim(token),
            entry=f"{module}#{export}",
        )
        await self._world.storage.create_run(new)
        return new.run_id

    async def run(self, run_id: object) -> dict[str, object] | None:
        """The facts of a run; None if there is none."""
        try:
            record: RunRecord = await self._world.storage.get_run(RunId(_text(run_id)))
        except RunNotFoundError:
            return None
        return {
            "status": record.status.value,
            "workflow": record.workflow,
            "createdAt": record.created_at_ms,
            "startedAt": record.started_at_ms,
            "completedAt": record.ended_at_ms,
        }

    async def result(self, run_id: object) -> list[object]:
        """How a run has ended, once it has: status, code, payload."""
        try:
            value = await Run(_text(run_id), self._world).result()
        except RunCancelledError:
            return ["cancelled", None, b"\xf6"]
        except RunFailedError as exc:
            return ["failed", exc.code, encode(exc.error, where="error")]
        return ["completed", None, encode(value, where="result")]

    async def cancel_run(self, run_id: object, reason: object) -> None:
        """Cancel a run."""
        await Run(_text(run_id), self._world).cancel(None if reason is None else _text(reason))

    async def wake_run(self, run_id: object, ids: object) -> int:
        """End sleeps of a run early; how many."""
        if ids is not None and not isinstance(ids, list):
            raise UsageError("correlationIds is a list of ids")
        return await Run(_text(run_id), self._world).wake(cast("list[str] | None", ids))

    async def attributes(self, changes: object, is_allowed: object) -> None:
        """Set attributes of the run."""
        await set_attributes(
            cast("Mapping[str, str | None]", changes), allow_reserved_attributes=is_allowed is True
        )

    # --- signals ----------------------------------------------------------------------------------

    async def abort(self, run_id: object, signal: object, reason: object) -> None:
        """Abort a signal that a run has sent out."""
        await write_abort(self._world, RunId(_text(run_id)), _text(signal), _bytes(reason))

    async def listen(
        self, watch: AbortWatch, tell: Callable[[tuple[str, str, bytes]], None]
    ) -> None:
        """Have *tell* called when a signal among the arguments is aborted, until ``close``."""
        self._watch = watch
        await watch.look()
        watch.open()
        loop = asyncio.get_running_loop()

        def hear(state: SignalState) -> None:
            reason = encode(state.reason, where="reason")
            loop.call_soon_threadsafe(tell, ("abort", "/".join(state.key), reason))

        for state in watch.states:
            self._removes.append(state.add(partial(hear, state)))

    def close(self) -> None:
        """Listen no more. Idempotent."""
        for remove in self._removes:
            remove()
        self._removes.clear()
        if self._watch is not None:
            self._watch.close()


def _named(door: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
    """The same door, whose errors have the names that the step's code knows."""

    async def perform(*fields: object) -> object:
        try:
            return await door(*fields)
        except HookNotFoundError as exc:
            raise OperationError(type(exc).__name__, str(exc), {"token": exc.token}) from exc
        except HookConflictError as exc:
            facts = {"token": exc.token, "conflictingRunId": exc.run_id}
            raise OperationError(type(exc).__name__, str(exc), facts) from exc
        except RunNotFoundError as exc:
            raise OperationError("WorkflowRunNotFoundError", str(exc), {}) from exc
        except FatalError as exc:
            raise OperationError("FatalError", str(exc), {"fatal": True}) from exc
        except UsageError as exc:
            raise OperationError("TypeError", str(exc), {}) from exc

    return perform


def _hook(hook: Hook) -> dict[str, object]:
    return {
        "runId": hook.run_id,
        "hookId": hook.id,
        "token": hook.token,
        "isWebhook": hook.is_webhook,
        "createdAt": round(hook.created_at.timestamp() * 1000),
        "metadata": encode(hook.metadata, where="metadata"),
    }


def _chunk(value: object) -> list[object]:
    return [0, value] if type(value) is bytes else [1, encode(value, where="chunk")]


def _text(value: object, most: int = 1000) -> str:
    if type(value) is not str or not value or len(value) > most:
        raise ProtocolError(f"the step guest names {value!r:.80}, which is no name")
    return value


def _bytes(value: object) -> bytes:
    if type(value) is not bytes:
        raise ProtocolError("the step guest passes a payload that is none")
    return value
