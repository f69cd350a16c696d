"""Recording: runs ``perdure demo`` and draws docs/images/demo.svg, a terminal that moves.

    python docs/recording.py

Each line appears when it was printed; pauses of more than half a second are shortened to that. It
plays once, and stands still at once for readers who prefer that.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

__all__ = ("Line", "drawn", "main", "recorded")

PICTURE = Path(__file__).with_name("images") / "demo.svg"
ROWS, COLUMNS = 24, 80
LINE, TOP, WIDTH = 17, 34, 760  # pixels
PAUSE = 0.5  # seconds, the longest
STYLE = """
  text { font: 12.5px ui-monospace, monospace; fill: #e6edf3; white-space: pre }
  .window { fill: #0d1117; stroke: #d1d9e0 } .kill { fill: #ff7b72; font-weight: 700 }
  .up { fill: #7ee787 } .soft { fill: #9198a1 } .proof { fill: #7ee787; font-weight: 700 }
  .line { opacity: 0; animation: show 1ms forwards }
  @keyframes show { to { opacity: 1 } }
  @media (prefers-color-scheme: dark) { .window { stroke: #3d444d } }
  @media (prefers-reduced-motion: reduce) { .line { animation-delay: 0s !important } }
"""
CLASSES = (
    ("kill", "killed with SIGKILL$"),
    ("up", "is up$"),
    ("proof", "results lost|results doubled|replay of the log"),
    ("soft", r"^ +\d+ "),
)


class Line(NamedTuple):
    """A line of the terminal, and when it came."""

    seconds: float
    text: str


def recorded(command: list[str]) -> list[Line]:
    """The lines that a program prints."""
    lines, at = [Line(0.0, "$ perdure demo")], 1.0
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        before = time.monotonic()
        for text in process.stdout:
            at += min(PAUSE, time.monotonic() - before)
            before = time.monotonic()
            if "look closer" not in text:  # names a folder of this machine
                lines.append(Line(round(at, 2), text.rstrip()[:COLUMNS]))
        assert process.wait() == 0
    return lines


def _scrolling(lines: list[Line]) -> str:
    """The keyframes that move all lines up, once the terminal is full."""
    end = lines[-1].seconds
    frames = [
        f"{line.seconds / end:.2%} {{ transform: translateY({-LINE * up}px) }}"
        for up, line in enumerate(lines[ROWS:], start=1)
    ]
    return (
        f"@keyframes scroll {{ {' '.join(frames)} }}\n"
        f".all {{ animation: scroll {end}s step-end forwards }}\n"
        "@media (prefers-reduced-motion: reduce) { .all { animation-duration: 1ms } }"
    )


def _texts(lines: Iterable[Line]) -> Iterator[str]:
    for row, line in enumerate(lines):
        kind = next((name for name, form in CLASSES if re.search(form, line.text)), "")
        yield (
            f'<text class="line {kind}" style="animation-delay:{line.seconds}s" '
            f'x="16" y="{TOP + LINE * (row + 1)}">{escape(line.text)}</text>'
        )


def drawn(lines: list[Line]) -> str:
    """The picture of a recording."""
    height = TOP + LINE * ROWS + 16
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" '
            f'viewBox="0 0 {WIDTH} {height}">',
            f"<style>{STYLE}{_scrolling(lines)}</style>",
            f'<rect class="window" x="1" y="1" width="{WIDTH - 2}" height="{height - 2}" rx="8"/>',
            '<circle cx="20" cy="18" r="5" fill="#ff5f57"/><circle cx="38" cy="18" r="5" '
            'fill="#febc2e"/><circle cx="56" cy="18" r="5" fill="#28c840"/>',
            f'<svg x="0" y="{TOP}" width="{WIDTH}" height="{LINE * ROWS + 6}" '
            f'viewBox="0 {TOP} {WIDTH} {LINE * ROWS + 6}"><g class="all">',
            *_texts(lines),
            "</g></svg>\n</svg>\n",
        ]
    )


def main() -> None:
    """Record, and draw."""
    command = [sys.executable, "-m", "perdure", "demo"]
    PICTURE.write_text(drawn(recorded(command)), encoding="utf-8")


if __name__ == "__main__":
    main()
