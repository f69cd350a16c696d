"""Forms: what is read is what was written, of the declared type, or an error; never code."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType, TypeAlias

import cbor2
import hypothesis.strategies as st
import pytest
from hypothesis import given

from perdure._protocol.forms import dump_form, load_form
from perdure.errors import UsageError, WorldContractError
from perdure.model import (
    Committed,
    EntityId,
    Event,
    EventType,
    HookRecord,
    Lease,
    LoggedEvent,
    Message,
    RunId,
    RunRecord,
    RunStatus,
    Snapshot,
)
from perdure.worldkit.files import dump_values, load_values
from perdure.worldkit.pure import Book, Mailbox, QueuedMessage, StreamLog

Name = NewType("Name", str)
Fact: TypeAlias = "str | int | bool | None"


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Leaf:
    name: Name
    size: float = 0.5


@dataclass
class Tree:
    leaves: list[Leaf]
    colour: Colour
    facts: Mapping[str, Fact] = field(default_factory=dict[str, Fact])
    counts: MutableMapping[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])
    branches: tuple[Tree, ...] = ()
    pair: tuple[str, Leaf] | None = None
    data: bytes = b""
    best: Colour | None = None
    flags: list[bool] = field(default_factory=list[bool])


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
INTS = st.integers(-(2**63), 2**63 - 1)
LEAVES = st.builds(Leaf, TEXTS.map(Name), st.floats(allow_nan=False))
FACTS = st.none() | st.booleans() | INTS | TEXTS
TREES = st.recursive(
    st.builds(
        Tree,
        st.lists(LEAVES, max_size=2),
        st.sampled_from(Colour),
        facts=st.dictionaries(TEXTS, FACTS, max_size=3),
        counts=st.dictionaries(st.tuples(TEXTS, INTS), INTS, max_size=2),
        pair=st.none() | st.tuples(TEXTS, LEAVES),
        data=st.binary(max_size=9),
        best=st.none() | st.sampled_from(Colour),
        flags=st.lists(st.booleans(), max_size=2),
    ),
    lambda inner: st.builds(
        Tree,
        st.just([]),
        st.sampled_from(Colour),
        branches=st.lists(inner, max_size=2).map(tuple),
    ),
    max_leaves=4,
)


@given(TREES)
def test_a_value_comes_back_with_every_type(tree: Tree) -> None:
    again = load_values(dump_values(tree), Tree)
    assert again == tree
    assert repr(again) == repr(tree)  # True is not 1


def test_a_run_comes_back_whole() -> None:
    run_id = RunId("run_a")
    lease = Lease(item="run_a/step_1", token="t", is_wake=False, expires_at_ms=9)
    event = Event(
        type=EventType.STEP_CREATED,
        key="step_1/created",
        at_ms=3,
        entity=EntityId("step_1"),
        payload=b"\x80",
        facts={"step": "m:f", "attempt": 1, "webhook": False, "none": None},
    )
    message = Message(message_id="run_a/step_1", run_id=run_id, topic="q/m:f", body=b"b")
    book = Book(
        record=RunRecord(
            run_id=run_id,
            workflow="w",
            bundle="b",  # type: ignore[arg-type] # a digest is a text
            engine="e",  # type: ignore[arg-type]  # a text will do
            status=RunStatus.RUNNING,
            turn=1,
            position=2,
            consumed=1,
            log_digest=b"d",
            created_at_ms=1,
            attributes={"a": "b"},
        ),
        wake=Mailbox(due_ms=None, generation=3),
        messages={message.message_id: QueuedMessage(message=message, due_ms=1, lease=lease)},
        input_digest=b"i",
        positions={event.key: 2},
        written=[LoggedEvent(position=2, event=event)],
        snapshots=[Snapshot(turn=1, parent_turn=None, consumed=1, data=b"s")],
        hooks={
            "t": HookRecord(
                run_id=run_id,
                hook_id=EntityId("hook_2"),
                token="t",
                metadata=None,
                is_webhook=True,
                created_at_ms=3,
            )
        },
        last_commit=("c", Committed(turn=1, position=2, first_position=2, leases=(lease,))),
    )
    again = load_values(dump_values(book), Book)
    assert again == book
    assert again.written[0].event.type is EventType.STEP_CREATED
    log = StreamLog(chunks=[b"a", b""], closed=True, writes={("w", 1, 1): 2}, latest={"w": 1})
    assert load_values(dump_values(log), StreamLog) == log


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("it ran",)


SOUND = dump_values(
    Tree([Leaf(Name("a"))], Colour.RED, counts={("a", 1): 2}, pair=("b", Leaf(Name("c"))))
)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        pickle.dumps(Evil()),
        SOUND[:-1],
        SOUND[1:],
        cbor2.dumps({"leaves": []}),
        cbor2.dumps("text"),
        cbor2.dumps(cbor2.CBORTag(35, "(a+)+$")),
        b"\x81" * 200 + b"\x80",
    ],
)
def test_what_is_damaged_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(WorldContractError, match="what is stored as Tree is damaged") as caught:
        load_values(data, Tree)
    assert len(str(caught.value)) < 400


def changed(index: int, value: object) -> bytes:
    fields = cbor2.loads(SOUND)
    fields[index] = value
    data: bytes = cbor2.dumps(fields)
    return data


WRONG: list[tuple[int, Any]] = [
    (0, None),
    (0, [["a"]]),
    (0, [["a", 0.5, 1]]),
    (0, [["a", 1]]),
    (0, [[1, 0.5]]),
    (1, "green"),
    (1, 7),
    (2, ["a", b"bytes"]),
    (2, ["a"]),
    (2, ["a", 1, "a", 2]),
    (2, [["a"], 1]),
    (2, {"a": 1}),
    (3, [["a", True], 1]),
    (3, [["a", 1], 2**63]),
    (3, [["a"], 1]),
    (4, [[]]),
    (5, ["a"]),
    (5, "a"),
    (6, "text"),
    (7, ""),
    (8, [1]),
]


@pytest.mark.parametrize(("index", "value"), WRONG)
def test_each_field_has_the_type_it_is_declared_with(index: int, value: object) -> None:
    with pytest.raises(WorldContractError):
        load_values(changed(index, value), Tree)


VALUES = st.recursive(
    st.none() | st.booleans() | INTS | st.floats() | TEXTS | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=6,
)


@given(st.integers(0, 8), VALUES)
def test_whatever_stands_in_a_field_it_is_of_its_type_or_refused(index: int, value: object) -> None:
    try:
        tree = load_values(changed(index, value), Tree)
    except WorldContractError:
        return
    assert load_values(dump_values(tree), Tree) == tree or "nan" in repr(tree)


@given(st.binary(max_size=40) | st.binary(max_size=4).map(lambda end: SOUND[:-4] + end))
def test_any_other_bytes_are_refused_or_of_the_type(data: bytes) -> None:
    try:
        tree = load_values(data, Tree)
    except WorldContractError:
        return
    assert type(tree) is Tree


@pytest.mark.parametrize(
    "value",
    [
        Leaf(7),  # type: ignore[arg-type]  # wrong on purpose
        Leaf(Name("a"), size=1),
        Leaf(Name("a"), size="x"),  # type: ignore[arg-type]  # likewise
        Tree([], "red"),  # type: ignore[arg-type]  # likewise
        Tree([], Colour.RED, counts={("a", 1): 2**63}),
        Tree([], Colour.RED, counts={("a", 1): True}),
        Tree([], Colour.RED, facts={"a": 0.5}),  # type: ignore[dict-item]  # likewise
        Tree([], Colour.RED, pair=("a",)),  # type: ignore[arg-type]  # likewise
        Tree([], Colour.RED, facts=[]),  # type: ignore[arg-type]  # likewise
        Tree([object()], Colour.RED),  # type: ignore[list-item]  # likewise
    ],
)
def test_what_is_not_as_declared_is_not_written(value: object) -> None:
    with pytest.raises(UsageError, match="is not as it is declared"):
        dump_values(value)


def test_a_text_may_be_an_enumeration_s() -> None:
    assert load_values(dump_values(Leaf(Name(Colour.RED))), Leaf) == Leaf(Name("red"))


@dataclass
class Unclear:
    either: Leaf | Tree


@dataclass
class Anything:
    value: Any


@pytest.mark.parametrize("kind", [Unclear, Anything, list[Any], set[int], object, dict])
def test_a_type_that_does_not_say_all_has_no_form(kind: Any) -> None:
    values = {Unclear: Unclear(Leaf(Name("a"))), Anything: Anything([1])}
    with pytest.raises(UsageError, match=r"no form|which it is"):
        load_form(cbor2.dumps([[1]]), kind)
    with pytest.raises(UsageError, match=r"no form|which it is"):
        dump_form(values.get(kind, [1]), kind)
