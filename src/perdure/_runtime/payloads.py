"""Payloads: values and errors on their way to a workflow, no larger than one can be told.

A small value is encoded and decoded where it is, a large one in a thread: the event loop is there
for other runs meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from .._protocol.codec import decode, encode, encode_error
from .._protocol.frames import Limits
from .._protocol.show import show
from .._protocol.weight import SMALL_BYTES, is_small, parts_of_text
from .._vm.interval import short_interval
from ..errors import GuestError, ValueNotCarriableError
from .returns import Returns

__all__ = (
    "MAX_BYTES",
    "decode_aside",
    "decode_here",
    "do_aside",
    "encode_aside",
    "encode_failure",
    "encode_here",
    "encode_payload",
    "text_of",
)

T = TypeVar("T")
MAX_BYTES = Limits().payload_bytes
_SHOWN = 10_000  # characters of a message that is too long
_MAX_THREADS = 2  # more would only take the interpreter from each other and from the loop
_threads: anyio.lowlevel.RunVar[anyio.CapacityLimiter] = anyio.lowlevel.RunVar("perdure_payloads")


def encode_payload(value: object, *, where: str, returns: Returns | None = None) -> bytes:
    """The payload of a value.

    Args:
        returns: the annotation of the step whose result it is.

    Raises:
        ValueNotCarriableError: it has no form in JavaScript, or is too large; names its path.
    """
    encoder = encode if returns is None else returns.encode
    data = encoder(value, where=where)
    if len(data) > MAX_BYTES:
        raise ValueNotCarriableError(
            where,
            f"it takes {len(data):,} bytes, and at most {MAX_BYTES:,} can cross; "
            "keep it elsewhere and pass a reference",
        )
    return data


async def encode_aside(value: object, *, where: str, returns: Returns | None = None) -> bytes:
    """The payload of a value, which nobody must write to until this returns.

    Args:
        returns: as of ``encode_payload``.

    Raises:
        ValueNotCarriableError: as ``encode_payload``.
    """
    if is_small(value):
        return encode_payload(value, where=where, returns=returns)
    return await do_aside(partial(encode_payload, value, where=where, returns=returns))


async def decode_aside(data: bytes, use: Callable[[list[object]], T]) -> T:
    """The result of *use* for a payload's value; for a large one it is called in a thread.

    Raises:
        ProtocolError: as ``decode``.
        ValueNotCarriableError: as ``decode``.
    """
    if len(data) <= SMALL_BYTES:
        return use(decode(data))
    return await do_aside(lambda: use(decode(data)))


def encode_here(value: object, *, where: str, returns: Returns) -> bytes:
    """As ``encode_aside``, for a caller that is in a thread of its own."""
    if is_small(value):
        return encode_payload(value, where=where, returns=returns)
    return _give_way(partial(encode_payload, value, where=where, returns=returns))


def decode_here(data: bytes, use: Callable[[list[object]], T]) -> T:
    """As ``decode_aside``, for a caller that is in a thread of its own."""
    return use(decode(data)) if len(data) <= SMALL_BYTES else _give_way(lambda: use(decode(data)))


async def do_aside(work: Callable[[], T]) -> T:
    """Do long work of the processor in one of a few threads kept for that."""
    try:
        threads = _threads.get()
    except LookupError:
        threads = anyio.CapacityLimiter(_MAX_THREADS)
        _threads.set(threads)
    return await anyio.to_thread.run_sync(_give_way, work, limiter=threads)


def _give_way(work: Callable[[], T]) -> T:
    with short_interval():
        return work()


def encode_failure(error: BaseException, *, now_ms: int | None = None) -> bytes:
    """The payload of an error; one that is too large is cut.

    Args:
        now_ms: when it was raised, from which a ``RetryableError`` counts its wait.
    """
    if not is_small(error):
        return _cut(error, "it has many parts")
    length = _own_length(error)
    if length > MAX_BYTES:
        return _cut(error, f"it has {length:,} characters")
    data = encode_error(error, now_ms=now_ms)
    return data if len(data) <= MAX_BYTES else _cut(error, f"the error took {len(data):,} bytes")


def text_of(error: BaseException) -> str:
    """An error's text, no more of it than people read; "" if it has none."""
    text = _text_of(error)
    if len(text) <= _SHOWN:
        return text
    return f"{text[:_SHOWN]}… (cut: it has {len(text):,} characters)"


def _text_of(error: BaseException) -> str:
    # Python writes out all that it was raised with, which takes for ever if that unfolds.
    parts = parts_of_text(error)
    is_copied = len(parts) == 1 and isinstance(error.args[0], str)
    text = str(error) if is_copied or is_small(parts) else show(parts)
    return str.__getitem__(text, slice(None))  # it may be of a class of its own


def _own_length(error: BaseException) -> int:
    """How long the text is that the error's own class makes: none of its parts tell."""
    if parts_of_text(error):
        return 0
    try:
        return len(_text_of(error))
    except BaseException:  # of a user's class; it is shown without a text
        return 0


def _cut(error: BaseException, reason: str) -> bytes:
    beginning = _text_of(error)[:_SHOWN]
    fatal = getattr(error, "fatal", False) is True
    text = f"{beginning}… (cut: {reason})"
    return encode_error(GuestError(name=type(error).__name__, message=text, fatal=fatal))
