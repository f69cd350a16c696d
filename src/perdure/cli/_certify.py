"""Certify: a world checked against its contracts, from the command line."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.table import Table

from ..errors import PerdureError, UsageError
from ..worlds import make_world
from ._arguments import JsonOption
from ._errors import FAILED, report
from ._output import err, out, print_json

__all__ = ("certify",)


def certify(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL", help="With {n} where fresh storage differs: sqlite:////tmp/check/{n}.db"
        ),
    ],
    tier: Annotated[str, typer.Option(help="smoke: seconds; full: minutes.")] = "smoke",
    seed: Annotated[
        int | None, typer.Option(help="To repeat a run; default: a random one.")
    ] = None,
    as_json_: JsonOption = False,
) -> None:
    """Check that a world keeps its contracts; every check uses fresh storage."""
    try:
        found = _check(url, tier, seed)
    except PerdureError as exc:
        raise typer.Exit(report(exc)) from None
    if as_json_:
        print_json(found)
    else:
        table = Table("check", "verdict", "seconds")
        for check in found["checks"]:
            verdict = "passed" if check["passed"] else "[red]broken[/red]"
            table.add_row(check["name"], verdict, f"{check['seconds']:.1f}")
        out.print(table)
        out.print(f"seed {found['seed']}, tier {found['tier']}", markup=False)
        for check in found["checks"]:
            if not check["passed"]:
                out.print(f"\n{check['name']}:\n{check['failure']}", markup=False)
    if not found["passed"]:
        raise typer.Exit(FAILED)


def _check(url: str, tier: str, seed: int | None) -> dict[str, Any]:
    try:
        # hypothesis comes with the extra "testing"; the rest of the program does without it.
        from ..testing import conformance
    except ModuleNotFoundError as exc:
        raise UsageError(f"{exc}; install it: pip install 'perdure[testing]'") from exc
    if "{n}" not in url and not url.startswith("memory://"):
        raise UsageError(
            f"certify needs fresh storage for each check: put {{n}} into {url!r} where it differs"
        )
    if tier not in tuple(conformance.Tier):
        raise UsageError(f"the tiers are smoke and full, not {tier!r}")
    made, name = itertools.count(), secrets.token_hex(4)
    make_world(url.replace("{n}", name))  # a URL nobody serves is told at once

    @contextmanager
    def store() -> Generator[conformance.MakeWorld, None, None]:
        mine = url.replace("{n}", f"{name}-{next(made)}")
        if mine == "memory://":
            mine = f"memory://{name}-{next(made)}"
        yield lambda clock: make_world(mine, clock=clock)

    err.print(f"checking {url}, tier {tier}", markup=False)
    result = conformance.certify(store, tier=tier, seed=seed)
    return {
        "url": url,
        "tier": result.tier.value,
        "seed": result.seed,
        "passed": result.passed,
        "checks": [
            {
                "name": check.name,
                "passed": check.passed,
                "seconds": round(check.seconds, 2),
                "failure": check.failure,
            }
            for check in result.checks
        ],
    }
