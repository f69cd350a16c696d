"""Chunks: how what is written to a stream lies in a world, and who wrote it.

Pure. A chunk is one byte for its kind, two for the length of its writer's name, the name, and the
content: bytes as they are, the payload of a value, or a rewind: the attempt, and ranges of indexes.
"""

from __future__ import annotations

from typing import Final, cast, final

import cbor2

from .._core.plain import load_plain
from .._value_class import value_class
from ..errors import WorldContractError
from ..values import Rewind

__all__ = ("BYTES", "REWIND", "VALUE", "Chunk", "chunk_head", "parse_chunk", "rewind_content")

BYTES: Final = 0
VALUE: Final = 1
REWIND: Final = 2
_MAX_NAME = 0xFFFF


@final
@value_class(kw_only=False)
class Chunk:
    """One that was read."""

    kind: int
    writer: str
    content: bytes

    def rewind(self) -> Rewind:
        """The rewind that it is.

        Raises:
            WorldContractError: it is damaged.
        """
        try:
            attempt, void = cast("tuple[int, list[list[int]]]", load_plain(self.content, depth=3))
            ranges = tuple((int(first), int(end)) for first, end in void)
            if not ranges:
                raise ValueError("it names no chunk")
            return Rewind(attempt=int(attempt), void=ranges)
        except (TypeError, ValueError) as exc:
            raise _damaged(type(exc).__name__) from exc


def chunk_head(kind: int, writer: str) -> bytes:
    """What a writer's chunks of a kind begin with."""
    name = writer.encode()
    if len(name) > _MAX_NAME:
        raise ValueError("a writer's name is too long")
    return bytes((kind, *len(name).to_bytes(2, "big"))) + name


def rewind_content(rewind: Rewind) -> bytes:
    """The content of a chunk that is a rewind."""
    data: bytes = cbor2.dumps([rewind.attempt, [list(span) for span in rewind.void]])
    return data


def parse_chunk(data: bytes) -> Chunk:
    """A chunk that a world keeps.

    Raises:
        WorldContractError: it is damaged, of a later version, or no chunk of this runtime's.
    """
    end = 3 + int.from_bytes(data[1:3], "big")
    if len(data) < end or data[0] > REWIND:
        raise _damaged("its beginning")
    try:
        writer = data[3:end].decode()
    except UnicodeDecodeError as exc:
        raise _damaged("its writer") from exc
    return Chunk(data[0], writer, data[end:])


def _damaged(part: str) -> WorldContractError:
    return WorldContractError(
        f"a stream's chunk cannot be read ({part}): the store is damaged, a later version of"
        " perdure has written to it, or another program has"
    )
