"""Writes the diagrams of docs/design.md from the transition tables: python docs/diagrams.py."""

from __future__ import annotations

import re
from pathlib import Path

from perdure._core.transitions import TABLES

PAGE = Path(__file__).with_name("design.md")
_FENCE = re.compile(r"```mermaid\n.*?```", re.DOTALL)


def diagram() -> str:
    """Every entity's states, a state diagram in Mermaid's language."""
    lines = ["```mermaid", "stateDiagram-v2"]
    for kind, table in TABLES.items():
        lines.append(f"    state {kind.value} {{")
        for state, row in table.items():
            source = "[*]" if state == "absent" else f"{kind.value}_{state}"
            if state != "absent":
                lines.append(f"        {source}: {state}")
            targets: dict[str, list[str]] = {}
            for event, target in row.items():
                targets.setdefault(target, []).append(event.value)
            for target, events in targets.items():
                lines.append(f"        {source} --> {kind.value}_{target}: {', '.join(events)}")
        lines.append("    }")
    return "\n".join([*lines, "```"])


def rewritten(text: str) -> str:
    """The page with its diagram as the tables have it."""
    return _FENCE.sub(lambda _: diagram(), text, count=1)


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
