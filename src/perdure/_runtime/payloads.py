"""Payloads: values and errors on their way to a workflow, no larger than one can be told."""

from __future__ import annotations

from .._protocol.codec import encode, encode_error
from .._protocol.frames import Limits
from ..errors import GuestError, ValueNotCarriableError

__all__ = ("MAX_BYTES", "encode_failure", "encode_payload")

MAX_BYTES = Limits().payload_bytes
_SHOWN = 10_000  # characters of a message that is too long


def encode_payload(value: object, *, where: str) -> bytes:
    """The payload of a value.

    Raises:
        ValueNotCarriableError: it has no form in JavaScript, or is too large; names its path.
    """
    data = encode(value, where=where)
    if len(data) > MAX_BYTES:
        raise ValueNotCarriableError(
            where,
            f"it takes {len(data):,} bytes, and at most {MAX_BYTES:,} can cross; "
            "keep it elsewhere and pass a reference",
        )
    return data


def encode_failure(error: BaseException) -> bytes:
    """The payload of an error; one that is too large is cut."""
    data = encode_error(error)
    if len(data) <= MAX_BYTES:
        return data
    text = f"{str(error)[:_SHOWN]}… (cut: the error took {len(data):,} bytes)"
    fatal = getattr(error, "fatal", False) is True
    return encode_error(GuestError(name=type(error).__name__, message=text, fatal=fatal))
