// The workflow module: steps, sleeps, hooks, and how deliveries settle what the code awaits.
(function (native, helpers, builtins) {
  "use strict";
  const { defineProperty, freeze, keys, setPrototypeOf } = Object;
  const { uncurry, named } = helpers;
  const mapGet = uncurry(Map.prototype.get), mapSet = uncurry(Map.prototype.set), mapDelete = uncurry(Map.prototype.delete);
  const shift = uncurry(Array.prototype.shift), push = uncurry(Array.prototype.push);
  const then = uncurry(Promise.prototype.then);
  const { Promise: P, Map: M, Date: D } = globalThis;
  const getTime = uncurry(Date.prototype.getTime);
  const open = new M(); // correlation id -> how a delivery settles it
  let counter = 0;
  let metadata = null;
  const nextId = (kind) => `${kind}_${++counter}`;
  const isError = (value) => native.kind(value) === "error";

  class FatalError extends Error {
    constructor(message, options) { super(message, options); }
    static is(value) { return value !== null && typeof value === "object" && (value.name === "FatalError" || value.fatal === true); }
    static revive(error) { setPrototypeOf(error, FatalError.prototype); }
  }
  defineProperty(FatalError.prototype, "name", { value: "FatalError", writable: true, configurable: true });
  defineProperty(FatalError.prototype, "fatal", { value: true, writable: true, configurable: true });

  const durationMs = (value) => {
    if (typeof value === "number") return value;
    if (typeof value !== "string") return NaN;
    const units = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5, y: 315576e5 };
    const names = {
      millisecond: "ms", milliseconds: "ms", msec: "ms", msecs: "ms", sec: "s", secs: "s", second: "s", seconds: "s",
      min: "m", mins: "m", minute: "m", minutes: "m", hr: "h", hrs: "h", hour: "h", hours: "h", day: "d", days: "d",
      week: "w", weeks: "w", yr: "y", yrs: "y", year: "y", years: "y",
    };
    const part = /\s*(-?\d*\.?\d+)\s*([a-z]*)\s*/giy;
    let total = 0, at = 0;
    while (at < value.length) {
      part.lastIndex = at;
      const found = part.exec(value);
      if (!found) return NaN;
      const unit = found[2].toLowerCase() || "ms", scale = units[names[unit] || unit];
      if (scale === undefined) return NaN;
      total += parseFloat(found[1]) * scale;
      at = part.lastIndex;
    }
    return at ? total : NaN;
  };

  class RetryableError extends Error {
    constructor(message, options = {}) {
      super(message, options);
      const after = options.retryAfter;
      const wait = native.kind(after ?? 0) === "date" ? getTime(after) - native.now() : after === undefined ? 1000 : durationMs(after);
      this.retryAfter = new D(native.now() + wait);
    }
    static is(value) { return value !== null && typeof value === "object" && value.name === "RetryableError"; }
    static revive(error) {
      setPrototypeOf(error, RetryableError.prototype);
      error.retryAfter = new D(native.now() + 1000);
    }
  }
  defineProperty(RetryableError.prototype, "name", { value: "RetryableError", writable: true, configurable: true });

  const callStep = (step, args) => {
    const trace = native.trace(), caller = native.caller();
    return new P((resolve, reject) => {
      const bytes = native.encode(args, "arguments");
      const id = nextId("step");
      mapSet(open, id, { resolve, reject, trace, caller });
      native.emit(["step", id, step, bytes, native.positionIn(trace)]);
    });
  };
  helpers.stepFunction = (stepId) => {
    const call = (...args) => callStep(stepId, args);
    defineProperty(call, "stepId", { value: stepId });
    defineProperty(call, "name", { value: stepId.slice(stepId.lastIndexOf(":") + 1) });
    return freeze(call);
  };

  const sleep = (duration) => {
    const at = native.position();
    const until = typeof duration === "object" && duration !== null && native.kind(duration) === "date" ? getTime(duration) : native.now() + durationMs(duration);
    if (!(until >= 0 && until <= 8.64e15)) throw new TypeError(`sleep takes milliseconds, a Date, or a text like "10 minutes", not ${String(duration)}`);
    return new P((resolve, reject) => {
      const id = nextId("wait");
      mapSet(open, id, { resolve, reject });
      native.emit(["wait", id, Math.ceil(until), at]);
    });
  };

  const randomToken = () => {
    const bytes = new Uint8Array(16);
    native.fill(bytes);
    let token = "";
    for (let k = 0; k < 16; k++) token += (bytes[k] + 256).toString(16).slice(1);
    return token;
  };

  class Hook {
    #payloads = []; #waiters = []; #ended = false; #failure = undefined; #id; #token;
    constructor({ token = randomToken(), metadata: about, webhook = false } = {}) {
      if (typeof token !== "string" || !token) throw new TypeError("a hook's token is a text that is not empty");
      this.#token = token;
      this.#id = nextId("hook");
      mapSet(open, this.#id, { hook: this });
      const at = native.position(), metadata = about === undefined ? null : native.encode(about, "metadata");
      native.emit(["hook", this.#id, token, metadata, webhook, at]);
      freeze(this);
    }
    get token() { return this.#token; }
    #next() {
      if (this.#payloads.length) return P.resolve({ value: shift(this.#payloads), done: false });
      if (this.#failure !== undefined) return P.reject(this.#failure);
      if (this.#ended) return P.resolve({ value: undefined, done: true });
      return new P((resolve, reject) => push(this.#waiters, { resolve, reject }));
    }
    then(onValue, onError) { return then(then(this.#next(), (item) => item.value), onValue, onError); }
    [Symbol.asyncIterator]() {
      return { next: () => this.#next(), return: (value) => { this.dispose(); return P.resolve({ value, done: true }); }, [Symbol.asyncIterator]() { return this; } };
    }
    dispose() {
      if (this.#ended) return;
      this.#ended = true;
      mapDelete(open, this.#id);
      native.emit(["dispose", this.#id]);
      while (this.#waiters.length) shift(this.#waiters).resolve({ value: undefined, done: true });
    }
    static receive(hook, value) {
      if (hook.#waiters.length) shift(hook.#waiters).resolve({ value, done: false });
      else push(hook.#payloads, value);
    }
    static fail(hook, error) {
      hook.#failure = error;
      hook.#ended = true;
      while (hook.#waiters.length) shift(hook.#waiters).reject(error);
    }
  }
  if (Symbol.dispose) defineProperty(Hook.prototype, Symbol.dispose, { value: Hook.prototype.dispose });

  const setAttributes = (changes) => {
    const clean = {};
    for (const key of keys(changes)) clean[key] = changes[key] === undefined || changes[key] === null ? null : String(changes[key]);
    native.emit(["attributes", nextId("attributes"), clean, native.position()]);
  };

  helpers.deliver = (kind, id, value) => {
    const entity = mapGet(open, id);
    if (entity === undefined) return;
    if (entity.hook) {
      if (kind === "hook_received") return Hook.receive(entity.hook, value);
      mapDelete(open, id);
      return Hook.fail(entity.hook, kind === "hook_conflict" ? named("HookConflictError", "the hook's token is already in use by another workflow") : undefined);
    }
    mapDelete(open, id);
    if (kind === "step_failed") {
      // What the step's own stack does not know: where the workflow waited for it.
      if (isError(value)) defineProperty(value, "stack", { value: (value.stack ? value.stack + "\n" : "") + entity.trace + native.waitingFrames(entity.caller), writable: true, configurable: true });
      entity.reject(value);
    }
    else entity.resolve(value);
  };
  helpers.openCount = () => open.size;

  helpers.run = (evaluated, workflow, frame, failure) => {
    metadata = freeze({ workflowName: frame.workflow, workflowRunId: frame.run_id, startedAt: frame.at_ms });
    const call = () => {
      if (typeof workflow !== "function") throw named("WorkflowNotFoundError", `the entry module has no function '${frame.workflow}'`);
      return workflow(...native.decode(frame.input));
    };
    if (failure !== undefined) return P.reject(failure);
    return (async () => { await evaluated; return await call(); })();
  };
  helpers.encodeResult = (value, where) => native.encode(value, where);

  // Rejections nobody handles are no error yet; what is left at the end is reported.
  helpers.trackRejection = (list, promise, reason, isHandled) => {
    if (!isHandled) return push(list, { promise, reason });
    for (let k = 0; k < list.length; k++) if (list[k].promise === promise) { list[k] = list[list.length - 1]; list.length--; return; }
  };
  helpers.unhandledReasons = (list) => { const out = []; for (let k = 0; k < list.length && k < 20; k++) push(out, list[k].reason); return out; };

  const getWorkflowMetadata = () => {
    if (!metadata) throw new Error("getWorkflowMetadata() works only while a workflow runs");
    return { workflowName: metadata.workflowName, workflowRunId: metadata.workflowRunId, workflowStartedAt: new D(metadata.startedAt) };
  };
  const exported = { sleep, FatalError, RetryableError, getWorkflowMetadata, createHook: (options) => new Hook(options), setAttributes };
  for (const name of keys(exported)) freeze(exported[name]);
  builtins.FatalError = FatalError;
  builtins.RetryableError = RetryableError;

  helpers.moduleExports = (name, steps) => {
    if (name === "workflow") return exported;
    const table = steps && steps[name];
    if (!table) throw new ReferenceError(`the bundle has no module '${name}'`);
    const made = {};
    for (const key of keys(table)) made[key] = helpers.stepFunction(table[key]);
    return made;
  };
  helpers.resolve = (base, name, modules) => {
    if (name === "workflow" || name.startsWith("python:")) return name;
    if (!name.startsWith(".")) throw new ReferenceError(`cannot import '${name}': only relative modules, "workflow" and "python:…" are there`);
    const parts = base.split("/").slice(0, -1);
    for (const part of name.split("/")) {
      if (part === "..") { if (!parts.length) throw new ReferenceError(`'${name}' is outside the bundle`); parts.pop(); }
      else if (part !== "." && part) parts.push(part);
    }
    const path = parts.join("/"), stem = path.replace(/\.(js|mjs|jsx)$/, "");
    for (const tried of [path, ...[".ts", ".tsx", ".js", ".mjs", "/index.ts", "/index.js"].map((end) => path + end), stem + ".ts", stem + ".tsx", stem + ".mts"])
      if (typeof modules[tried] === "string") return tried;
    throw new ReferenceError(`there is no module '${name}' (from ${base})`);
  };
});
