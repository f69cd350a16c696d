"""Programs that do with hooks what workflows do, and hosts that answer them in any order.

A seed makes one program and one interleaving of its deliveries. All that was sent must come to the
program once, and in order where the program itself keeps an order.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeAlias

from perdure._model.commands import Answer, Completed, OpenHook, ScheduleStep, StartWait
from perdure._protocol.codec import decode, encode
from perdure._protocol.frames import GuestDelivery
from perdure._vm.image import take_image
from tests.vm.conftest import Run

Tree: TypeAlias = "list[object]"
SOURCE = (Path(__file__).parent / "hook_programs.js").read_text()
# Those that lead to whoever awaits them, and those that take their payload themselves.
PLAIN = ("hook", "next", "kept", "then", "promise", "executor")
TAKING = ("noted", "callback")
MOST_ACTIONS = 40


@dataclass
class Program:
    """A program, and what may be said of it."""

    hooks: int
    fibers: list[list[dict[str, object]]]
    kinds: set[str]

    @property
    def keeps_order(self) -> bool:
        """Whether it notes the payloads of a hook in the order in which it gets them."""
        return len(self.fibers) == 1 and not self.kinds & {"kept", "all", "settled"}


class _Maker:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.hooks = random.randint(1, 3)
        self.kinds: set[str] = set()

    def _kind(self, *kinds: str) -> str:
        kind = self.random.choice(kinds)
        self.kinds.add(kind)
        return kind

    def hook(self) -> Tree:
        return [self._kind("hook", "hook", *PLAIN, *TAKING), self.random.randrange(self.hooks)]

    def rival(self) -> Tree:
        kind = self._kind("sleep", "sleep", "step", "fails")
        if kind == "sleep":
            return ["sleep", self.random.randint(0, 50)]
        return ["step", kind]

    def branch(self, depth: int) -> Tree:
        deeper = ("race", "any", "direct", "handed") if depth else ()
        match self._kind("hook", "hook", "hook", "rival", "rival", *deeper):
            case "hook":
                return self.hook()
            case "rival":
                return self.rival()
            case "direct" | "handed" as kind:
                return [kind, self.branch(depth - 1)]
            case kind:
                return [kind, *(self.branch(depth - 1) for _ in range(self.random.randint(1, 3)))]

    def tree(self) -> Tree:
        match self._kind("race", "race", "race", "any", "branch", "finally", "all", "settled"):
            case "race" | "any" as kind:
                return [kind, self.hook(), *(self.branch(2) for _ in range(2))]
            case "branch":
                return self.branch(2)
            case "finally":
                return ["finally", self.branch(1)]
            case kind:  # what fails takes along what others got
                rivals: list[Tree] = [["sleep", 5], ["step", "step"], self.hook()]
                return [kind, self.hook(), *self.random.sample(rivals, 2)]

    def statement(self) -> dict[str, object]:
        if self._kind("await", "await", "await", "loop") == "loop":
            return {"kind": "loop", "tree": self.random.randrange(self.hooks), "times": 1}
        return {"kind": "await", "tree": self.tree(), "times": self.random.randint(1, 4)}


def make_program(random: Random) -> Program:
    """A program that ends once each of its hooks got the last of its payloads."""
    maker = _Maker(random)
    fibers = [
        [maker.statement() for _ in range(random.randint(1, 4))]
        for _ in range(random.choice((1, 1, 2)))
    ]
    return Program(hooks=maker.hooks, fibers=fibers, kinds=maker.kinds)


@dataclass
class Host:
    """The host of one run: it settles what is open in an order that it draws."""

    run: Run
    random: Random
    position: int = 1
    now_ms: int = 1_700_000_000_000
    steps: dict[str, str] = field(default_factory=dict[str, str])
    waits: list[str] = field(default_factory=list[str])
    hooks: list[str] = field(default_factory=list[str])
    sent: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    deliveries: list[GuestDelivery] = field(default_factory=list[GuestDelivery])
    answers: list[object] = field(default_factory=list[object])
    program: dict[str, object] = field(default_factory=dict[str, object])
    outcome: object = None

    def play(self, program: Program) -> list[tuple[int, int]]:
        """The payloads that the program says it got, in its order."""
        self.program = {"hooks": program.hooks, "fibers": program.fibers}
        self._note(self.run.start(self.program))
        for _ in range(self.random.randint(0, MOST_ACTIONS)):
            if self.outcome is None:
                self._act()
        for _ in range(500):
            if self.outcome is not None:
                break
            self._settle_all()
        assert isinstance(self.outcome, Completed), (program, self.outcome)
        return [(hook, number) for hook, number in decode(self.outcome.value)]

    def _note(self, answer: Answer) -> None:
        self.outcome = answer.outcome
        for turn in answer.turns:
            self.answers.append(turn)
            for command in turn.commands:
                match command:
                    case ScheduleStep(id=name, args=args):
                        self.steps[name] = decode(args)[0]
                    case StartWait(id=name):
                        self.waits.append(name)
                    case OpenHook(id=name):
                        self.hooks.append(name)
                    case _:
                        raise AssertionError(command)

    def _tell(self, kind: str, name: str, value: object) -> None:
        self.position += 1
        self.now_ms += 7
        delivery = GuestDelivery(
            position=self.position,
            at_ms=self.now_ms,
            kind=kind,
            id=name,
            value=encode(value, where="value"),
        )
        self.deliveries.append(delivery)
        self._note(self.run.guest.resume([delivery]))

    def _act(self) -> None:
        choices = ["payload"] * 2 + ["step"] * bool(self.steps) + ["wait"] * bool(self.waits)
        match self.random.choice(choices):
            case "payload":
                self._send(self.random.randrange(len(self.hooks)))
            case "step":
                self._end_step(self.random.choice(list(self.steps)))
            case _:
                self._tell("wait_completed", self.waits.pop(0), None)

    def _send(self, hook: int) -> None:
        number = len(self.sent)
        self.sent.append((hook, number))
        payload = {"payload": {"hook": hook, "number": number}}
        self._tell("hook_received", self.hooks[hook], payload)

    def _end_step(self, name: str) -> None:
        may_fail = self.steps.pop(name) == "fails"
        if may_fail and self.random.random() < 0.5:
            self._tell("step_failed", name, "failed")
        else:
            self._tell("step_completed", name, 1)

    def _settle_all(self) -> None:
        for name in list(self.steps):
            if self.outcome is None:
                self._end_step(name)
        while self.waits and self.outcome is None:
            self._tell("wait_completed", self.waits.pop(0), None)
        for name in self.hooks:
            if self.outcome is None:
                self._tell("hook_received", name, {"payload": {"last": True}})


def check(run_of_program: Run, seed: int) -> Host:
    """Play the program of *seed* and compare what came with what was sent."""
    random = Random(seed)
    program = make_program(random)
    host = Host(run_of_program, random)
    got = host.play(program)
    assert Counter(got) == Counter(host.sent), (seed, program, got, host.sent)
    if program.keeps_order:
        for hook in range(program.hooks):
            numbers = [number for of, number in got if of == hook]
            assert numbers == sorted(numbers), (seed, program, got)
    return host


def image_of(run: Run) -> bytes:
    """The digest of the guest's memory."""
    return take_image(run.guest).digest()
