"""Cancel: runs that are named, or those that filters choose, after their count was confirmed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

import typer

from .._duration import duration_of
from .._model.runs import RunStatus
from .._protocol.json_values import Json
from .._runtime.cancellation import CancelResult, cancel_runs, live_runs
from .._runtime.inspect.inspection import record_json
from .._runtime.run import get_run
from .._value_class import value_class
from ..errors import UsageError
from ..worlds import open_world
from ._arguments import AttributesOption, JsonOption, WorldOption, near, parse_attributes
from ._errors import FAILED, run_async
from ._output import counted, print_json, say, show

__all__ = ("cancel",)

_NAMED = 5  # runs that the question names


class Children(StrEnum):
    """Whether the runs that a run started are cancelled with it."""

    CANCEL = "cancel"
    LEAVE = "leave"


def cancel(
    run_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", help="Ids of runs.")
    ] = None,
    status: Annotated[RunStatus | None, typer.Option(help="Those: running or pending.")] = None,
    workflow: Annotated[str | None, typer.Option(help="Those of this workflow.")] = None,
    attribute: AttributesOption = None,
    limit: Annotated[int, typer.Option(help="At most so many, the newest.")] = 50,
    reason: Annotated[str | None, typer.Option(help="Kept with the run.")] = None,
    graceful: Annotated[
        str | None,
        typer.Option(metavar="TIME", help='To clean up in, such as 30s or "5 minutes".'),
    ] = None,
    children: Annotated[
        Children, typer.Option(help="The runs that each has started, and theirs.")
    ] = Children.LEAVE,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    world: WorldOption = None,
    as_json_: JsonOption = False,
) -> None:
    """End runs as cancelled: those that are named, or those that go on and match.

    With --graceful each has that time to clean up, and is cancelled after it at the latest.
    """
    how = _How(reason, _span(graceful), children.value)
    is_choice = not (status is None and workflow is None and not attribute)
    if is_choice == bool(run_ids):
        _refuse("name runs, or choose them by --status, --workflow or --attribute")
    if run_ids is not None and len(run_ids) == 1:
        _cancel_one(run_ids[0], how, world, as_json_=as_json_)
        return

    async def choose() -> list[str]:
        async with open_world(world) as opened:
            return await live_runs(
                opened,
                status=status,
                workflow=workflow,
                attributes=parse_attributes(attribute),
                limit=limit,
            )

    ids = run_ids or run_async(choose)
    if is_choice and not yes and ids:
        _confirm(ids)
    _cancel_many(ids, how, world, as_json_=as_json_)


def _refuse(text: str) -> None:
    async def main() -> None:
        raise UsageError(text)

    run_async(main)


@value_class(kw_only=False)
class _How:
    """How runs are cancelled."""

    reason: str | None
    graceful: timedelta | None
    children: Literal["cancel", "leave"]

    @property
    def done(self) -> str:
        """The word for a run that is."""
        return "cancelled" if self.graceful is None else "asked to end:"


def _span(text: str | None) -> timedelta | None:
    if text is None:
        return None
    span = duration_of(text)
    if span is None or span < timedelta(0):
        _refuse(f'--graceful={text!r}: it is a time such as 30s, "5 minutes" or 1h30m')
    return span


def _cancel_one(run_id: str, how: _How, world: str | None, *, as_json_: bool) -> None:
    async def main() -> None:
        async with open_world(world) as opened, near(opened):
            await get_run(run_id, opened).cancel(
                how.reason, graceful=how.graceful, children=how.children
            )
            record = await get_run(run_id, opened).info()
        if as_json_:
            print_json(record_json(record))
        else:
            show(f"{how.done} {run_id}")

    run_async(main)


def _confirm(ids: Sequence[str]) -> None:
    """Go on only if the user says so."""
    more = f" and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else ""
    say(f"{counted(len(ids), 'run')} to cancel: {', '.join(ids[:_NAMED])}{more}")
    if not _is_terminal():
        _refuse("nobody is there to confirm that; add --yes")
    typer.confirm("Cancel them?", abort=True, err=True)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _cancel_many(ids: Sequence[str], how: _How, world: str | None, *, as_json_: bool) -> None:
    async def main() -> tuple[CancelResult, ...]:
        async with open_world(world) as opened:
            return await cancel_runs(
                ids,
                reason=how.reason,
                graceful=how.graceful,
                children=how.children,
                world=opened,
            )

    results = run_async(main)
    if as_json_:
        print_json([_json(result) for result in results])
    else:
        for result in results:
            show(f"{how.done} {result.run_id}" if result.is_cancelled else f"{result.error}")
        count = sum(result.is_cancelled for result in results)
        say(f"{counted(count, 'run')} {how.done.rstrip(':')}")
    if not all(result.is_cancelled for result in results):
        raise typer.Exit(FAILED)


def _json(result: CancelResult) -> Json:
    return {
        "id": result.run_id,
        "cancelled": result.is_cancelled,
        "error": None if result.error is None else str(result.error),
    }
