"""Chunks of streams: each kind comes back, and what is none is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from perdure._protocol.chunks import (
    BYTES,
    REWIND,
    VALUE,
    Chunk,
    chunk_head,
    parse_chunk,
    rewind_content,
)
from perdure.errors import WorldContractError
from perdure.values import Rewind


@given(
    kind=st.sampled_from([BYTES, VALUE, REWIND]),
    writer=st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
    content=st.binary(max_size=50),
)
def test_a_chunk_comes_back(kind: int, writer: str, content: bytes) -> None:
    assert parse_chunk(chunk_head(kind, writer) + content) == Chunk(kind, writer, content)


def test_a_rewind_comes_back() -> None:
    rewind = Rewind(attempt=3, void=((0, 2), (5, 6)))
    chunk = parse_chunk(chunk_head(REWIND, "step_1") + rewind_content(rewind))
    assert chunk.rewind() == rewind
    assert rewind.index == 0


@given(data=st.binary(max_size=12))
def test_other_bytes_are_a_chunk_or_refused_by_name(data: bytes) -> None:
    try:
        chunk = parse_chunk(data)
        assert chunk_head(chunk.kind, chunk.writer) + chunk.content == data
        chunk.rewind()
    except WorldContractError:
        pass


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"\x01", b"\x82\x01\x80", b"\x82\x01\x81\x81\x01", b"\xa0"],
)
def test_a_rewind_that_is_none_is_refused(content: bytes) -> None:
    with pytest.raises(WorldContractError, match="chunk cannot be read"):
        Chunk(REWIND, "w", content).rewind()


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\1", b"\3\0\0", b"\0\0\1\xff"])
def test_what_is_no_chunk_is_refused(data: bytes) -> None:
    with pytest.raises(WorldContractError, match="chunk cannot be read"):
        parse_chunk(data)


def test_a_writer_s_name_has_a_limit() -> None:
    with pytest.raises(ValueError, match="too long"):
        chunk_head(BYTES, "w" * 70_000)
