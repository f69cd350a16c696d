"""Inspect: one run as its log tells it, for people and scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, TypeAlias, cast

import typer

from .._protocol.json_values import Json
from .._runtime.inspect.hints import why_waiting
from .._runtime.inspect.inspection import inspect_run
from ..errors import UsageError
from ..worlds import open_world
from ._arguments import JsonOption, RunArgument, WorldOption, near
from ._errors import run_async
from ._output import (
    LONGEST_CELL,
    counted,
    cut,
    print_json,
    show,
    show_table,
    shown_status,
    to_second,
)

__all__ = ("error_line", "inspect")

EVENTS_SHOWN = 100
_LONGEST_ARGUMENTS = 200  # in a table that has other columns; --json has them whole
_FAILURES = ("step_failed", "step_retrying", "run_failed", "run_cancelled")
Table: TypeAlias = "tuple[tuple[str, ...], list[list[str]]]"


def inspect(
    run_id: RunArgument,
    events: Annotated[
        int | None,
        typer.Option(
            metavar="N", help=f"Only the last N events; default: {EVENTS_SHOWN}, with --json all."
        ),
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only steps that failed or retry, and their events.")
    ] = False,
    world: WorldOption = None,
    as_json_: JsonOption = False,
) -> None:
    """Show a run: steps with arguments and errors, waits, hooks, streams, events, snapshot."""

    async def main() -> None:
        if events is not None and events < 0:
            raise UsageError(f"--events is at least 0, not {events}")
        async with open_world(world) as opened, near(opened):
            inspection = await inspect_run(opened, run_id)
            waiting = await why_waiting(opened, inspection.record)
            fields = inspection.as_json() | {"waiting": waiting or None}
        if failed:
            _keep_failures(fields)
        left_out = _keep_last(fields, events if as_json_ or events is not None else EVENTS_SHOWN)
        if as_json_:
            print_json(fields)
        else:
            _print(fields, left_out)

    run_async(main)


def _keep_failures(fields: Json) -> None:
    fields["steps"] = [step for step in fields["steps"] if _has_failed(step)]
    fields["events"] = [event for event in fields["events"] if event["type"] in _FAILURES]
    for name in ("waits", "hooks", "children", "watches", "aborts", "streams"):
        fields[name] = []


def _has_failed(step: Json) -> bool:
    return step["status"] == "failed" or step["error"] is not None


def _keep_last(fields: Json, limit: int | None) -> int:
    """Keep so many events. Returns how many were left out."""
    events = fields["events"]
    left_out = 0 if limit is None else max(0, len(events) - limit)
    fields["events"] = events[left_out:]
    return left_out


def _print(fields: Json, left_out: int) -> None:
    head = fields["run"]
    show(
        "  ".join(
            [cut(part, LONGEST_CELL) for part in (head["id"], head["workflow"], shown_status(head))]
        )
    )
    if head["moved_to"] is not None:
        to, arrived = head["moved_to"], head["status"] == "moved"
        show(f"moved to: {to}")
        if not arrived:
            show(f"not known to have arrived: perdure move {head['id']} --to {to}")
    if head["cancel_at"] is not None and head["ended_at"] is None:
        show(f"asked to end: it is cancelled at {to_second(head['cancel_at'])}")
    if head["attributes"]:
        pairs = [f"{name}={text}" for name, text in sorted(head["attributes"].items())]
        show(cut(f"attributes: {', '.join(pairs)}", LONGEST_CELL))
    if fields["waiting"]:
        show(f"waiting: {fields['waiting']}")
    if head["output"] is not None:
        show(f"output: {head['output']}")
    if head["error"] is not None:
        show(f"error: {_whole_error(head['error'])}")
    _print_tables(_entities(fields))
    for step in fields["steps"]:
        if _has_failed(step):
            show(cut(f"{step['id']} {step['step']}: {error_line(step['error'])}", LONGEST_CELL))
    if left_out:
        more = len(fields["events"]) + left_out
        show(f"{counted(left_out, 'earlier event')} not shown: --events {more}")
    _print_tables(_events(fields))
    snapshot = fields["snapshot"]
    if snapshot:
        show(f"snapshot: {counted(snapshot['bytes'], 'byte')} at turn {snapshot['turn']}")


def _print_tables(tables: Iterator[Table]) -> None:
    for columns, rows in tables:
        if rows:
            show_table(columns, rows, whole=("status", "took", "until", "at", "of"))


def _entities(fields: Json) -> Iterator[Table]:
    yield (
        ("step", "function", "status", "tries", "took", "awaited at"),
        [
            [one["id"], _call(one), one["status"], _tries(one), _took(one), one["at"]]
            for one in fields["steps"]
        ],
    )
    yield (
        ("wait", "status", "until", "awaited at"),
        [
            [one["id"], one["status"], to_second(one["resume_at"]), one["at"]]
            for one in fields["waits"]
        ],
    )
    yield (
        ("hook", "status", "token", "metadata", "awaited at"),
        [
            [_kind(one), one["status"], one["token"], _short(one["metadata"]), one["at"]]
            for one in fields["hooks"]
        ],
    )
    for name in ("children", "watches"):
        yield (
            ("child" if name == "children" else "waits for", "status", "run", "awaited at"),
            [[one["id"], one["status"], one["run_id"], one["at"]] for one in fields[name]],
        )
    yield (
        ("abort", "status", "awaited at"),
        [[one["id"], one["status"], one["at"]] for one in fields["aborts"]],
    )
    yield (
        ("stream", "chunks", "status"),
        [
            [one["name"], str(one["chunks"]), "closed" if one["closed"] else "open"]
            for one in fields["streams"]
        ],
    )


def _events(fields: Json) -> Iterator[Table]:
    yield (
        ("#", "event", "of", "at"),
        [
            [str(one["position"]), one["type"], one["entity"] or "", to_second(one["at"])]
            for one in fields["events"]
        ],
    )


def _kind(hook: Json) -> str:
    """The hook's id, and that it is a webhook if it is one."""
    return f"{hook['id']} (webhook)" if hook["webhook"] else str(hook["id"])


def _short(value: object) -> str:
    """A value in a table that has other columns; "" for none."""
    return "" if value is None else cut(json.dumps(value, ensure_ascii=False), _LONGEST_ARGUMENTS)


def _call(step: Json) -> str:
    """The step's id and arguments, as a call."""
    arguments = step["arguments"]
    if not isinstance(arguments, list):
        return f"{step['step']}({'' if arguments is None else arguments})"
    values = cast("list[object]", arguments)
    text = ", ".join(json.dumps(value, ensure_ascii=False) for value in values)
    return f"{step['step']}({cut(text, _LONGEST_ARGUMENTS)})"


def _tries(step: Json) -> str:
    return f"{step['attempts']}" + (f" ({step['lost']} lost)" if step["lost"] else "")


def _took(step: Json) -> str:
    """From when it was asked for until its end, waits between attempts included."""
    ms = step["took_ms"]
    if ms is None:
        return ""
    for unit, size_ms in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if abs(ms) >= size_ms:
            return f"{ms / size_ms:.1f} {unit}"
    return f"{ms} ms"


def _whole_error(error: object) -> str:
    """An error with its stack, and those of its causes."""
    fields = _fields(error)
    if not fields:
        return str(error)
    text = f"{fields['name']}: {fields['message']}\n{fields['stack']}".rstrip()
    return text if "cause" not in fields else f"{text}\ncaused by {_whole_error(fields['cause'])}"


def error_line(error: object) -> str:
    """The name and first line of an error, or the value that was thrown."""
    fields = _fields(error)
    if not fields:
        return json.dumps(error, ensure_ascii=False)
    return f"{fields['name']}: {fields['message']}".partition("\n")[0].removesuffix(": ")


def _fields(error: object) -> Json:
    """The fields of an error; a value that was thrown may have any, or none."""
    fields = cast("Json", error) if isinstance(error, dict) else {}
    return fields if fields.keys() >= {"name", "message", "stack"} else {}
