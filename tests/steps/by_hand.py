"""Workflows whose steps are JavaScript, written in the forms that the compiler makes of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

import cbor2

from perdure import Workflow

__all__ = ("PREFIX", "flow_of")

PREFIX = "step//./steps//"


def flow_of(
    body: str, steps: str, *, nested: Iterable[str] = (), names: Iterable[str] = ()
) -> Workflow:
    """A workflow ``flow`` with this body, which calls the steps that a module defines.

    Args:
        body: of ``async function flow(...args)``; each step is a function of that name.
        steps: a module that calls ``step(name, function)`` for each of its steps.
        nested: names of those whose function makes the step from the values of its closure.
        names: further names; those that ``steps`` defines literally are found.
    """
    found = [part.split('"')[1] for part in steps.split("step(")[1:] if part.startswith('"')]
    every = [*found, *names]
    js_steps = {
        PREFIX + name: {
            "module": "steps.js",
            "key": name,
            "line": 1,
            "nested": name in set(nested),
            "this": name in set(nested),
        }
        for name in every
    }
    listed = ", ".join(every)
    source = f"""import {{ sleep, getWritable, createHook, getWorkflowMetadata }} from "workflow";
import {{ {listed} }} from "python:steps";
export async function flow(...args) {{ "use workflow";
{body}
}}
"""
    workflow = Workflow.from_source(source, filename="flow.js", name="flow")
    bundle = workflow.compile()
    register = f'globalThis[Symbol.for("PERDURE_STEP")]("{PREFIX}" + name, fn)'
    prologue = f"function step(name, fn) {{ {register}; return fn; }} "  # no line of its own
    fields = cbor2.loads(bundle.encoded)
    fields |= {
        "format": 2,
        "steps": {"python:steps": {name: PREFIX + name for name in every}},
        "step_modules": {"steps.js": prologue + steps},
        "js_steps": js_steps,
        "classes": {},
    }
    encoded = cbor2.dumps(fields, canonical=True)
    workflow._bundle = replace(bundle, encoded=encoded, digest=hashlib.sha256(encoded).hexdigest())
    return workflow
