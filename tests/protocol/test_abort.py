# ruff: noqa: E501  # one row a line
"""Signals and controllers on the wire, and the command that aborts one."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest

from perdure._model.commands import Abort
from perdure._protocol.codec import decode, encode
from perdure._protocol.frames import decode_answer
from perdure._protocol.tags import Tag
from perdure.errors import ProtocolError, ValueNotCarriableError
from perdure.values import UNDEFINED, AbortController, AbortSignal


@pytest.mark.parametrize("kind", [AbortSignal, AbortController])
def test_a_handle_comes_back(kind: type[AbortSignal | AbortController]) -> None:
    handle = kind("run_1", f"abort_{kind.__name__}")
    back = decode(encode([handle, {"a": handle}], where="value"))
    assert back == [handle, {"a": handle}]
    assert type(back[0]) is kind


@pytest.mark.parametrize("reason", ["text", {"a": [1]}, None, UNDEFINED])
def test_the_reason_crosses_with_it(reason: object) -> None:
    signal = AbortSignal("run_2", f"abort_{reason!r}", aborted=True, reason=reason)
    content: Any = cbor2.loads(encode(signal, where="value"))
    assert list(content.value)[:4] == ["run_2", f"abort_{reason!r}", False, True]
    assert decode(encode(signal, where="value")).reason == reason
    data = cbor2.dumps(
        cbor2.CBORTag(Tag.ABORT, ["run_2", f"a {reason!r}", True, True, cbor2.undefined])
    )
    assert decode(data).signal.reason is UNDEFINED


def test_a_reason_that_cannot_cross_is_refused_by_its_path() -> None:
    signal = AbortSignal("run_3", "abort_1", aborted=True, reason=object())
    with pytest.raises(ValueNotCarriableError, match=r"value\[4\]"):
        encode(signal, where="value")


@pytest.mark.parametrize(
    "content",
    [[], ["r", "a", False], ["r", "a", 0, False, None], [1, "a", False, False, None], ["r", b"", False, False, None], {"a": 1}],
    ids=repr,
)  # fmt: skip
def test_another_content_is_refused(content: object) -> None:
    with pytest.raises(ProtocolError, match="malformed AbortSignal"):
        decode(cbor2.dumps(cbor2.CBORTag(Tag.ABORT, content)))


def test_the_guests_command_is_read() -> None:
    turn: list[Any] = [1, [["abort", "abort_5", b"\xf6"]], []]
    answer = decode_answer(encode([[turn], 1, None, [], 0, 0, 0, 1], where="answer"))
    assert answer.turns[0].commands == (Abort(id="abort_5", reason=b"\xf6"),)  # type: ignore[arg-type]  # a text is an id
    turn[1][0][1] = "hook_5"
    with pytest.raises(ProtocolError):
        decode_answer(encode([[turn], 1, None, [], 0, 0, 0, 1], where="answer"))
