"""The due index is never late: whatever writers and tidiers do in whatever order."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from perdure_s3._index import GUARD_MS, Item, View, due_of, tidied

KINDS = ("", "topic")
COVERS = st.dictionaries(st.sampled_from(KINDS), st.integers(0, 5))
NOW = 1_000


@dataclass
class Writer:
    """A process about to replace the head it has read."""

    base: View
    made: View


@dataclass
class Store:
    """One run's head and its entry."""

    head: View = field(default_factory=lambda: View("life", 0, {}))
    items: tuple[Item, ...] = ()


class IndexMachine(RuleBasedStateMachine):
    """Writers arm, then write; tidiers read a head, and tidy by it some time later."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.writers: list[Writer] = []
        self.seen: list[View] = []

    @rule(cover=COVERS)
    def begin_to_write(self, cover: dict[str, int]) -> None:
        head = self.store.head
        made = View(head.birth, head.seq + 1, cover)
        if any(kind not in head.dues or at < head.dues[kind] for kind, at in cover.items()):
            items = tidied(self.store.items, head, now_ms=NOW)
            self.store.items = (*items, Item(made.birth, made.seq, NOW, made.dues))
        self.writers.append(Writer(head, made))

    @rule(data=st.data())
    def land(self, data: st.DataObject) -> None:
        if self.writers:
            writer = self.writers.pop(data.draw(st.integers(0, len(self.writers) - 1)))
            if writer.base is self.store.head:  # else the condition does not hold
                self.store.head = writer.made

    @rule()
    def read_the_head(self) -> None:
        self.seen.append(self.store.head)

    @rule(data=st.data(), forget=st.booleans())
    def tidy(self, data: st.DataObject, forget: bool) -> None:
        if self.seen:
            at = data.draw(st.integers(0, len(self.seen) - 1))
            view = self.seen.pop(at) if forget else self.seen[at]
            self.store.items = tidied(self.store.items, view, now_ms=NOW)

    @invariant()
    def is_never_late(self) -> None:
        dues = due_of(self.store.items)
        for kind, at in self.store.head.dues.items():
            assert kind in dues
            assert dues[kind] <= at


TestIndex = IndexMachine.TestCase


def test_a_write_under_way_is_waited_for_and_a_dead_one_given_up() -> None:
    items = (Item("life", 3, NOW, {"": 1}),)
    before = View("life", 2, {})
    assert tidied(items, before, now_ms=NOW + GUARD_MS - 1) == items
    assert tidied(items, before, now_ms=NOW + GUARD_MS) == ()
    assert tidied(items, View("life", 3, {}), now_ms=NOW) == ()
    assert tidied((), View("life", 3, {"": 1}), now_ms=NOW) == ()  # nobody asked for it


def test_another_life_of_the_run_says_nothing_of_this_one() -> None:
    items = (Item("second", 1, NOW, {"": 1}),)
    ended = View("first", 9, {})
    assert tidied(items, ended, now_ms=NOW) == items
