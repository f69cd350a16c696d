"""Mail: a run's log as it is written, and all that it has for other runs, or they for it.

Pure. A letter lies with the run from the write of the turn that causes it until it is there; see
``outbox``. Bringing one has an answer, which ``settle`` takes in with the letter's removal, in one
write.
"""

from __future__ import annotations

from collections.abc import Collection, MutableMapping
from dataclasses import dataclass, field, replace
from typing import TypeVar, assert_never

from .._model.children import ChildStart, Watch, Watcher
from .._model.commit import Append, TurnCommit
from .._model.events import Event, LoggedEvent
from .._model.ids import EntityId, RunId
from .._model.runs import RunRecord
from .children import end_of_run, fenced_notice
from .claims import Claims
from .outbox import Letter

__all__ = ("Mail",)

T = TypeVar("T", bound=Letter)


@dataclass(slots=True, kw_only=True)
class Mail(Claims):
    """A run, its claims, its log and its letters."""

    record: RunRecord  # replaced here, so declared here again
    positions: MutableMapping[str, int] = field(default_factory=dict[str, int])  # by event key
    written: list[LoggedEvent] = field(default_factory=list[LoggedEvent])  # since it was read
    starts: list[ChildStart] = field(default_factory=list[ChildStart])  # runs to create
    watches: list[Watch] = field(default_factory=list[Watch])  # runs to watch
    outbox: list[Append] = field(default_factory=list[Append])  # events for others
    watchers: list[Watcher] = field(default_factory=list[Watcher])  # to be told the run's end
    watching: dict[EntityId, RunId] = field(default_factory=dict[EntityId, RunId])

    @property
    def letters(self) -> tuple[Letter, ...]:
        """All that is for other runs, in order: a run is there before it is watched."""
        return (*self.starts, *self.watches, *self.outbox)

    @property
    def family(self) -> tuple[RunId, ...]:
        """The runs that this one waits for, and those that wait for it."""
        others = [*self.watching.values(), *(watcher.run_id for watcher in self.watchers)]
        return tuple(dict.fromkeys(others))

    def watch(self, watcher: Watcher, *, now_ms: int) -> Event | None:
        """Have another run told this one's end. Returns the event if that has come."""
        if self.record.status.is_ended:
            return end_of_run(watcher.entity, self.record, now_ms=now_ms)
        if watcher not in self.watchers:
            self.watchers = [*self.watchers, watcher]
        return None

    def drop_watchers(self, dead: Collection[Watcher]) -> None:
        """Forget these, who wait no more: see ``is_watching``."""
        if dead:
            self.watchers = [watcher for watcher in self.watchers if watcher not in dead]

    def settle(self, letter: Letter, answer: Event | None, *, now_ms: int) -> None:
        """Forget a letter that was brought, and take its answer in; the second time do nothing."""
        if not self._forget(letter):
            return
        if answer is None or self.record.status.is_ended:
            return
        if answer.entity is not None:
            self.watching.pop(answer.entity, None)
        if self._write(answer):
            self.arm(now_ms)

    def _forget(self, letter: Letter) -> bool:
        """Forget a letter; only those of its kind are looked at. Returns whether it was there."""
        count = len(self.starts) + len(self.watches) + len(self.outbox)
        match letter:
            case ChildStart():
                self.starts = _without(self.starts, letter)
            case Watch():
                self.watches = _without(self.watches, letter)
            case Append():
                self.outbox = _without(self.outbox, letter)
            case _:
                assert_never(letter)
        return len(self.starts) + len(self.watches) + len(self.outbox) < count

    def _post_children(self, commit: TurnCommit) -> None:
        """Have the runs that a turn starts created, then those watched that it waits for."""
        self.starts = [*self.starts, *commit.starts]
        if commit.outcome is None:
            self.watches = [*self.watches, *commit.watches]
            self.watching |= {watch.entity: watch.run_id for watch in commit.watches}

    def _post_cancel(self, event: Event) -> None:
        """Have the runs that this one started told that it was cancelled: a letter to itself."""
        self.outbox = [*self.outbox, Append(run_id=self.record.run_id, event=event)]

    def _post_end(self, now_ms: int) -> None:
        """Have the watchers told, now that the run has ended; it waits for nobody any more."""
        if self.watchers:
            ends = [fenced_notice(one, self.record, now_ms=now_ms) for one in self.watchers]
            self.outbox, self.watchers = [*self.outbox, *ends], []
        self.watches, self.watching = [], {}

    def _write(self, event: Event) -> bool:
        if event.key in self.positions:
            return False
        position = self.record.position + 1
        self.positions[event.key] = position
        self.written.append(LoggedEvent(position=position, event=event))
        self.record = replace(self.record, position=position)
        return True


def _without(letters: list[T], letter: Letter) -> list[T]:
    """The letters but for the first that is like this one; the same list if there is none."""
    for at, other in enumerate(letters):  # mostly at once: they are brought in order
        if other is letter or other == letter:
            return [*letters[:at], *letters[at + 1 :]]
    return letters
