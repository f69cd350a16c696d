// Children: runs that this one starts, and runs whose end it waits for. Nothing here asks the world
// at a moment: a start and a watch are commands, and what comes of them is a delivery.
(function (native, helpers, builtins) {
  "use strict";
  const { defineProperty, freeze, keys } = Object, { isArray } = Array;
  const { uncurry, named, define, isObject, show, nextId, open, errors } = helpers;
  const mapSet = uncurry(Map.prototype.set), mapDelete = uncurry(Map.prototype.delete);
  const slice = uncurry(String.prototype.slice), lastIndexOf = uncurry(String.prototype.lastIndexOf);
  const indexOf = uncurry(String.prototype.indexOf), exec = uncurry(RegExp.prototype.exec);
  const isWellFormed = uncurry(String.prototype.isWellFormed);
  const { Promise: P, Uint8Array: U8, TypeError } = globalThis, { ceil } = Math;
  const RUN = 1347571214, MAX_ID = 200, MAX_REASON = 512, MAX_OWN = 62; // attributes; two are ours

  const checkedId = (id) => {
    const isId = typeof id === "string" && id.length > 0 && id.length <= MAX_ID && isWellFormed(id);
    if (isId && !exec(/[/\0\s]/, id)) return id;
    throw new TypeError("a run id is a text of 1 to " + MAX_ID + " characters without '/' or blanks");
  };
  // 128 bits of the run's generator, written as all run ids are.
  const freshId = () => {
    const bytes = new U8(16), letters = "abcdefghijklmnopqrstuvwxyz234567";
    native.fill(bytes);
    let id = "run_", bits = 0, held = 0;
    for (let k = 0; k < 16; k++) {
      held = (held << 8) | bytes[k];
      bits += 8;
      while (bits >= 5) {
        bits -= 5;
        id += letters[held >> bits];
        held &= (1 << bits) - 1;
      }
    }
    return id + letters[held << (5 - bits)];
  };

  const endError = (runId, status, code, value) => {
    if (status === "cancelled") return new errors.WorkflowRunCancelledError(runId);
    if (status !== "failed") return new errors.WorkflowRunNotFoundError(runId);
    return new errors.WorkflowRunFailedError(runId, code === null ? undefined : code, { cause: value });
  };
  const watch = (runId) => {
    const trace = native.trace();
    return new P((resolve, reject) => {
      const id = nextId("watch");
      const tell = (kind, end, isOdd) => {
        if (kind !== "child_ended") return;
        mapDelete(open, id);
        if (isOdd) return reject(end);
        if (end[0] === "completed") return resolve(end[3]);
        const error = endError(runId, end[0], end[1], end[3]);
        define(error, "stack", trace);
        reject(error);
      };
      const cancel = () => {
        mapDelete(open, id);
        const error = helpers.cancelError(undefined);
        define(error, "stack", trace);
        reject(error);
      };
      mapSet(open, id, { __proto__: null, tell, cancel });
      native.emit(["watch", id, runId, native.positionIn(trace)]);
    });
  };

  const checkedReason = (reason) => {
    if (reason === undefined || reason === null) return null;
    if (typeof reason === "string" && reason.length <= MAX_REASON) return native.encode(reason, "reason");
    throw new TypeError("the reason of a cancel is a text of at most " + MAX_REASON + " characters");
  };
  const cancelRun = (runId, options) => {
    const at = native.position();
    if (!isObject(options)) {
      throw new TypeError("cancel takes an object of options, not " + show(options));
    }
    const { cancelReason, reason = cancelReason, graceful, children = "leave" } = options;
    if (children !== "cancel" && children !== "leave") {
      throw new TypeError('the option children is "cancel" or "leave", not ' + show(children));
    }
    if (runId === helpers.runId()) {
      throw helpers.unavailable("cancel() of the run itself", "throw an error, or return");
    }
    const bytes = checkedReason(reason);
    const end = graceful === undefined ? null : helpers.endOf(graceful, "graceful") - native.now();
    const ms = end === null ? null : end > 0 ? ceil(end) : 0;
    native.emit(["cancel", nextId("cancel"), runId, bytes, ms, children === "cancel", at]);
  };

  let isRun, idOf;
  class Run {
    #id;
    #end = undefined;
    constructor(id) {
      this.#id = checkedId(id);
      freeze(this);
    }
    get runId() {
      return this.#id;
    }
    get returnValue() {
      if (this.#end === undefined) this.#end = watch(this.#id);
      return this.#end;
    }
    get readable() {
      return helpers.writableOf(this.#id, {});
    }
    get writable() {
      return helpers.writableOf(this.#id, {});
    }
    getReadable(options = {}) {
      return helpers.writableOf(this.#id, options);
    }
    getWritable(options = {}) {
      return helpers.writableOf(this.#id, options);
    }
    // As start, it is there with the turn; what comes of it, only the other run knows.
    cancel(options = {}) {
      cancelRun(this.#id, options);
      return new P((resolve) => resolve());
    }
    static {
      isRun = (value) => #id in value;
      idOf = (run) => run.#id;
    }
  }
  const refuse = (name, advice) => () => {
    throw helpers.unavailable("Run." + name, "ask for it in a Python step: " + advice);
  };
  const elsewhere = {
    __proto__: null,
    exists: "perdure.get_run",
    status: "perdure.get_run(id).status()",
    workflowName: "perdure.get_run(id).info()",
    createdAt: "perdure.get_run(id).info()",
    startedAt: "perdure.get_run(id).info()",
    completedAt: "perdure.get_run(id).info()",
  };
  for (const name of keys(elsewhere)) {
    defineProperty(Run.prototype, name, {
      __proto__: null,
      get: refuse(name, elsewhere[name]),
      configurable: true,
    });
  }
  define(Run.prototype, "wakeUp", refuse("wakeUp()", "perdure.get_run(id).wake()"));
  freeze(Run.prototype);
  helpers.Run = Run;
  helpers.runForm = (value) => isRun(value) ? [RUN, [idOf(value)]] : undefined;
  helpers.runOf = (id) => typeof id === "string" && id ? new Run(id) : undefined;
  helpers.reviveRun = (inner) => new Run(isArray(inner) ? inner[0] : undefined);

  const nameOf = (entry) => {
    const at = lastIndexOf(entry, "#"), name = slice(entry, at + 1);
    if (name !== "default") return name;
    const file = slice(entry, lastIndexOf(entry, "/", at) + 1, at), dot = indexOf(file, ".");
    return dot < 0 ? file : slice(file, 0, dot);
  };
  const entryOf = (fn) => {
    const entry = native.exportOf(fn);
    if (entry !== undefined) return entry;
    throw named(
      "WorkflowNotExportedError",
      "start() takes a function that a module of this workflow exports, not " + show(fn) +
        "; start another workflow in a Python step: perdure.start",
    );
  };
  const attributesOf = ({ attributes, allowReservedAttributes }) => {
    const own = { __proto__: null };
    if (attributes === undefined) return own;
    const clean = helpers.cleanAttributes(attributes, allowReservedAttributes === true, "start's attributes");
    const names = keys(clean);
    if (names.length > MAX_OWN) {
      throw new TypeError("a child takes at most " + MAX_OWN + " attributes: two more are its own");
    }
    for (let k = 0; k < names.length; k++) if (clean[names[k]] !== null) own[names[k]] = clean[names[k]];
    return own;
  };
  // Resolves at once, unless somebody may have been there before.
  const startChild = (fn, args = [], options = {}) => {
    const trace = native.trace();
    return new P((resolve, reject) => {
      if (!isArray(args)) {
        options = args;
        args = [];
      }
      if (!isObject(options)) throw new TypeError("start takes an object of options, not " + show(options));
      const entry = entryOf(fn), attributes = attributesOf(options);
      const token = options.hook === undefined ? null : helpers.checkedToken(options.hook);
      const asks = token !== null || options.runId !== undefined;
      const runId = options.runId === undefined ? freshId() : checkedId(options.runId);
      const input = native.encode(args, "arguments"), id = nextId("child"), run = new Run(runId);
      const tell = (kind, value) => {
        if (kind !== "child_started" && kind !== "child_conflict") return;
        mapDelete(open, id);
        if (kind === "child_started") resolve(run);
        else {
          define(value, "stack", trace);
          reject(value);
        }
      };
      if (asks) mapSet(open, id, { __proto__: null, tell });
      const at = native.positionIn(trace);
      native.emit(["start", id, entry, nameOf(entry), input, attributes, token, runId, asks, at]);
      if (!asks) resolve(run);
    });
  };
  define(startChild, "name", "start");
  helpers.startChild = startChild;
  const isOther = helpers.isPlatform;
  helpers.isPlatform = (value) => isOther(value) || isRun(value);
});
