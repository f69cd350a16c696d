"""Frames: the messages between host and guest, as bytes. See docs/protocol.md.

Pure. Payloads inside frames stay opaque bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any, cast

import cbor2

from .._model.commands import (
    Abort,
    Answer,
    AskHook,
    AwaitAbort,
    CancelRun,
    Command,
    Completed,
    DeliveryOutput,
    DisposeHook,
    Failed,
    Interrupted,
    OpenHook,
    Outcome,
    SetAttributes,
    StartChild,
    StartWait,
    WatchRun,
)
from .._model.constructors import make_answer, make_output, make_schedule_step
from .._model.ids import EntityId
from .._value_class import constructor, value_class
from ..errors import ProtocolError
from .decoding import decode_frame

__all__ = (
    "BUILTIN_STEPS",
    "LARGE_BYTES",
    "GuestDelivery",
    "Limits",
    "StartFrame",
    "decode_answer",
    "decode_result",
    "encode_evaluate",
    "encode_resume",
    "encode_start",
    "imported_steps",
    "make_delivery",
    "workflow_part",
)

# Of what the guest may say: it keeps to these, so more is a guest that is not ours.
MAX_NUMBER = 2**53 - 1
_INTS, _LISTS = {int}, {list}  # types: in one comparison each
MAX_TIME_MS = 8_640_000_000_000_000  # the last moment that a Date can be
MAX_ID = 40
MAX_NAME = 1000  # of a step
MAX_POSITION = 300
MAX_TOKEN = 500
MAX_ATTRIBUTE = 16_384
MAX_RUN_ID = 200
MAX_ENTRY = 2000
MAX_LINE = 65_537
CONSOLE_LEVELS = frozenset({"debug", "info", "warn", "error"})


LARGE_BYTES = 64 << 10  # a frame so long takes milliseconds to decode


@value_class
class Limits:
    """The most that one run may use; 0 is no limit. Past one of them the run fails.

    Args:
        instructions: of the engine, for each delivery, in its own ticks.
        heap_bytes: memory for the workflow's values.
        payload_bytes: one value that crosses: arguments, a step's arguments or result, the result.
    """

    instructions: int = 2_000_000_000
    heap_bytes: int = 256 << 20
    payload_bytes: int = 8 << 20


@value_class
class StartFrame:
    """The delivery of ``run_created``."""

    run_id: str
    workflow: str
    seed: bytes
    at_ms: int
    input: bytes
    limits: Limits = field(default_factory=Limits)
    url: str = ""  # the public base URL that was recorded at the start; "": none
    hook: str | None = None  # the token of a keyed start, which hook_0 holds
    entry: str = ""  # "module.ts#export" of a child; empty: the bundle's own


@value_class
class GuestDelivery:
    """One event, as the guest is told it."""

    position: int
    at_ms: int
    kind: str
    id: str
    value: bytes | None


make_delivery = constructor(GuestDelivery)


BUILTIN_STEPS = frozenset({"step//workflow//fetch"})  # that each workflow may call


def imported_steps(bundle: bytes) -> frozenset[str]:
    """The ids of the steps that a bundle may call: those it imports, and its own."""
    fields = cbor2.loads(bundle)
    tables: dict[str, dict[str, str]] = fields["steps"]
    imported = frozenset(step for table in tables.values() for step in table.values())
    return imported.union(fields.get("js_steps", ()), BUILTIN_STEPS)


def workflow_part(bundle: bytes) -> bytes:
    """A bundle as workflow guests take it: without the form of its modules for steps."""
    if b"step_modules" not in bundle:
        return bundle
    fields = cbor2.loads(bundle)
    fields.pop("step_modules", None)
    part: bytes = cbor2.dumps(fields, canonical=True)
    return part


def encode_start(frame: StartFrame) -> bytes:
    """The start frame's bytes."""
    limits = frame.limits
    data: bytes = cbor2.dumps(
        {
            "run_id": frame.run_id,
            "workflow": frame.workflow,
            "seed": frame.seed,
            "at_ms": frame.at_ms,
            "position": 1,
            "input": frame.input,
            "url": frame.url,
            "hook": frame.hook,
            "entry": frame.entry,
            "limits": {
                "instructions": limits.instructions,
                "heap_bytes": limits.heap_bytes,
                "payload_bytes": limits.payload_bytes,
            },
        }
    )
    return data


def encode_resume(deliveries: Sequence[GuestDelivery]) -> bytes:
    """The resume frame's bytes."""
    data: bytes = cbor2.dumps([[d.position, d.at_ms, d.kind, d.id, d.value] for d in deliveries])
    return data


def encode_evaluate(source: str) -> bytes:
    """The evaluate frame's bytes."""
    data: bytes = cbor2.dumps({"source": source})
    return data


def decode_answer(data: bytes) -> Answer:
    """The guest's answer to start or resume; each field has the type and size that docs/protocol.md
    says.

    Raises:
        ProtocolError: it is not one; says which field.
    """
    try:
        turns, consumed, outcome, unhandled, instructions, heap_bytes, clock_ms, waiting = _load(
            data
        )
        if {type(turns), type(unhandled)} != _LISTS:
            _check_lists(turns, unhandled)
        counts = consumed, instructions, heap_bytes, clock_ms, waiting
        if not ({*map(type, counts)} == _INTS and min(counts) >= 0 and max(counts) <= MAX_NUMBER):
            _check_counts(*counts)  # says which
        return make_answer(
            turns=tuple([_turn(*turn) for turn in turns]),
            consumed=consumed,
            outcome=None if outcome is None else _outcome(*outcome),
            unhandled=tuple([_bytes(reason) for reason in unhandled]) if unhandled else (),
            instructions=instructions,
            heap_bytes=heap_bytes,
            clock_ms=clock_ms,
            open=waiting,
        )
    except (TypeError, ValueError) as exc:
        raise ProtocolError(f"the guest's answer is malformed: {exc}") from exc


def decode_result(data: bytes) -> tuple[bool, bytes]:
    """The answer to load or evaluate: whether it worked, and the value or error payload.

    Raises:
        ProtocolError: it is not one.
    """
    frame = _load(data)
    match frame:
        case {"ok": True, "value": bytes(value)}:
            return True, value
        case {"ok": True} if len(frame) == 1:
            return True, b""
        case {"ok": False, "error": bytes(error)}:
            return False, error
        case _:
            raise ProtocolError("the guest's answer is malformed: it is no result")


def _load(data: bytes) -> Any:
    try:
        # A large one in pieces: cbor2 keeps the interpreter while it reads one.
        return cbor2.loads(data) if len(data) < LARGE_BYTES else decode_frame(data)
    except Exception as exc:  # tags bring in parsers with errors of their own
        raise ProtocolError(f"the guest's answer is not valid CBOR: {exc!r}") from exc


# --- fields: of just this type, since True is an int and a tag may be anything --------------------


def _wrong(what: str, value: object) -> TypeError:
    return TypeError(f"{what} is {str(value)[:80]!r}, a {type(value).__name__}")


def _check_lists(*values: object) -> None:
    for value in values:
        if type(value) is not list:
            raise _wrong("a list", value)


def _bytes(value: object) -> bytes:
    if type(value) is not bytes:
        raise _wrong("a payload", value)
    return value


def _check_counts(*values: Any) -> None:
    for value in values:
        if type(value) is not int or not 0 <= value <= MAX_NUMBER:
            raise _wrong("a number", value)


def _text(what: str, value: object, limit: int) -> str:
    if type(value) is not str or len(value) > limit:
        raise _wrong(what, value)
    return value


def _id(kind: str, value: object) -> EntityId:
    if type(value) is not str or not value.startswith(kind) or not value[len(kind) :].isdecimal():
        raise _wrong("an id", value)
    if len(value) > MAX_ID:
        raise _wrong("an id", value)
    return EntityId(value)


def _turn(position: Any, commands: Any, console: Any) -> DeliveryOutput:
    if type(position) is not int or not 0 <= position <= MAX_NUMBER:
        raise _wrong("a number", position)
    if {type(commands), type(console)} != _LISTS:
        _check_lists(commands, console)
    return make_output(
        position=position,
        commands=tuple([_command(*command) for command in commands]),
        console=tuple([_line(*line) for line in console]) if console else (),
    )


def _line(level: object, text: object) -> tuple[str, str]:
    if level not in CONSOLE_LEVELS:
        raise _wrong("a console level", level)
    return str(level), _text("a console line", text, MAX_LINE)


def _outcome(kind: object, *payload: object) -> Outcome:
    if kind == "interrupted" and not payload:
        return Interrupted()
    if len(payload) == 1 and type(payload[0]) is bytes:
        if kind == "completed":
            return Completed(payload[0])
        if kind == "failed":
            return Failed(payload[0])
    raise _wrong("an outcome", kind)


def _command(kind: object, *fields: object) -> Command:
    build = _COMMANDS.get(kind) if type(kind) is str else None
    if build is None:
        raise _wrong("a command", kind)
    return build(*fields)


def _schedule_step(entity: object, step: object, args: object, at: object) -> Command:
    # Most answers have one of these: what a call of ``_text`` and the like would check, is here.
    if type(step) is not str or len(step) > MAX_NAME:
        raise _wrong("a step", step)
    if type(args) is not bytes:
        raise _wrong("a payload", args)
    if type(at) is not str or len(at) > MAX_POSITION:
        raise _wrong("a position", at)
    return make_schedule_step(id=_id("step_", entity), step=step, args=args, at=at)


def _start_wait(entity: object, resume_at_ms: Any, at: object) -> Command:
    _check_counts(resume_at_ms)
    if resume_at_ms > MAX_TIME_MS:
        raise _wrong("a time", resume_at_ms)
    return StartWait(
        id=_id("wait_", entity),
        resume_at_ms=resume_at_ms,
        at=_text("a position", at, MAX_POSITION),
    )


def _open_hook(
    entity: object,
    token: object,
    metadata: object,
    webhook: object,
    keep_ms: Any,
    force: object,
    at: object,
) -> Command:
    if type(webhook) is not bool:
        raise _wrong("webhook", webhook)
    if type(force) is not bool:
        raise _wrong("force", force)
    if not token:
        raise _wrong("a token", token)
    _check_counts(keep_ms)
    if keep_ms > MAX_TIME_MS:
        raise _wrong("a time", keep_ms)
    return OpenHook(
        id=_id("hook_", entity),
        token=_text("a token", token, MAX_TOKEN),
        metadata=None if metadata is None else _bytes(metadata),
        webhook=webhook,
        at=_text("a position", at, MAX_POSITION),
        keep_ms=keep_ms,
        force=force,
    )


def _ask_hook(entity: object) -> Command:
    return AskHook(id=_id("hook_", entity))


def _abort(entity: object, reason: object) -> Command:
    return Abort(id=_id("abort_", entity), reason=_bytes(reason))


def _await_abort(entity: object, at: object) -> Command:
    return AwaitAbort(id=_id("abort_", entity), at=_text("a position", at, MAX_POSITION))


def _dispose_hook(entity: object) -> Command:
    return DisposeHook(id=_id("hook_", entity))


def _start_child(
    entity: object,
    entry: object,
    name: object,
    args: object,
    attributes: object,
    token: object,
    run_id: object,
    asks: object,
    at: object,
) -> Command:
    if type(attributes) is not dict:
        raise _wrong("attributes", attributes)
    if token == "":
        raise _wrong("a token", token)
    if not name:
        raise _wrong("a name", name)
    if "#" not in _text("an entry", entry, MAX_ENTRY):
        raise _wrong("an entry", entry)
    if type(asks) is not bool:
        raise _wrong("asks", asks)
    entries = cast("dict[object, object]", attributes)
    return StartChild(
        id=_id("child_", entity),
        entry=cast("str", entry),
        name=_text("a name", name, MAX_NAME),
        input=_bytes(args),
        attributes={
            _text("an attribute's name", key, MAX_ATTRIBUTE): _text(
                "an attribute", value, MAX_ATTRIBUTE
            )
            for key, value in entries.items()
        },
        token=None if token is None else _text("a token", token, MAX_TOKEN),
        run_id=_run_id(run_id),
        asks=asks,
        at=_text("a position", at, MAX_POSITION),
    )


def _watch_run(entity: object, run_id: object, at: object) -> Command:
    return WatchRun(
        id=_id("watch_", entity), run_id=_run_id(run_id), at=_text("a position", at, MAX_POSITION)
    )


def _cancel_run(
    entity: object,
    run_id: object,
    reason: object,
    graceful_ms: Any,
    children: object,
    at: object,
) -> Command:
    if type(children) is not bool:
        raise _wrong("children", children)
    if graceful_ms is not None:
        _check_counts(graceful_ms)
        if graceful_ms > MAX_TIME_MS:
            raise _wrong("a time", graceful_ms)
    return CancelRun(
        id=_id("cancel_", entity),
        run_id=_run_id(run_id),
        reason=None if reason is None else _bytes(reason),
        graceful_ms=graceful_ms,
        children=children,
        at=_text("a position", at, MAX_POSITION),
    )


def _run_id(value: object) -> str:
    if not value:
        raise _wrong("a run id", value)
    return _text("a run id", value, MAX_RUN_ID)


def _set_attributes(entity: object, changes: object, at: object) -> Command:
    if type(changes) is not dict:
        raise _wrong("attributes", changes)
    entries = cast("dict[object, object]", changes)
    return SetAttributes(
        id=_id("attributes_", entity),
        changes={
            _text("an attribute's name", key, MAX_ATTRIBUTE): (
                None if value is None else _text("an attribute", value, MAX_ATTRIBUTE)
            )
            for key, value in entries.items()
        },
        at=_text("a position", at, MAX_POSITION),
    )


_COMMANDS: dict[str, Callable[..., Command]] = {
    "step": _schedule_step,
    "wait": _start_wait,
    "hook": _open_hook,
    "ask": _ask_hook,
    "dispose": _dispose_hook,
    "abort": _abort,
    "listen": _await_abort,
    "attributes": _set_attributes,
    "start": _start_child,
    "watch": _watch_run,
    "cancel": _cancel_run,
}
