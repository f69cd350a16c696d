// The bundle's own steps: functions that ask the host to run a step of JavaScript elsewhere.
(function (native, helpers, builtins) {
  "use strict";
  const { defineProperty, keys } = Object, { apply } = Reflect;
  const { uncurry, define, append, steps, open, nextId, isObject, show } = helpers;
  const { Promise: P, Map: M, Symbol: Sym, TypeError } = globalThis;
  const mapGet = uncurry(Map.prototype.get), mapHas = uncurry(Map.prototype.has);
  const mapSet = uncurry(Map.prototype.set), weakSet = uncurry(WeakMap.prototype.set);
  const slice = uncurry(String.prototype.slice), lastIndexOf = uncurry(String.prototype.lastIndexOf);
  const { isArray } = Array;

  const own = new M(); // id -> whether the step uses the this that it is called with
  // Asked once, when the bundle is loaded.
  helpers.registerSteps = (table) => {
    const ids = isObject(table) ? keys(table) : [];
    for (let k = 0; k < ids.length; k++) mapSet(own, ids[k], table[ids[k]].this === true);
  };
  const isOwn = (id) => slice(id, 0, 6) === "step//";

  // All three in one, so that what they share is shared in the step too.
  const encode = (args, self, closure) => {
    try {
      return native.encode([args, self, closure], "step");
    } catch (error) {
      native.encode(args, "arguments"); // to say which of the three it is, with its path
      native.encode(self, "this");
      native.encode(closure, "closure");
      throw error;
    }
  };
  const callStep = (id, args, self, closure) => {
    const trace = native.trace(), caller = native.caller();
    return new P((resolve, reject) => {
      if (!mapHas(own, id)) throw new helpers.errors.StepNotRegisteredError(id);
      const values = closure === undefined ? [] : closure();
      const bytes = encode(args, mapGet(own, id) ? self : undefined, values);
      const entity = nextId("step");
      mapSet(open, entity, { __proto__: null, resolve, reject, trace, caller });
      native.emit(["step", entity, id, bytes, native.positionIn(trace)]);
    });
  };
  const proxy = (id, closure, bound) => {
    const call = function (...args) {
      return callStep(id, args, bound === undefined ? this : bound, closure);
    };
    define(call, "name", slice(id, lastIndexOf(id, "/") + 1));
    define(call, "bind", (self, ...first) => {
      if (!first.length) return proxy(id, closure, bound === undefined ? self : bound);
      return (...rest) => {
        const given = [];
        for (let k = 0; k < first.length; k++) append(given, first[k]);
        for (let k = 0; k < rest.length; k++) append(given, rest[k]);
        return apply(call, self, given);
      };
    });
    weakSet(steps, call, () => {
      const reference = { __proto__: null, id };
      if (closure !== undefined) reference.closure = closure();
      if (bound !== undefined) reference.this = bound;
      return reference;
    });
    return call; // its maxRetries may be set, for the guest that runs it
  };
  const useStep = (id, closure) => {
    if (typeof id !== "string") throw new TypeError("a step has an id, not " + show(id));
    return proxy(id, closure, undefined);
  };
  const builtin = "step//workflow//fetch";
  mapSet(own, builtin, false);
  helpers.workflow.fetch = useStep(builtin, undefined);
  defineProperty(globalThis, Sym.for("WORKFLOW_USE_STEP"), { __proto__: null, value: useStep });

  const imported = helpers.stepFunction;
  helpers.stepFunction = (id, closure, bound) => {
    if (typeof id !== "string" || !isOwn(id)) return imported(id);
    if (closure !== undefined && !isArray(closure)) throw new TypeError("a closure is a list");
    return proxy(id, closure === undefined ? undefined : () => closure, bound);
  };
});
