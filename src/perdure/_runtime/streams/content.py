"""Content: a value as a chunk has it."""

from __future__ import annotations

from typing import cast

from ..._protocol.chunks import BYTES, VALUE
from ..._protocol.codec import encode_scalar
from ...errors import ValueNotCarriableError
from ..payloads import MAX_BYTES

__all__ = ("quick_content",)


def quick_content(value: object, name: str) -> tuple[int, bytes | None]:
    """The kind of a value's chunk, and its content if that takes no time; else it is a payload.

    Args:
        name: the stream's.

    Raises:
        ValueNotCarriableError: it is too large.
    """
    if not isinstance(value, bytes | bytearray | memoryview):
        return VALUE, encode_scalar(value)
    data = bytes(cast("bytes", value))
    if len(data) > MAX_BYTES:
        raise ValueNotCarriableError(
            f"a chunk of {name}",
            f"it has {len(data):,} bytes, and at most {MAX_BYTES:,} are one chunk; write several",
        )
    return BYTES, data
