"""The workflow and the step that each framework's service here offers."""

from __future__ import annotations

from perdure import Workflow, step

__all__ = ("add", "sums")


@step(name="frameworks:add")
async def add(a: int, b: int) -> int:
    """Their sum."""
    return a + b


sums = Workflow.from_source(
    'import { add } from "python:frameworks";\n'
    "export async function sums(a: number, b: number): Promise<number> {\n"
    '  "use workflow";\n'
    "  return await add(a, b);\n"
    "}\n",
    filename="sums.ts",
)
