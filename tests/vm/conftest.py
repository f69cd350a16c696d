"""Guests for the VM's tests: one engine, baselines by source text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

import pytest

from perdure._model.commands import Answer, ScheduleStep
from perdure._protocol.codec import decode, encode
from perdure._protocol.frames import GuestDelivery, Limits
from perdure._vm.guest import default_engine
from perdure._vm.image import Baseline
from perdure._vm.instance import Instance
from tests.guests import AT_MS, start_frame

RunOf: TypeAlias = "Callable[[str], Run]"
ValueOf: TypeAlias = "Callable[[Answer], object]"
STEPS = {"python:steps": {"work": "steps:work"}}


def bundle_of(source: str) -> bytes:
    """The bundle of a workflow module."""
    bundle = {
        "format": 1,
        "entry": "w.ts",
        "export": "w",
        "name": "w",
        "modules": {"w.ts": source},
        "steps": STEPS,
    }
    return encode(bundle, where="bundle")


@cache
def _build(source: str) -> Baseline:
    return Baseline.build(default_engine(), bundle_of(source))


@dataclass
class Run:
    """A run of one workflow, driven by hand."""

    baseline: Baseline
    guest: Instance
    position: int = 1
    answers: list[Answer] = field(default_factory=list[Answer])

    def start(self, *arguments: object, limits: Limits | None = None) -> Answer:
        """Deliver ``run_created``."""
        answer = self.guest.start(start_frame(*arguments, limits=limits))
        self.answers.append(answer)
        return answer

    def next_delivery(self, value: object = None) -> GuestDelivery:
        """The completion of the next step in order."""
        self.position += 1
        return GuestDelivery(
            position=self.position,
            at_ms=AT_MS + self.position,
            kind="step_completed",
            id=f"step_{self.position - 1}",
            value=encode(value, where="result"),
        )

    def complete(self, value: object = None) -> Answer:
        """Complete the next step."""
        answer = self.guest.resume([self.next_delivery(value)])
        self.answers.append(answer)
        return answer

    def step_of(self, answer: Answer) -> ScheduleStep:
        """The one command of an answer, which must be a step."""
        (command,) = answer.turns[0].commands
        assert isinstance(command, ScheduleStep), answer
        return command

    def thawed(self, *deltas: bytes) -> Run:
        """The same run on a guest thawed from *deltas*."""
        return Run(self.baseline, self.baseline.thaw(deltas), self.position)


def listed(value: Any) -> list[Any]:
    """A value that is an array, for its parts."""
    parts: list[Any] = value
    assert type(parts) is list, value
    return parts


@pytest.fixture(scope="module")
def run_of(request: pytest.FixtureRequest) -> RunOf:
    """Makes a run of a workflow module's source."""

    def make(source: str) -> Run:
        baseline = _build(source)
        run = Run(baseline, baseline.instantiate())
        request.addfinalizer(run.guest.close)
        return run

    return make


@pytest.fixture(scope="module")
def value_of() -> ValueOf:
    """The value a run completed with."""

    def read(answer: Answer) -> object:
        payload = getattr(answer.outcome, "value", None)
        assert isinstance(payload, bytes), answer
        return decode(payload)

    return read
