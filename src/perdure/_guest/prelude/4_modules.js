// Modules: those that are built in, those of steps, and how a name that is imported is found.
(function (native, helpers, builtins) {
  "use strict";
  const { freeze, hasOwn, keys } = Object, { ReferenceError } = globalThis;
  const { uncurry, named, define, append, importable, isObject, errors, unavailable, workflow } = helpers;
  const setAdd = uncurry(Set.prototype.add), exec = uncurry(RegExp.prototype.exec);
  const slice = uncurry(String.prototype.slice), indexOf = uncurry(String.prototype.indexOf);

  const forbidden = (name, advice) => () => {
    throw unavailable(name + "()", advice);
  };
  workflow.getStepMetadata = () => {
    throw named("NotInStepContextError", "getStepMetadata() works only in a step");
  };
  const elsewhere = "call it in a Python step";
  const resumeHook = forbidden("resumeHook", "send it from a Python step: perdure.resume_hook");
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
  const modules = {
    __proto__: null,
    workflow,
    "@workflow/core": { __proto__: null, ...workflow, resumeHook },
    "workflow/api": {
      __proto__: null,
      start: helpers.startChild,
      Run: helpers.Run,
      getRun: forbidden("getRun", "write new Run(id), or ask for it in a Python step: perdure.get_run"),
      getHookByToken: forbidden("getHookByToken", "ask for it in a Python step: perdure.get_hook"),
      resumeHook,
      resumeWebhook: forbidden("resumeWebhook", elsewhere),
      registerLifecycleHooks: forbidden("registerLifecycleHooks", "give them to the Worker in Python"),
      runStep: forbidden("runStep", "call the step itself"),
    },
    "workflow/errors": common,
    "workflow/internal/errors": common,
    "@workflow/serde": helpers.serde,
    "@workflow/errors": { __proto__: null, ...errors, FatalError, RetryableError, RUN_ERROR_CODES: codes },
  };
  for (const module of keys(modules)) {
    for (const name of keys(modules[module])) freeze(modules[module][name]);
  }

  // The steps that a bundle's modules import are those it may call; asked once, when it is loaded.
  helpers.importSteps = (tables, own) => {
    helpers.registerSteps(own);
    const imported = isObject(tables) ? keys(tables) : [];
    for (let m = 0; m < imported.length; m++) {
      const table = tables[imported[m]], names = keys(table);
      for (let k = 0; k < names.length; k++) setAdd(importable, table[names[k]]);
    }
  };
  helpers.isModule = (name) => slice(name, 0, 7) === "python:" || hasOwn(modules, name);
  helpers.moduleExports = (name, tables) => {
    if (hasOwn(modules, name)) return modules[name];
    if (!isObject(tables) || !hasOwn(tables, name)) {
      throw new ReferenceError("the bundle has no module '" + name + "'");
    }
    const table = tables[name], made = { __proto__: null }, names = keys(table);
    for (let k = 0; k < names.length; k++) made[names[k]] = helpers.stepFunction(table[names[k]]);
    return made;
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
  helpers.resolve = (base, name, files) => {
    if (helpers.isModule(name)) return name;
    if (name[0] !== ".") {
      throw new ReferenceError(
        "cannot import '" + name + '\': only relative modules, "workflow" and "python:…" are there',
      );
    }
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
