"""Certify: a world checked against its contracts, from the command line."""

from __future__ import annotations

import os
import re
import sys
from importlib.util import find_spec
from typing import Annotated

import typer

from .._protocol.json_values import Json
from ..display import shown_url
from ..errors import PerdureError, UsageError
from ._arguments import JsonOption
from ._errors import FAILED, report
from ._output import Cell, print_json, print_source, say, show, show_table

__all__ = ("certify",)

DEFAULT_OPENER = "perdure.worlds:make_world"
DEFAULT_SOAK_S = 600.0
_UNITS = {"s": 1, "m": 60, "h": 3600}


def certify(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL", help="With {n} where fresh storage differs: sqlite:////tmp/check/{n}.db"
        ),
    ],
    tier: Annotated[
        str, typer.Option(help="smoke: seconds; full: minutes; soak: as long as --duration.")
    ] = "smoke",
    seed: Annotated[
        int | None, typer.Option(help="To repeat a run; default: a random one.")
    ] = None,
    duration: Annotated[
        str | None, typer.Option(help="Of a soak: 90s, 30m, 2h; default 10m.")
    ] = None,
    only: Annotated[str, typer.Option(help="Checks whose name has this in it; default: all.")] = "",
    opener: Annotated[
        str, typer.Option(help="module:function that makes a world which is not installed.")
    ] = DEFAULT_OPENER,
    as_json_: JsonOption = False,
) -> None:
    """Check that a world keeps its contracts; every check uses fresh storage."""
    try:
        verdict = _check(url, tier, seed, _seconds(tier, duration), only, opener)
    except PerdureError as exc:
        raise typer.Exit(report(exc)) from None
    if as_json_:
        print_json(verdict)
    else:
        _print(verdict)
    if not verdict["passed"]:
        raise typer.Exit(FAILED)


def _print(figures: Json) -> None:
    """The verdicts for people."""
    rows: list[list[Cell]] = []
    for check in figures["checks"]:
        verdict = "passed" if check["passed"] else ("broken", "red")
        seconds, notes = f"{check['seconds']:.1f}", "; ".join(check["notes"])
        rows.append([check["name"], verdict, seconds, str(check["seed"]), notes])
    show_table(("check", "verdict", "seconds", "seed", "what was done"), rows)
    show(f"seed {figures['seed']}, tier {figures['tier']}")
    for check in figures["checks"]:
        if not check["passed"]:
            show(f"\n{check['name']}, seed {check['seed']}:")
            print_source(check["failure"])  # a program to copy


def _seconds(tier: str, duration: str | None) -> float:
    """How long to begin again."""
    if tier != "soak":
        if duration is not None:
            raise UsageError("--duration is for --tier soak")
        return 0.0
    if duration is None:
        return DEFAULT_SOAK_S
    parsed = re.fullmatch(r"(\d+)([smh])", duration)
    if parsed is None:
        raise UsageError(f"{duration!r} is not a duration; write for example 90s, 30m or 2h")
    return int(parsed[1]) * _UNITS[parsed[2]]


def _check(url: str, tier: str, seed: int | None, seconds: float, only: str, opener: str) -> Json:
    if find_spec("hypothesis") is None:
        raise UsageError("there is no hypothesis; install it: pip install 'perdure[testing]'")
    # The rest of the program does without it, and starts sooner.
    from ..testing import conformance

    if tier not in tuple(conformance.Tier):
        raise UsageError(f"the tiers are smoke, full and soak, not {tier!r}")
    if not any(only in name for name in conformance.check_names()):
        raise UsageError(f"no check has {only!r} in its name")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # where the opener of a world that is not installed may be
    store = conformance.store_at(url, opener=opener)
    say(f"checking {shown_url(url)}, tier {tier}")
    extra = "" if opener == DEFAULT_OPENER else f", opener={opener!r}"
    result = conformance.certify(
        store,
        tier=tier,
        seed=seed,
        only=lambda name: only in name,
        until_failure=seconds > 0,
        opener=opener,
        seconds=seconds,
        store_code=f"from {conformance.__name__} import store_at\n\n"
        f"store = store_at({shown_url(url)!r}{extra})",
    )
    return {
        "url": shown_url(url),
        "tier": result.tier.value,
        "seed": result.seed,
        "passed": result.passed,
        "checks": [
            {
                "name": check.name,
                "passed": check.passed,
                "seconds": round(check.seconds, 2),
                "seed": check.seed,
                "notes": check.notes,
                "failure": check.failure,
            }
            for check in result.checks
        ],
    }
