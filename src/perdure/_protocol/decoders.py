"""Decoders: for each tag that the protocol names, how its content becomes a Python value.

Pure. cbor2 has decoders of its own for some two dozen tags; none of them is reached but the two
that keep the identity of shared objects. A content of another type than docs/protocol.md says is
refused before anything is made of it.
"""

# A codec takes and gives values of any type, so parts of what isinstance finds stay unknown:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, final

import cbor2

from ..errors import GuestError, ProtocolError, UsageError
from ..values import (
    UNDEFINED,
    AbortController,
    AbortSignal,
    ArrayBuffer,
    ClassRef,
    DataView,
    Instance,
    RegExp,
    RunRef,
    StepRef,
    Stream,
    TypedArray,
    Url,
)
from .fetch import FETCH_DECODERS
from .tags import FINE_SECONDS, ITEM_BYTES, Tag

__all__ = ("PLAIN", "SHARED", "SHARED_AS_LISTS", "Unfit")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_COLLISIONS = 1000  # of the hashes of a set's items; integers make as many as they like


class Unfit(Exception):
    """This payload needs other decoders. Never leaves ``decoding``."""


@final
class _Decoders(dict[int, Any]):
    """Decoders by tag; a tag that is not here is refused, not left to cbor2.

    Args:
        sharing: whether cbor2's own decoders of shared objects may run.
    """

    def __init__(self, decoders: Mapping[int, Any], *, sharing: bool) -> None:
        super().__init__(decoders)
        self._sharing = sharing

    def __missing__(self, tag: int) -> NoReturn:
        if tag in (Tag.SHAREABLE, Tag.REFERENCE):
            if self._sharing:
                raise KeyError(tag)  # cbor2 takes its own
            raise Unfit
        raise ProtocolError(f"a payload has tag {tag}, which means nothing here")


def _shared(
    make: Callable[[], Any],
    fill: Callable[[Any, Any], Any],
    key_form: Callable[[Any], Any] | None = None,
) -> Any:
    """A decoder whose object exists before its content is read, so the content may refer to it.

    Args:
        key_form: makes the hashable form that stands as a key; None if the object is hashable.
    """

    @cbor2.shareable_decoder(name="value", immutable=False)
    def start(immutable: bool) -> tuple[Any, Callable[[Any], Any]]:
        shell = make()
        if immutable and key_form is not None:
            return shell, key_form
        return shell, lambda value: fill(shell, value)

    return start


def _refuse(kind: str) -> NoReturn:
    raise ProtocolError(f"a payload has a malformed {kind}")


def _fill_dict(shell: dict[Any, Any], value: Any) -> Any:
    if not isinstance(value, dict):
        _refuse("Map")
    shell.update(value)
    return shell


def _frozen_dict(value: Any) -> Any:
    return value if isinstance(value, cbor2.frozendict) else _refuse("Map")


def _has_form(value: list[Any] | tuple[Any, ...]) -> bool:
    """Whether a set keeps all of these apart, in bounded time."""
    hashes = len(set(map(hash, value)))  # of integers of 61 bits at most, which do not collide
    return hashes > len(value) - _MAX_COLLISIONS


def _fill_set(shell: set[Any], value: Any) -> Any:
    if not isinstance(value, list):
        _refuse("Set")
    try:
        if _has_form(value):
            shell.update(value)
    except TypeError:  # an item is unhashable in Python
        shell.clear()
    return shell if len(shell) == len(value) else list(value)


def _fill_shared_set(shell: set[Any], value: Any) -> Any:
    # What refers to the Set has the shell already, so another object must not take its place.
    if _fill_set(shell, value) is not shell:
        raise Unfit
    return shell


def _fill_list(shell: list[Any], value: Any) -> Any:
    if not isinstance(value, list):
        _refuse("Set")
    shell.extend(value)
    return shell


def _frozen_set(value: Any) -> Any:
    if not isinstance(value, tuple):
        _refuse("Set")
    items = frozenset(value) if _has_form(value) else ()
    return items if len(items) == len(value) else value


def _fill_error(shell: GuestError, value: Any) -> GuestError:
    if not isinstance(value, Mapping):
        _refuse("error")
    # The name is always there. Of the rest older guests passed on what libraries had put there.
    errors, props = value.get("errors"), value.get("props")
    filled = GuestError(
        name=_text(value.get("name"), "error"),
        message=_text_or_empty(value.get("message")),
        stack=_text_or_empty(value.get("stack")),
        cause=value.get("cause"),
        errors=errors if isinstance(errors, list | tuple) else (),
        fatal=value.get("fatal") is True,
        props=dict(props) if isinstance(props, Mapping) else None,
        instance=_class(value["class"], True) if "class" in value else None,
    )
    shell.__dict__.update(filled.__dict__)
    shell.args = filled.args
    return shell


def _instant(value: Any, immutable: bool) -> datetime | float:
    if type(value) not in (int, float):
        _refuse("date")
    try:
        if abs(value) < FINE_SECONDS:
            return _EPOCH + timedelta(seconds=value)
        return _EPOCH + timedelta(milliseconds=round(value * 1000))
    except (OverflowError, ValueError):
        return math.nan  # JavaScript's calendar reaches further than Python's.


def _fine_instant(value: Any, immutable: bool) -> datetime | float:
    if not isinstance(value, list | tuple) or [type(part) for part in value] != [int, int]:
        _refuse("date")
    ms, past = value
    if not 0 <= past < 1000:
        _refuse("date")
    try:
        return _EPOCH + timedelta(milliseconds=ms, microseconds=past)
    except OverflowError:
        return math.nan


def _bigint(value: Any, immutable: bool) -> int:
    return int.from_bytes(_bytes(value, "BigInt"), "big")


def _negative(value: Any, immutable: bool) -> int:
    return -1 - _bigint(value, immutable)


def _bytes(value: Any, kind: str) -> bytes:
    return value if type(value) is bytes else _refuse(kind)


def _text(value: Any, kind: str) -> str:
    return value if type(value) is str else _refuse(kind)


def _text_or_empty(value: Any) -> str:
    return value if type(value) is str else ""


def _regexp(value: Any, immutable: bool) -> RegExp:
    if not isinstance(value, list | tuple) or len(value) != 2:
        _refuse("regular expression")
    source, flags = value
    return RegExp(_text(source, "regular expression"), _text(flags, "regular expression"))


def _step(value: Any, immutable: bool) -> StepRef:
    if not isinstance(value, Mapping) or not {"id"} <= value.keys() <= {"id", "closure", "this"}:
        _refuse("step reference")
    id_, closure = _text(value["id"], "step reference"), value.get("closure")
    if closure is not None and not isinstance(closure, list | tuple):
        _refuse("step reference")
    values = None if closure is None else tuple(map(_present, closure))
    return StepRef(id_, values, _present(value.get("this", UNDEFINED)))


def _present(value: Any) -> Any:
    return UNDEFINED if value is cbor2.undefined else value


def _class(value: Any, immutable: bool) -> Instance | ClassRef:
    if not isinstance(value, list | tuple) or len(value) not in {1, 2}:
        _refuse("class")
    id_ = _text(value[0], "class")
    return ClassRef(id_) if len(value) == 1 else Instance(id_, _present(value[1]))


def _run(value: Any, immutable: bool) -> RunRef:
    if not isinstance(value, list | tuple) or len(value) != 1:
        _refuse("run")
    return RunRef(_text(value[0], "run"))


def _stream(value: Any, immutable: bool) -> Stream:
    if not isinstance(value, list | tuple) or len(value) != 2:
        _refuse("stream")
    run_id, name = value
    return Stream(_text(run_id, "stream"), _text(name, "stream"))


def _abort(value: Any, immutable: bool) -> AbortSignal | AbortController:
    kinds = [str, str, bool, bool]
    if not isinstance(value, list | tuple) or [type(part) for part in value[:-1]] != kinds:
        _refuse("AbortSignal")
    run_id, entity, is_controller, is_aborted, reason = value
    if not entity:
        _refuse("AbortSignal")
    if reason is cbor2.undefined:
        reason = UNDEFINED
    make = AbortController if is_controller else AbortSignal
    try:
        return make(run_id, entity, aborted=is_aborted, reason=reason)
    except UsageError:  # of no run, and not of ours
        _refuse("AbortSignal")


def _typed(tag: int) -> Callable[[Any, bool], TypedArray]:
    size = ITEM_BYTES[tag]

    def decode(value: Any, immutable: bool) -> TypedArray:
        if len(_bytes(value, "typed array")) % size:
            _refuse("typed array")
        return TypedArray(tag, value)

    return decode


def _passed_on(tag: int) -> Callable[[Any, bool], cbor2.CBORTag]:
    return lambda value, immutable: cbor2.CBORTag(tag, value)


def _thrown() -> GuestError:
    return GuestError(name="Error", message="")


_ALL: dict[int, Any] = {
    Tag.EPOCH: _instant,
    Tag.INSTANT: _fine_instant,
    Tag.BIGINT: _bigint,
    Tag.NEGATIVE_BIGINT: _negative,
    Tag.MAP: _shared(dict, _fill_dict, _frozen_dict),
    Tag.SET: _shared(set, _fill_set, _frozen_set),
    Tag.ERROR: _shared(_thrown, _fill_error),
    Tag.REGEXP: _regexp,
    Tag.URI: lambda value, immutable: Url(_text(value, "URL")),
    Tag.BUFFER: lambda value, immutable: ArrayBuffer(_bytes(value, "ArrayBuffer")),
    Tag.VIEW: lambda value, immutable: DataView(_bytes(value, "DataView")),
    Tag.STEP: _step,
    **FETCH_DECODERS,
    Tag.ABORT: _abort,
    Tag.STREAM: _stream,
    Tag.RUN: _run,
    Tag.CLASS: _class,
    **{tag: _passed_on(tag) for tag in (Tag.WORKFLOW, Tag.HOOK)},
    **{tag: _typed(tag) for tag in ITEM_BYTES},
}

# For most payloads, in which keys are text; others are surveyed first.
PLAIN = _Decoders(_ALL, sharing=False)
SHARED = _Decoders(
    _ALL | {Tag.SET: _shared(set, _fill_shared_set, _frozen_set)},
    sharing=True,
)
# For those in which a shared Set may have items that Python's cannot.
SHARED_AS_LISTS = _Decoders(
    _ALL | {Tag.SET: _shared(list, _fill_list, _frozen_set)},
    sharing=True,
)
