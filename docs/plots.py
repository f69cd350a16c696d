"""Plots: docs/images/resume.svg, and a page's table, from what bench_replay.py has measured.

``python docs/plots.py`` writes both (``nox -s docs``); a test compares. Plain SVG, both axes
logarithmic, readable on light and dark pages.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ("IMAGES", "PAGE", "drawn", "main", "updated")

IMAGES = Path(__file__).with_name("images")
PAGE = Path(__file__).with_name("guide") / "how-it-works.md"
BEGIN, END = "<!-- resume: written by `nox -s docs` from docs/images/resume.jsonl -->\n", "<!-- end"
LEFT, RIGHT, TOP, BOTTOM = 64, 590, 46, 316  # of the axes, in a picture of 760 by 372
STYLE = """
  text { fill: #1f2328; stroke-width: 0 } .soft { fill: #59636e }
  .grid { stroke: #d1d9e0 } .axis { stroke: #59636e; fill: none }
  .curve { fill: none; stroke-width: 2.5 } circle { fill: #ffffff; stroke-width: 2.5 }
  .snapshot { stroke: #0969da } .replay { stroke: #bf8700 } .dbos { stroke: #8250df }
  text.snapshot { fill: #0969da } text.replay { fill: #9a6700 } text.dbos { fill: #8250df }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .soft { fill: #9198a1 }
    .grid { stroke: #3d444d } .axis { stroke: #9198a1 } circle { fill: #0d1117 }
    .snapshot { stroke: #4493f8 } .replay { stroke: #d29922 } .dbos { stroke: #ab7df8 }
    text.snapshot { fill: #4493f8 } text.replay { fill: #d29922 } text.dbos { fill: #ab7df8 }
  }
"""
NAMES = {
    "snapshot": ("Perdure,", "from a snapshot"),
    "replay": ("Perdure,", "replay of its log"),
    "dbos": ("DBOS,", "replay of its steps"),
}


class Point(NamedTuple):
    """A figure: milliseconds after so many steps."""

    steps: int
    ms: float


class Scale(NamedTuple):
    """A logarithmic axis: where on the picture a value stands."""

    low: int  # powers of ten
    high: int
    begin: int
    end: int

    def at(self, value: float) -> float:
        """The place of a value."""
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return round(self.begin + share * (self.end - self.begin), 1)

    def powers(self) -> Iterator[tuple[int, float]]:
        """Each power of ten on the axis, and its place."""
        for exponent in range(self.low, self.high + 1):
            yield 10**exponent if exponent >= 0 else 0, self.at(10.0**exponent)


def _curves(lines: Iterable[str]) -> dict[str, list[Point]]:
    curves: dict[str, list[Point]] = {name: [] for name in NAMES}
    for line in lines:
        figure = json.loads(line)
        if "how" in figure:
            curves[figure["how"]].append(Point(figure["steps"], figure["ms"]))
    return {name: sorted(points) for name, points in curves.items() if points}


def _scale(values: list[float], begin: int, end: int) -> Scale:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return Scale(low, high, begin, end)


def _time(ms: int) -> str:
    return f"{ms} ms" if ms < 1000 else f"{ms // 1000} s"


def _axes(across: Scale, up: Scale) -> Iterator[str]:
    for ms, y in up.powers():
        yield f'<path class="grid" d="M{LEFT} {y}H{RIGHT}"/>'
        yield f'<text class="soft" x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{_time(ms)}</text>'
    for steps, x in across.powers():
        yield f'<path class="grid" d="M{x} {TOP}V{BOTTOM}"/>'
        label = f'<text class="soft" x="{x}" y="{BOTTOM + 18}" text-anchor="middle">'
        yield f"{label}{steps:,}</text>"
    yield f'<path class="axis" d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}"/>'
    middle = (LEFT + RIGHT) // 2
    yield f'<text x="{middle}" y="{BOTTOM + 40}" text-anchor="middle">steps done before</text>'


def _curve(name: str, points: list[Point], across: Scale, up: Scale) -> Iterator[str]:
    places = [(across.at(point.steps), up.at(point.ms)) for point in points]
    path = "L".join(f"{x} {y}" for x, y in places)
    yield f'<path class="curve {name}" d="M{path}"/>'
    for (x, y), point in zip(places, points, strict=True):
        title = f"<title>{point.steps:,} steps: {point.ms:g} ms</title>"
        yield f'<circle class="{name}" cx="{x}" cy="{y}" r="4">{title}</circle>'
    x, y = places[-1]
    for row, text in enumerate(NAMES[name]):
        yield f'<text class="{name}" x="{x + 12}" y="{y - 3 + 16 * row}">{text}</text>'


def drawn(lines: Iterable[str]) -> str:
    """The picture of these JSON lines."""
    curves = _curves(lines)
    points = [point for curve in curves.values() for point in curve]
    across = _scale([point.steps for point in points], LEFT, RIGHT)
    up = _scale([point.ms for point in points], BOTTOM, TOP)
    parts = [*_axes(across, up)]
    for name, curve in curves.items():
        parts += _curve(name, curve, across, up)
    head = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 372" '
        'font-family="system-ui, sans-serif" font-size="13" role="img">'
    )
    title = f'<text x="{LEFT}" y="24" font-weight="600">Time to resume a run</text>'
    return "\n".join([head, f"<style>{STYLE}</style>", title, *parts, "</svg>\n"])


def _shown(ms: float) -> str:
    """A time with two digits or more."""
    if ms >= 1000:
        return f"{ms / 1000:.1f} s"
    return f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"


def _table(lines: list[str]) -> str:
    """The figures, and where they were measured."""
    machine = json.loads(lines[0])
    curves = {name: dict(points) for name, points in _curves(lines).items()}
    rows = ["| steps done | " + " | ".join(" ".join(NAMES[name]) for name in curves) + " |"]
    rows.append("| --- " * (len(curves) + 1) + "|")
    for steps in sorted({steps for points in curves.values() for steps in points}):
        cells = [_shown(points[steps]) if steps in points else "–" for points in curves.values()]
        rows.append(f"| {steps:,} | " + " | ".join(cells) + " |")
    where = (
        f"Measured on {machine['at'][:10]} on a machine of {machine['processors']} virtual cores "
        f"with Python {machine['python']}, in one run that began at a load of {machine['load']}; "
        f"medians. Syncing 4 KiB to its disk took {machine['fdatasync_us']} µs."
    )
    return "\n".join([*rows, "", where, ""])


def updated(page: str, lines: list[str]) -> str:
    """The page with the table of these JSON lines."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    return before + begin + _table(lines) + end + after


def main() -> None:
    """Write the picture and the table."""
    lines = (IMAGES / "resume.jsonl").read_text(encoding="utf-8").splitlines()
    (IMAGES / "resume.svg").write_text(drawn(lines), encoding="utf-8")
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8"), lines), encoding="utf-8")


if __name__ == "__main__":
    main()
