"""What the tests of this world write."""

from __future__ import annotations

from perdure.model import Digest, NewRun, RunId

__all__ = ("new_run",)


def new_run(name: str, *, now_ms: int = 1) -> NewRun:
    return NewRun(
        run_id=RunId(name),
        workflow="flow",
        bundle=Digest("b"),
        engine=Digest("e"),
        input=b"\x80",
        created_at_ms=now_ms,
    )
