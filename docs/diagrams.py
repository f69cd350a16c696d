"""The state diagrams of design.md, drawn from the tables; ``nox -s docs`` writes them.

Everything between the two markers is made here. A test holds the page to what the tables give.
"""

from __future__ import annotations

from pathlib import Path

from perdure._core.transitions import TABLES, EntityKind, is_ended

__all__ = ("BEGIN", "END", "diagram", "updated")

PAGE = Path(__file__).with_name("design.md")
BEGIN = "<!-- diagrams: written by `nox -s docs` from _core/transitions.py -->"
END = "<!-- end of diagrams -->"


def diagram(kind: EntityKind) -> str:
    """One entity's states as a Mermaid block; pairs of states share one arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for state, row in TABLES[kind].items():
        for event, after in row.items():
            arrows.setdefault((_name(state), after), []).append(event)
    lines = [f"    {a} --> {b}: {', '.join(events)}" for (a, b), events in arrows.items()]
    lines += [f"    {state} --> [*]" for state in TABLES[kind] if is_ended(kind, state)]
    return "\n".join([f"### {kind.value}", "", "```mermaid", "stateDiagram-v2", *lines, "```"])


def updated(page: str) -> str:
    """The page with its diagrams as the tables give them."""
    head, _, rest = page.partition(BEGIN)
    tail = rest.partition(END)[2]
    return "\n\n".join([head + BEGIN, *map(diagram, EntityKind), END + tail])


def _name(state: str) -> str:
    return "[*]" if state == "absent" else state


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
