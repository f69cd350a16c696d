// Modules: those that are built in, and how a name that is imported is found.
(function (native, helpers, builtins) {
  "use strict";
  const { freeze, hasOwn, keys } = Object, { ReferenceError } = globalThis;
  const { uncurry, named, append, define, errors, workflow, notInStep, isObject } = helpers;
  const slice = uncurry(String.prototype.slice), indexOf = uncurry(String.prototype.indexOf);
  const exec = uncurry(RegExp.prototype.exec);

  const refuse = (name, advice) => () => {
    throw notInStep(name + "()", advice);
  };
  workflow.sleep = refuse("sleep", "in a step, await a promise that setTimeout resolves");
  workflow.createHook ??= refuse("createHook", "create the hook in the workflow, and pass its token");
  workflow.createWebhook ??= refuse("createWebhook", "create it in the workflow, and pass its url");
  const common = { __proto__: null };
  for (let k = 0; k < helpers.commonErrors.length; k++) {
    common[helpers.commonErrors[k]] = errors[helpers.commonErrors[k]];
  }
  const codes = { __proto__: null };
  const code = ["USER_ERROR", "RUNTIME_ERROR", "CORRUPTED_EVENT_LOG", "REPLAY_DIVERGENCE"];
  append(code, "MAX_DELIVERIES_EXCEEDED");
  append(code, "MAX_EVENTS_EXCEEDED");
  append(code, "REPLAY_TIMEOUT");
  append(code, "STREAM_ERROR");
  append(code, "WORLD_CONTRACT_ERROR");
  append(code, "DEPLOYMENT_MISMATCH");
  for (let k = 0; k < code.length; k++) codes[code[k]] = code[k];
  const { FatalError, RetryableError } = workflow;
  const serde = {
    __proto__: null,
    WORKFLOW_SERIALIZE: Symbol.for("workflow-serialize"),
    WORKFLOW_DESERIALIZE: Symbol.for("workflow-deserialize"),
  };
  const modules = {
    __proto__: null,
    workflow,
    "@workflow/core": workflow,
    "workflow/api": helpers.api ?? { __proto__: null },
    "workflow/errors": common,
    "workflow/internal/errors": common,
    "@workflow/errors": { __proto__: null, ...errors, FatalError, RetryableError, RUN_ERROR_CODES: codes },
    "@workflow/serde": serde,
  };
  for (const module of keys(modules)) {
    for (const name of keys(modules[module])) {
      if (isObject(modules[module][name]) || typeof modules[module][name] === "function") {
        freeze(modules[module][name]);
      }
    }
  }
  const isPython = (name) => slice(name, 0, 7) === "python:";
  helpers.isModule = (name) => isPython(name) || hasOwn(modules, name);
  helpers.moduleExports = (name, tables) => {
    if (hasOwn(modules, name)) return modules[name];
    if (!isObject(tables) || !hasOwn(tables, name)) {
      throw new ReferenceError("the bundle has no module '" + name + "'");
    }
    const table = tables[name], made = { __proto__: null }, names = keys(table);
    for (let k = 0; k < names.length; k++) {
      const step = table[names[k]];
      made[names[k]] = helpers.pythonStep(step);
    }
    return made;
  };
  const weakSet = uncurry(WeakMap.prototype.set);
  helpers.pythonStep = (id) => {
    const call = () => {
      throw helpers.unavailable("the Python step " + id, "call it in the workflow");
    };
    weakSet(helpers.steps, call, id);
    return freeze(call);
  };
  const split = (text) => { // at "/"
    const parts = [];
    for (let at = 0; at <= text.length;) {
      const end = indexOf(text, "/", at), stop = end < 0 ? text.length : end;
      append(parts, slice(text, at, stop));
      at = stop + 1;
    }
    return parts;
  };
  const endings = ["", ".ts", ".tsx", ".js", ".mjs", "/index.ts", "/index.js"];
  const sources = [".ts", ".tsx", ".mts"];
  const withEnding = (stem, endings, files) => {
    for (let k = 0; k < endings.length; k++) {
      if (hasOwn(files, stem + endings[k])) return stem + endings[k];
    }
    return undefined;
  };
  const missing = (name) =>
    named("ModuleNotAvailableError", "cannot import '" + name + "' in a step: it has no module of this name");
  helpers.resolve = (base, name, files) => {
    if (hasOwn(files, name) || helpers.isModule(name)) return name;
    if (name[0] !== ".") throw missing(name);
    const parts = split(base), steps = split(name);
    let depth = parts.length - 1, path = "";
    for (let k = 0; k < steps.length; k++) {
      if (steps[k] === "..") {
        if (!depth) throw new ReferenceError("'" + name + "' is outside the bundle");
        depth--;
      } else if (steps[k] !== "." && steps[k]) define(parts, depth++, steps[k], true);
    }
    for (let k = 0; k < depth; k++) path += (k ? "/" : "") + parts[k];
    const file = withEnding(path, endings, files);
    if (file !== undefined) return file;
    const emitted = exec(/^(.*)\.(?:js|mjs|jsx)$/s, path); // by TypeScript, of one of these
    const written = withEnding(emitted ? emitted[1] : path, sources, files);
    if (written !== undefined) return written;
    throw new ReferenceError("there is no module '" + name + "' (from " + base + ")");
  };
});
