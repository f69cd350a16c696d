"""Hooks: those that runs wait at, listed and resumed."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from .._protocol.json_values import Json, as_json
from .._runtime.cancellation import live_runs
from .._runtime.hooks import Hook, resume_hook
from .._runtime.run import get_run
from ..errors import PerdureError, UsageError
from ..worlds import open_world
from ._arguments import JsonOption, WorldOption, check_shared, near
from ._errors import run_async
from ._output import print_json, say, show, show_table

__all__ = ("hooks", "resume")


def resume(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="The hook's token.")],
    payload: Annotated[
        str, typer.Argument(metavar="[PAYLOAD_JSON]", help="A JSON value; default: null.")
    ] = "null",
    resume_id: Annotated[
        str | None, typer.Option(help="The run receives one payload under it, however often sent.")
    ] = None,
    world: WorldOption = None,
    as_json_: JsonOption = False,
) -> None:
    """Send a payload to the hook that holds a token."""

    async def main() -> None:
        value = _payload(payload)
        async with open_world(world) as opened:
            check_shared(opened)
            hook = await resume_hook(token, value, resume_id=resume_id, world=opened)
        if as_json_:
            print_json({"run": hook.run_id, "hook": hook.id})
        else:
            show(f"{hook.id} of run {hook.run_id} has it")

    run_async(main)


def _payload(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as exc:
        raise UsageError(
            f"the payload is not JSON ({exc}); write for example '{{\"approved\": true}}', or "
            f"'\"a text\"' with both kinds of quotes"
        ) from exc


def hooks(
    run_id: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Only those of this run.")
    ] = None,
    limit: Annotated[int, typer.Option(help="At most those of so many runs, newest first.")] = 100,
    world: WorldOption = None,
    as_json_: JsonOption = False,
) -> None:
    """List the hooks that runs can be resumed by. Reads the logs of these runs."""

    async def main() -> None:
        async with open_world(world) as opened, near(opened):
            ids = await live_runs(opened, limit=limit) if run_id is None else [run_id]
            rows = [_row(hook) for id_ in ids for hook in await get_run(id_, opened).hooks()]
        if as_json_:
            print_json(rows)
        else:
            _print(rows)
        if run_id is None and len(ids) == limit:
            say(f"hooks of the {limit} newest live runs; for more: --limit {10 * limit}")

    run_async(main)


def _row(hook: Hook) -> Json:
    try:
        metadata = as_json(hook.metadata)
    except PerdureError as exc:  # one that Python has no form for
        metadata = f"({exc})"
    return {
        "token": hook.token,
        "run": hook.run_id,
        "id": hook.id,
        "webhook": hook.is_webhook,
        "metadata": metadata,
    }


def _print(rows: list[Json]) -> None:
    cells = [
        [
            row["token"],
            row["run"],
            row["id"],
            "webhook" if row["webhook"] else "hook",
            "" if row["metadata"] is None else json.dumps(row["metadata"], ensure_ascii=False),
        ]
        for row in rows
    ]
    show_table(("token", "run", "id", "kind", "metadata"), cells, whole=("run", "id", "kind"))
