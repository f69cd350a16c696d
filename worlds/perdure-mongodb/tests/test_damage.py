"""Damaged bytes are named, whatever document they are in. No server is asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from bson import ObjectId

from perdure.errors import WorldContractError
from perdure_mongodb._schema import event_of
from perdure_mongodb._stream_documents import copied_stream, written_chunks
from perdure_mongodb._values import Values
from tests.damage import DAMAGE

N = ObjectId()
EVENT = {"_id": {"n": N, "p": 1}, "key": "k", "type": "run_started", "at_ms": 1}
WRITE = {
    "_id": {"n": N, "name": "s", "o": 0},
    "base": 0,
    "closed": False,
    "end": 1,
    "writer": "w",
    "attempt": 1,
    "sequence": 0,
}
READERS: dict[str, Callable[[bytes], object]] = {
    "facts": lambda data: event_of({**EVENT, "facts": data}, Values()),
    "a page of a stream": lambda data: written_chunks({**WRITE, "data": data}, Values()),
    "a stream": lambda data: copied_stream("s", [{**WRITE, "data": data}], Values()),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("reader", READERS)
def test_damaged_bytes_are_named(reader: str, damage: str) -> None:
    with pytest.raises(WorldContractError, match="cannot be read"):
        READERS[reader](DAMAGE[damage])


def test_another_kind_of_event_is_named_too() -> None:
    with pytest.raises(WorldContractError, match="cannot be read"):
        event_of({**EVENT, "type": "run_teleported"}, Values())
