// The world as a step reaches it: streams of runs, hooks, other runs, attributes, signals.
(function (native, helpers, builtins) {
  "use strict";
  const { defineProperty, freeze } = Object, { isArray } = Array;
  const { TypeError, Promise: P, WeakMap: WM, Map: M, Date: D } = globalThis;
  const { ask, define, isObject, show, errors, workflow, uncurry, notInStep } = helpers;
  const weakGet = uncurry(WM.prototype.get), weakSet = uncurry(WM.prototype.set);
  const weakHas = uncurry(WM.prototype.has);
  const MAX_NAMESPACE = 200, WINDOW = 32;

  // --- what the step's end waits for ------------------------------------------------------------------
  const outputs = [];
  helpers.finishOutputs = async () => {
    for (let k = 0; k < outputs.length; k++) await outputs[k]();
  };

  // --- streams ----------------------------------------------------------------------------------------
  const handles = new WM(); // stream -> [run id, name]
  const nameOf = (options) => {
    if (!isObject(options)) {
      throw new TypeError('getWritable takes an object: getWritable({ namespace: "a" })');
    }
    const { namespace } = options;
    if (namespace === undefined) return "out";
    if (typeof namespace !== "string" || !namespace || namespace.length > MAX_NAMESPACE) {
      throw new TypeError("a stream's namespace is a text of 1 to " + MAX_NAMESPACE + " characters");
    }
    return "out/" + namespace;
  };
  const contentOf = (chunk) => {
    const kind = isObject(chunk) ? native.kind(chunk) : "";
    if (kind === "typed" && chunk instanceof Uint8Array) return [0, helpers.bytesOf(chunk)];
    return [1, native.encode(chunk, "chunk")];
  };
  const writableOf = (run, name) => {
    const under = new Set(); // writes that are under way
    let failure = null;
    const settle = async () => {
      while (under.size) await P.race(under);
      if (failure !== null) throw failure.error;
    };
    const stream = new WritableStream({
      async write(chunk) {
        const [kind, content] = contentOf(chunk);
        if (under.size >= WINDOW) await P.race(under);
        if (failure !== null) throw failure.error;
        const writing = ask("put", run, name, kind, content).catch((error) => {
          failure ??= { error };
        }).finally(() => under.delete(writing));
        under.add(writing);
      },
      async close() {
        await settle();
        await ask("close", run, name);
      },
    });
    outputs.push(async () => {
      await helpers.whenIdle(stream);
      await settle();
    });
    weakSet(handles, stream, freeze([run, name]));
    return stream;
  };
  const readableOf = (run, name, start = 0) => {
    let index = start;
    const stream = new ReadableStream({
      async pull(controller) {
        const [chunks, next, isOver] = await ask("page", run, name, index);
        index = next;
        for (let k = 0; k < chunks.length; k++) {
          const [kind, content] = chunks[k];
          controller.enqueue(kind === 0 ? content : native.decode(content));
        }
        if (isOver) controller.close();
      },
    }, { highWaterMark: 0 });
    weakSet(handles, stream, freeze([run, name]));
    return stream;
  };
  // A stream that was passed on: it is written to or read, as whoever has it does.
  const readers = ["getReader", "pipeTo", "pipeThrough", "tee", "values", "cancel"];
  helpers.streamHandle = (inner) => {
    if (!isArray(inner) || typeof inner[0] !== "string" || typeof inner[1] !== "string") {
      throw new TypeError("a stream without its run and name");
    }
    const [run, name] = inner, stream = writableOf(run, name);
    let readable;
    const reading = () => readable ??= readableOf(run, name);
    for (let k = 0; k < readers.length; k++) {
      define(stream, readers[k], (...args) => reading()[readers[k]](...args));
    }
    define(stream, Symbol.asyncIterator, () => reading()[Symbol.asyncIterator]());
    return stream;
  };
  const isReadable = helpers.isReadable;
  defineProperty(ReadableStream, Symbol.hasInstance, {
    value: (value) => isReadable(value) || (isObject(value) && weakHas(handles, value)),
    configurable: true,
  });
  helpers.streamOf = (value) => isObject(value) ? weakGet(handles, value) : undefined;
  helpers.writableOf = (run, options) => writableOf(run, nameOf(options));
  workflow.getWritable = (options = {}) => writableOf(helpers.runId(), nameOf(options));

  // --- hooks ------------------------------------------------------------------------------------------
  const hookOf = ({ runId, hookId, token, isWebhook, metadata, createdAt }) => {
    const hook = { runId, hookId, token, isWebhook, createdAt: new D(createdAt) };
    let promise;
    defineProperty(hook, "metadata", {
      get: () => promise ??= new P((resolve) => resolve(native.decode(metadata))),
    });
    return hook;
  };
  const tokenOf = (hook) => {
    const token = isObject(hook) ? hook.token : hook;
    if (typeof token === "string" && token) return token;
    throw new TypeError("a hook's token is a text, not " + show(token));
  };
  const resumeHook = async (hook, payload) =>
    hookOf(await ask("resume", tokenOf(hook), native.encode(payload, "payload")));
  const getHookByToken = async (token) => hookOf(await ask("hook", tokenOf(token)));
  const pathOf = (path) => {
    const parts = [];
    for (const part of path ?? []) parts.push(String(isObject(part) ? part.key : part));
    return parts.join(".");
  };
  const checked = async (schema, payload) => {
    if (schema === undefined) return payload;
    const outcome = await schema["~standard"].validate(payload);
    if (outcome.issues === undefined) return outcome.value;
    const lines = outcome.issues.map(({ path, message }) => {
      const at = pathOf(path);
      return at ? "  at " + at + ": " + message : "  " + message;
    });
    throw new TypeError("Hook payload did not match the defined schema:\n" + lines.join("\n"));
  };
  workflow.defineHook = ({ schema } = {}) => ({
    create() {
      throw notInStep("create() of defineHook()", "create the hook in the workflow, and pass its token");
    },
    async resume(hook, payload) {
      return resumeHook(hook, await checked(schema, payload));
    },
  });
  helpers.respond = async (request, response) => {
    if (!helpers.isResponse(response)) throw new TypeError("respondWith takes a Response");
    const body = response.body === null ? null : await response.bytes();
    const { status, statusText, headers } = response;
    const whole = new Response(body, { status, statusText, headers });
    const place = new Request(request.url); // without the body, which may have been read
    await ask(
      "respond",
      native.encode(helpers.withReply(place, request), "request"),
      native.encode(whole, "response"),
    );
  };

  // --- runs -------------------------------------------------------------------------------------------
  const RUN = 1347571214;
  let isRun, idOf;
  class Run {
    #id;
    constructor(id) {
      if (typeof id !== "string" || !id) throw new TypeError("a run id is a text, not " + show(id));
      this.#id = id;
    }
    get runId() {
      return this.#id;
    }
    get readable() {
      return readableOf(this.#id, "out");
    }
    get writable() {
      return writableOf(this.#id, "out");
    }
    getReadable(options = {}) {
      return readableOf(this.#id, nameOf(options), options.startIndex ?? 0);
    }
    getWritable(options = {}) {
      return writableOf(this.#id, nameOf(options));
    }
    async cancel(options = {}) {
      await ask("cancelRun", this.#id, typeof options?.reason === "string" ? options.reason : null);
    }
    async wakeUp(options = {}) {
      return { stoppedCount: await ask("wakeRun", this.#id, options?.correlationIds ?? null) };
    }
    static {
      isRun = (value) => isObject(value) && #id in value;
      idOf = (run) => run.#id;
    }
  }
  const date = (ms) => ms === null ? undefined : new D(ms);
  const facts = {
    __proto__: null,
    exists: (about) => about !== null,
    status: (about) => about.status,
    workflowName: (about) => about.workflow,
    createdAt: (about) => date(about.createdAt),
    startedAt: (about) => date(about.startedAt),
    completedAt: (about) => date(about.completedAt),
  };
  for (const name of Object.keys(facts)) {
    defineProperty(Run.prototype, name, {
      get() {
        const id = idOf(this);
        return (async () => {
          const about = await ask("run", id);
          if (about === null && name !== "exists") throw new errors.WorkflowRunNotFoundError(id);
          return facts[name](about);
        })();
      },
      configurable: true,
    });
  }
  const ended = async (id) => {
    const [status, code, payload] = await ask("result", id);
    if (status === "completed") return native.decode(payload);
    if (status === "cancelled") throw new errors.WorkflowRunCancelledError(id);
    throw new errors.WorkflowRunFailedError(id, code ?? undefined, { cause: native.decode(payload) });
  };
  defineProperty(Run.prototype, "returnValue", {
    get() {
      return ended(idOf(this));
    },
    configurable: true,
  });
  helpers.runForm = (value) => isRun(value) ? [RUN, [idOf(value)]] : undefined;
  helpers.reviveRun = (inner) => new Run(isArray(inner) ? inner[0] : undefined);
  const entryOf = (fn) => {
    const entry = native.exportOf(fn);
    if (entry !== undefined) return entry;
    throw helpers.named(
      "WorkflowNotExportedError",
      "start() takes a workflow that a module of this bundle exports, not " + show(fn),
    );
  };
  const start = async (fn, args = [], options = {}) => {
    if (!isArray(args)) {
      options = args;
      args = [];
    }
    if (!isObject(options)) throw new TypeError("start takes an object of options, not " + show(options));
    const { attributes = {}, allowReservedAttributes = false, hook, runId } = options;
    const token = hook === undefined ? null : tokenOf(hook);
    const clean = helpers.cleanAttributes(attributes, allowReservedAttributes === true, "start's attributes");
    const id = await ask(
      "start",
      entryOf(fn),
      native.encode(args, "arguments"),
      { ...clean },
      token,
      runId ?? null,
    );
    return new Run(id);
  };
  const setAttributes = async (changes, options = {}) => {
    const isAllowed = options?.allowReservedAttributes === true;
    const clean = helpers.cleanAttributes(changes, isAllowed, "setAttributes");
    await ask("attributes", { ...clean }, isAllowed);
  };
  workflow.setAttributes = setAttributes;
  const elsewhere = (name, advice) => () => {
    throw helpers.unavailable(name + "()", advice);
  };
  helpers.api = {
    __proto__: null,
    start,
    Run,
    getRun: (id) => new Run(id),
    getHookByToken,
    resumeHook,
    resumeWebhook: elsewhere("resumeWebhook", "send the request to the webhook's url"),
    registerLifecycleHooks: elsewhere("registerLifecycleHooks", "give them to the Worker in Python"),
    runStep: elsewhere("runStep", "call the step itself"),
  };
  workflow.resumeHook = resumeHook;

  // --- signals that came from elsewhere ---------------------------------------------------------------
  const ABORT = 1347571213;
  const { reviveAbort, abortForm } = helpers;
  const controllers = new M(), origins = new WM(); // by the signal's id; signal -> [run id, id]
  const { signal: signalOf } = Object.getOwnPropertyDescriptors(AbortController.prototype);
  helpers.reviveAbort = (inner) => {
    if (!isArray(inner) || typeof inner[1] !== "string") throw new TypeError("a signal without an id");
    const [run, id, holds, isAborted, reason] = inner, key = run + "/" + id;
    let entry = controllers.get(key);
    if (entry === undefined) {
      entry = { controller: reviveAbort([run, id, true, isAborted, reason]), isTold: false };
      controllers.set(key, entry);
      const signal = signalOf.get.call(entry.controller);
      weakSet(origins, signal, [run, id]);
      weakSet(origins, entry.controller, [run, id]);
      signal.addEventListener("abort", () => {
        if (entry.isTold) return;
        const telling = ask("abort", run, id, native.encode(signal.reason, "reason"));
        telling.catch(() => {});
        outputs.push(() => telling);
      });
    }
    return holds === true ? entry.controller : signalOf.get.call(entry.controller);
  };
  helpers.abortForm = (value) => {
    const origin = isObject(value) ? weakGet(origins, value) : undefined;
    if (origin !== undefined) {
      const signal = value instanceof AbortSignal ? value : value.signal;
      return [ABORT, [...origin, signal !== value, signal.aborted, signal.aborted ? signal.reason : null]];
    }
    const is = value instanceof AbortSignal || value instanceof AbortController;
    return is ? "an AbortSignal that a step has made does not cross; make it in the workflow" : undefined;
  };
  helpers.tellAbort = (id, reason) => {
    const entry = controllers.get(id);
    if (entry === undefined) return;
    entry.isTold = true;
    entry.controller.abort(reason);
  };
});
