"""Tags: the CBOR tag numbers of docs/protocol.md."""

from __future__ import annotations

from typing import Final

__all__ = ("FINE_SECONDS", "ITEM_BYTES", "TYPED_ARRAYS", "Tag")

FINE_SECONDS: Final = 2**33
"""From this time on (the year 2242) a float of seconds does not tell microseconds apart."""


class Tag:
    """Tag numbers by the kind of value that they mark."""

    EPOCH: Final = 1
    BIGINT: Final = 2
    NEGATIVE_BIGINT: Final = 3
    SHAREABLE: Final = 28
    REFERENCE: Final = 29
    URI: Final = 32
    SET: Final = 258
    MAP: Final = 259
    REGEXP: Final = 21066
    ERROR: Final = 1347571201
    BUFFER: Final = 1347571202
    CLASS: Final = 1347571203
    STEP: Final = 1347571204
    WORKFLOW: Final = 1347571205
    STREAM: Final = 1347571206
    HOOK: Final = 1347571207
    VIEW: Final = 1347571208
    INSTANT: Final = 1347571209
    HEADERS: Final = 1347571210
    REQUEST: Final = 1347571211
    RESPONSE: Final = 1347571212
    ABORT: Final = 1347571213
    RUN: Final = 1347571214


# RFC 8746, little-endian: tag -> type code of Python's array module, where it has one.
TYPED_ARRAYS: Final[dict[int, str | None]] = {
    64: None,  # a Uint8Array crosses as a byte string; 64 is accepted
    68: None,  # clamped
    69: "H",
    70: "I",
    71: "Q",
    72: "b",
    77: "h",
    78: "i",
    79: "q",
    84: None,  # float16
    85: "f",
    86: "d",
}
ITEM_BYTES: Final[dict[int, int]] = {
    **dict.fromkeys((64, 68, 72), 1),
    **dict.fromkeys((69, 77, 84), 2),
    **dict.fromkeys((70, 78, 85), 4),
    **dict.fromkeys((71, 79, 86), 8),
}
