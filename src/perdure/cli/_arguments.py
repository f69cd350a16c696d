"""Arguments: those of commands, checked, with a message that says how to write them."""

from __future__ import annotations

import difflib
import importlib
import json
import os
import sys
import traceback
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Annotated, TypeAlias, cast

import typer

from .._model.runs import RunFilter
from .._runtime.steps import AnyStep, collect_steps
from ..abc import Capability, World
from ..errors import RunNotFoundError, UsageError

__all__ = (
    "AttributesOption",
    "JsonOption",
    "QueueOption",
    "RootOption",
    "RunArgument",
    "StepsOption",
    "WorldOption",
    "check_shared",
    "load_module",
    "load_steps",
    "near",
    "parse_args",
    "parse_attributes",
)

WorldOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--world", help="A world's URL; default: PERDURE_WORLD, else sqlite:///.perdure/perdure.db"
    ),
]
RootOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--root",
        metavar="FOLDER",
        help="The folder that all sources lie in; default: the project's, by its package.json, "
        "tsconfig.json, pyproject.toml or .git, else the file's own.",
    ),
]
RunArgument: TypeAlias = Annotated[str, typer.Argument(metavar="RUN", help="A run's id.")]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
StepsOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--steps", help="A module with steps; may be given several times."),
]
AttributesOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--attribute",
        metavar="NAME=TEXT",
        help="Only those with this attribute; may be given several times.",
    ),
]
QueueOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--queue",
        metavar="NAME",
        help="Run steps of this queue; may be given several times; default: default.",
    ),
]


def parse_args(text: str) -> list[object]:
    """A workflow's arguments from a JSON array.

    Raises:
        UsageError: it is not one.
    """
    try:
        value: object = json.loads(text)
    except ValueError as exc:
        raise UsageError(
            f"the arguments are not JSON ({exc}); write for example '[1, \"two\"]'"
        ) from exc
    if not isinstance(value, list):
        raise UsageError(f"the arguments are a JSON array; write '[{text}]'")
    return cast("list[object]", value)


def parse_attributes(pairs: Sequence[str] | None) -> dict[str, str] | None:
    """Attributes by name, from texts such as ``tier=gold``; None of none.

    Raises:
        UsageError: one has no equals sign.
    """
    for pair in pairs or ():
        if "=" not in pair:
            raise UsageError(f"--attribute {pair}: write NAME=TEXT, such as tier=gold")
    return dict(pair.split("=", 1) for pair in pairs) if pairs else None


def check_shared(world: World) -> None:
    """See that another process can reach this world.

    Raises:
        UsageError: it lives in one process.
    """
    if Capability.SHARED not in world.capabilities:
        raise UsageError(
            f"{world.url} lives in one process: no other would find its runs. "
            "Use perdure run, or a world such as sqlite:///perdure.db"
        )


@asynccontextmanager
async def near(world: World) -> AsyncGenerator[None, None]:
    """Make an unknown run id's error name those like it."""
    try:
        yield
    except RunNotFoundError as exc:
        page = await world.catalogue.list_runs(RunFilter(), limit=1000)
        ids = [record.run_id for record in page.runs]
        close = difflib.get_close_matches(exc.run_id, ids, n=3) or ids[:3]
        advice = f"; did you mean {', '.join(close)}?" if close else "; the world has no runs"
        raise UsageError(f"no run {exc.run_id} in {world.url}{advice}") from exc


def load_steps(names: Sequence[str]) -> dict[str, AnyStep]:
    """The steps of these modules, by id; the current folder is searched first.

    Raises:
        UsageError: no such module, or it has no steps.
    """
    by_id: dict[str, AnyStep] = {}
    for name in names:
        module = load_module(name)
        steps = collect_steps([module])
        if not steps:
            raise UsageError(f"module {name} has no steps; decorate its functions with @step")
        by_id |= steps
    return by_id


def load_module(name: str) -> ModuleType:
    """The module of this name or path; the current folder is searched first.

    Raises:
        UsageError: there is none, or it cannot be imported.
    """
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    if name.endswith(".py"):
        name = name.removesuffix(".py").replace("/", ".")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is None or not (name == exc.name or name.startswith(exc.name + ".")):
            raise UsageError(f"module {name} cannot be imported: {exc}") from exc
        raise UsageError(
            f"there is no module {name}; it is looked for in {os.getcwd()} and in PYTHONPATH"
        ) from exc
    except Exception as exc:
        raise UsageError(f"module {name} cannot be imported: {_told(exc)}") from exc


def _told(exc: Exception) -> str:
    """The error, and the innermost line that raised it."""
    text = "".join(traceback.format_exception_only(exc)).strip()
    if isinstance(exc, SyntaxError) or exc.__traceback__ is None:
        return text
    last = traceback.extract_tb(exc.__traceback__)[-1]
    return f"{text}\n  {last.filename}:{last.lineno}: {last.line}"
