// Steps: how the modules of a bundle register them, and how one is performed.
// As in 1_values, nothing that the step's code replaces or adds is reached.
(function (native, helpers, builtins) {
  "use strict";
  const { defineProperty, freeze, getOwnPropertyDescriptor, hasOwn, keys } = Object;
  const { apply } = Reflect, { TypeError, Promise: P, Map: M, Date: D, Number: Num } = globalThis;
  const { uncurry, define, named, steps, workflow, errors, isError } = helpers;
  const mapGet = uncurry(M.prototype.get), mapSet = uncurry(M.prototype.set);
  const weakSet = uncurry(WeakMap.prototype.set), then = uncurry(P.prototype.then);
  const slice = uncurry(String.prototype.slice), lastIndexOf = uncurry(String.prototype.lastIndexOf);
  const isInteger = Num.isInteger, { max } = Math;
  const registry = new M(); // id -> the function, or what makes it from the values of its closure
  let table = { __proto__: null }, metadata = null, performed = null;

  const give = (key, value) => defineProperty(globalThis, Symbol.for(key), { __proto__: null, value });
  give("PERDURE_STEP", (id, fn) => {
    if (typeof fn !== "function") throw new TypeError("step '" + id + "' is registered with no function");
    mapSet(registry, id, fn);
    weakSet(steps, fn, id);
  });
  if (!hasOwn(globalThis, Symbol.for("PERDURE_CLASS"))) give("PERDURE_CLASS", () => {});

  const builtin = freeze({ __proto__: null, module: "workflow", nested: false });
  const entryOf = (id) => {
    if (hasOwn(table, id)) return table[id];
    if (helpers.builtinSteps[id] !== undefined) return builtin;
    throw define(new errors.StepNotRegisteredError(id), "fatal", true);
  };
  const evaluated = async (id) => {
    const { module } = entryOf(id);
    if (helpers.builtinSteps[id] !== undefined) return helpers.builtinSteps[id];
    await native.evaluate(module);
    const fn = mapGet(registry, id);
    if (fn === undefined) {
      const text = "module '" + module + "' has not registered step '" + id + "'";
      throw define(named("StepNotRegisteredError", text), "fatal", true);
    }
    return fn;
  };
  // A reference to a step, in a step: a function that runs it here and now.
  helpers.stepFunction = (id, closure = undefined, bound = undefined) => {
    if (typeof id !== "string") throw new TypeError("a step reference without an id");
    const values = () => typeof closure === "function" ? closure() : closure;
    const call = async function (...args) {
      const fn = await evaluated(id);
      const body = entryOf(id).nested ? fn(values() ?? []) : fn;
      return apply(body, bound === undefined ? this : bound, args);
    };
    define(call, "name", slice(id, max(lastIndexOf(id, "/"), lastIndexOf(id, ":")) + 1));
    weakSet(steps, call, () => {
      const reference = { __proto__: null, id };
      if (closure !== undefined) reference.closure = values();
      if (bound !== undefined) reference.this = bound;
      return reference;
    });
    return call;
  };
  // A function that stands in another one, as a value: its step, with what it has captured by then.
  give("PERDURE_REFERENCE", (id, fn, closure) => {
    weakSet(steps, fn, () => ({ __proto__: null, id, closure: closure() }));
    return fn;
  });
  give("WORKFLOW_USE_STEP", (id, closure) => helpers.stepFunction(id, closure));

  const retriesOf = (fn) => {
    const described = getOwnPropertyDescriptor(fn, "maxRetries");
    const value = described === undefined ? undefined : described.value;
    return isInteger(value) && value >= 0 && value < 1e6 ? value : null;
  };
  let settle = null, begin = null;
  helpers.fail = (error) => settle(error);
  helpers.proceed = () => {
    const go = begin;
    begin = null;
    if (go !== null) go();
  };
  helpers.maxRetries = () => performed === null ? null : retriesOf(performed);

  const body = async (frame, bundle) => {
    const id = frame.step, names = keys(bundle.classes ?? {});
    for (let k = 0; k < names.length; k++) {
      try {
        await native.evaluate(bundle.classes[names[k]].module);
      } catch {} // told where one of its classes is needed
    }
    performed = await evaluated(id);
    if (frame.hold) {
      await new P((resolve) => {
        begin = resolve;
      });
    }
    const [args, self, closure] = native.decode(frame.input);
    if (entryOf(id).nested) {
      const retries = performed;
      performed = performed(closure ?? []);
      if (retriesOf(performed) === null) performed = withRetries(performed, retriesOf(retries));
    }
    const result = await apply(performed, self, args);
    if (helpers.finishOutputs !== undefined) await helpers.finishOutputs();
    return result;
  };
  const withRetries = (fn, retries) => {
    if (retries !== null) define(fn, "maxRetries", retries);
    return fn;
  };
  helpers.perform = (frame, bundle) => {
    table = bundle.js_steps;
    metadata = frame.metadata;
    helpers.setEnvironment(frame.env);
    helpers.beginClock();
    return new P((resolve, reject) => {
      settle = reject;
      then(body(frame, bundle), resolve, reject);
    });
  };
  // A result that does not cross would not do so the next time either.
  helpers.encodeResult = (value) => {
    try {
      return native.encode(value, "result");
    } catch (error) {
      throw isError(error) ? define(error, "fatal", true) : error;
    }
  };

  // --- facts ----------------------------------------------------------------------------------------
  workflow.getStepMetadata = () => {
    const { step } = metadata;
    return {
      stepName: step.name,
      stepId: step.id,
      stepStartedAt: new D(step.started_ms),
      attempt: step.attempt,
    };
  };
  workflow.getWorkflowMetadata = () => {
    const { run } = metadata;
    return {
      workflowName: run.workflow,
      workflowRunId: run.id,
      workflowStartedAt: new D(run.started_ms),
      url: run.url,
      features: { encryption: run.encryption },
    };
  };
  helpers.runId = () => metadata === null ? null : metadata.run.id;
  helpers.baseUrl = () => metadata === null ? "" : metadata.run.url;
  const process = { __proto__: null, env: freeze({ __proto__: null }) };
  helpers.setEnvironment = (env) => {
    process.env = freeze({ ...env });
    freeze(process);
  };
  define(process, "nextTick", (callback, ...args) => queueMicrotask(() => apply(callback, undefined, args)));
  define(globalThis, "process", process);
  define(globalThis, "global", globalThis);
  delete globalThis.gc;
});
