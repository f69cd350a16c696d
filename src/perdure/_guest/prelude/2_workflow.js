// The workflow module: steps, sleeps, and how deliveries settle what the code awaits.
// As in 1_values: captured before workflow code runs, and no prototypes on objects of our own. Nor
// templates: the engine makes them by String.prototype.concat, as it finds it.
(function (native, helpers, builtins) {
  "use strict";
  const { freeze, getOwnPropertyDescriptor, getPrototypeOf, hasOwn, setPrototypeOf } = Object;
  const { uncurry, named, define, append, steps } = helpers;
  const mapGet = uncurry(Map.prototype.get);
  const mapSet = uncurry(Map.prototype.set);
  const mapDelete = uncurry(Map.prototype.delete);
  const mapSize = uncurry(getOwnPropertyDescriptor(Map.prototype, "size").get);
  const mapForEach = uncurry(Map.prototype.forEach);
  const setAdd = uncurry(Set.prototype.add), setHas = uncurry(Set.prototype.has);
  const weakSet = uncurry(WeakMap.prototype.set);
  const weakAdd = uncurry(WeakSet.prototype.add), weakHas = uncurry(WeakSet.prototype.has);
  const then = uncurry(Promise.prototype.then), exec = uncurry(RegExp.prototype.exec);
  const {
    Promise: P,
    Map: M,
    Set: S,
    WeakSet: WS,
    Date: D,
    String: Str,
    Uint8Array: U8,
    parseFloat: number,
  } = globalThis;
  const { Error, TypeError, ReferenceError } = globalThis;
  const { apply } = Reflect, { ceil } = Math;
  const getTime = uncurry(Date.prototype.getTime), digits = uncurry(Number.prototype.toString);
  const lower = uncurry(String.prototype.toLowerCase), slice = uncurry(String.prototype.slice);
  const lastIndexOf = uncurry(String.prototype.lastIndexOf), indexOf = uncurry(String.prototype.indexOf);
  const open = new M(); // correlation id -> how a delivery settles it
  let counter = 0;
  let metadata = null;
  const nextId = (kind) => "" + kind + "_" + ++counter;
  const isError = (value) => native.kind(value) === "error";
  const isObject = (value) => typeof value === "object" && value !== null;
  const isDate = (value) => isObject(value) && native.kind(value) === "date";
  helpers.open = open;
  helpers.nextId = nextId;
  helpers.isError = isError;
  helpers.isObject = isObject;

  class FatalError extends Error {
    constructor(message, options) {
      super(message, options);
    }
    static is(value) {
      return isObject(value) && (value.name === "FatalError" || value.fatal === true);
    }
    static revive(error) {
      setPrototypeOf(error, FatalError.prototype);
    }
  }
  define(FatalError.prototype, "name", "FatalError");
  define(FatalError.prototype, "fatal", true);

  const units = {
    __proto__: null,
    ms: 1,
    millisecond: 1,
    milliseconds: 1,
    msec: 1,
    msecs: 1,
    s: 1e3,
    sec: 1e3,
    secs: 1e3,
    second: 1e3,
    seconds: 1e3,
    m: 6e4,
    min: 6e4,
    mins: 6e4,
    minute: 6e4,
    minutes: 6e4,
    h: 36e5,
    hr: 36e5,
    hrs: 36e5,
    hour: 36e5,
    hours: 36e5,
    d: 864e5,
    day: 864e5,
    days: 864e5,
    w: 6048e5,
    week: 6048e5,
    weeks: 6048e5,
    y: 315576e5,
    yr: 315576e5,
    yrs: 315576e5,
    year: 315576e5,
    years: 315576e5,
  };
  const durationMs = (value) => {
    if (typeof value === "number") return value;
    if (typeof value !== "string" || value.length > 100) return NaN;
    const part = / *(\d+(?:\.\d+)?|\.\d+) *([a-z]*) */giy;
    let total = 0, at = 0;
    while (at < value.length) {
      part.lastIndex = at;
      const found = exec(part, value);
      if (!found) return NaN;
      // Without its unit a number is the whole text: milliseconds.
      if (!found[2] && found[0] !== value) return NaN;
      const scale = units[lower(found[2]) || "ms"];
      if (scale === undefined) return NaN;
      total += number(found[1]) * scale;
      at = part.lastIndex;
    }
    return at ? total : NaN;
  };
  const latest = 8.64e15;
  // When a duration or a Date is over, in milliseconds.
  const endOf = (value, what) => {
    const dated = isDate(value);
    const ms = dated ? getTime(value) - native.now() : durationMs(value);
    const end = native.now() + ms;
    if ((dated || ms >= 0) && end <= latest) return end < 0 ? 0 : end;
    throw new TypeError(
      what + ' takes milliseconds from 0 on, a Date, or a text like "10 minutes" or "1h 30m", not ' +
        show(value),
    );
  };

  helpers.endOf = endOf;

  class RetryableError extends Error {
    constructor(message, options = {}) {
      super(message, options);
      const after = options.retryAfter;
      define(this, "retryAfter", new D(endOf(after === undefined ? 1000 : after, "retryAfter")), true);
    }
    static is(value) {
      return isObject(value) && value.name === "RetryableError";
    }
    static revive(error) {
      setPrototypeOf(error, RetryableError.prototype);
      define(error, "retryAfter", new D(native.now() + 1000), true);
    }
  }
  define(RetryableError.prototype, "name", "RetryableError");
  const show = (value) => {
    if (typeof value === "string") return '"' + value + '"';
    if (isObject(value) || typeof value === "function") return "a " + (typeof value);
    return Str(value);
  };
  helpers.show = show;

  const importable = new S(); // the ids of the steps that the bundle imports
  helpers.importable = importable;
  const callStep = (step, args) => {
    const trace = native.trace(), caller = native.caller();
    return new P((resolve, reject) => {
      if (!setHas(importable, step)) {
        const advice = "it can pass a reference on, and call what it imports by name";
        throw named("StepNotImportedError", "this workflow imports no step '" + step + "'; " + advice);
      }
      const bytes = native.encode(args, "arguments");
      const id = nextId("step");
      mapSet(open, id, { __proto__: null, resolve, reject, trace, caller });
      native.emit(["step", id, step, bytes, native.positionIn(trace)]);
    });
  };
  helpers.stepFunction = (stepId) => {
    if (typeof stepId !== "string") throw new TypeError("a step reference without an id");
    const call = (...args) => callStep(stepId, args);
    define(call, "name", slice(stepId, lastIndexOf(stepId, ":") + 1));
    weakSet(steps, call, stepId);
    return freeze(call);
  };

  let request = null; // that the run end: {reason, deadline}
  const requested = new WS(); // the errors that it made: nobody needs to handle them
  const cancelError = (started, detail) => {
    const { reason, deadline } = request;
    const error = new helpers.errors.RunCancelledError(reason, new D(deadline), started, detail);
    weakAdd(requested, error);
    return error;
  };
  helpers.cancelError = cancelError;
  const sleep = (duration) => {
    const at = native.position(), trace = request === null ? "" : native.trace();
    const until = endOf(duration, "sleep");
    return new P((resolve, reject) => {
      if (request !== null && until > request.deadline) {
        const error = cancelError(undefined, ": it would sleep past the time that it was left to end");
        define(error, "stack", trace);
        throw error;
      }
      const id = nextId("wait");
      mapSet(open, id, { __proto__: null, resolve, reject });
      native.emit(["wait", id, ceil(until), at]);
    });
  };

  // A step's own stack does not know where the workflow waited for it.
  const addWorkflowFrames = (error, entity, stack = error.stack) => {
    const own = stack ? stack + "\n" : "";
    define(error, "stack", own + entity.trace + native.waitingFrames(entity.caller));
  };
  // All that is awaited is rejected, but for answers that are under way.
  const cancelAll = (reason, deadline, started) => {
    request = { __proto__: null, reason, deadline };
    const begun = new S(), waiting = [];
    for (let k = 0; k < started.length; k++) setAdd(begun, started[k]);
    mapForEach(open, (entity, id) => append(waiting, { __proto__: null, entity, id }));
    for (let k = 0; k < waiting.length; k++) {
      const { entity, id } = waiting[k];
      if (entity.hook) helpers.cancelHook(entity.hook);
      else if (entity.cancel) entity.cancel();
      else if (!entity.tell) {
        const isStep = entity.trace !== undefined;
        const error = cancelError(isStep ? setHas(begun, id) : undefined);
        mapDelete(open, id);
        if (isStep) addWorkflowFrames(error, entity, "");
        entity.reject(error);
      }
    }
  };
  // Odd is a value that could not be made here: the error of making it rejects what waits for it.
  helpers.deliver = (kind, id, value, isOdd) => {
    const entity = mapGet(open, id), hasFailed = kind === "step_failed";
    if (entity === undefined) {
      if (kind === "abort_received") helpers.tellAbort(id, value);
      else if (kind === "cancel_requested" && !isOdd) cancelAll(value[0], value[1], value[2]);
      return;
    }
    if (entity.tell) return entity.tell(kind, value, isOdd);
    if (entity.hook) return helpers.tellHook(entity.hook, kind, value, isOdd);
    // A later host may tell of more than this guest knows.
    if (!hasFailed && kind !== "step_completed" && kind !== "wait_completed") return;
    mapDelete(open, id);
    if (hasFailed && isError(value)) addWorkflowFrames(value, entity);
    if (hasFailed || isOdd) entity.reject(value);
    else entity.resolve(value);
  };
  helpers.openCount = () => mapSize(open);

  helpers.run = (evaluated, workflow, frame, failure) => {
    metadata = freeze({
      __proto__: null,
      workflowName: frame.workflow,
      workflowRunId: frame.run_id,
      startedAt: frame.at_ms,
      url: frame.url,
    });
    if (frame.hook !== null && frame.hook !== undefined) helpers.reserveHook(frame.hook);
    const call = () => {
      if (typeof workflow !== "function") {
        throw named("WorkflowNotFoundError", "the entry module has no function '" + frame.workflow + "'");
      }
      return apply(workflow, undefined, native.decode(frame.input));
    };
    if (failure !== undefined) return new P((resolve, reject) => reject(failure));
    return (async () => {
      await evaluated;
      const result = await call(); // to go on, not to return: nobody waits for the promise of this
      return result;
    })();
  };
  helpers.encodeResult = (value, where) => native.encode(value, where);

  // Rejections nobody handles are no error yet; what is left at the end is reported.
  const unhandled = new M();
  helpers.trackRejection = (promise, reason, isHandled) => {
    if (request !== null && isObject(reason) && weakHas(requested, reason)) return;
    if (isHandled) mapDelete(unhandled, promise);
    else mapSet(unhandled, promise, reason);
  };
  helpers.unhandledReasons = () => {
    const out = [];
    mapForEach(unhandled, (reason) => {
      if (out.length < 20) append(out, reason);
    });
    return out;
  };

  const getWorkflowMetadata = () => {
    if (!metadata) throw new Error("getWorkflowMetadata() works only while a workflow runs");
    return {
      workflowName: metadata.workflowName,
      workflowRunId: metadata.workflowRunId,
      workflowStartedAt: new D(metadata.startedAt),
      url: metadata.url,
      features: { encryption: false },
    };
  };
  const getWritable = (options = {}) => helpers.writableOf(getWorkflowMetadata().workflowRunId, options);
  helpers.runId = () => metadata === null ? null : metadata.workflowRunId;
  helpers.baseUrl = () => metadata === null ? "" : metadata.url;
  helpers.workflow = {
    __proto__: null,
    sleep,
    FatalError,
    RetryableError,
    getWorkflowMetadata,
    getWritable,
  };
  builtins.FatalError = FatalError;
  builtins.RetryableError = RetryableError;
});
