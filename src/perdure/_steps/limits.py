"""Limits: the most that one execution of a JavaScript step may use."""

from __future__ import annotations

from .._value_class import value_class

__all__ = ("StepLimits",)


@value_class
class StepLimits:
    """The most that one execution of a JavaScript step may use. Past one of them it fails.

    Args:
        instructions: of the engine, for the whole execution, in its own ticks.
        heap_bytes: memory for the step's values.
        payload_bytes: one value that crosses: arguments, the result, a chunk of a stream.
        seconds: of the clock, waiting included.
        turn_seconds: of the clock, between two waits.
        output_bytes: what it writes to the console.
        operations: requests and the like that are under way at a time.
        guests: executions at a time in this worker; more wait for their turn.
        guest_bytes: memory of them all together; while it is used up, more wait for their turn.
    """

    instructions: int = 20_000_000_000
    heap_bytes: int = 256 << 20
    payload_bytes: int = 8 << 20
    seconds: float = 3600.0
    turn_seconds: float = 30.0
    output_bytes: int = 8 << 20
    operations: int = 256
    guests: int = 2000
    guest_bytes: int = 1 << 30
