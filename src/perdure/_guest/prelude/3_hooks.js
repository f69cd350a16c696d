// Hooks: points at which others send something to the run. A payload is kept until no job is left;
// then the earliest goes to the first waiter that something can still come of, and so on. So one
// that lost a race takes nothing. Judged is only by what the engine knows of the waiter's promise.
(function (native, helpers, builtins) {
  "use strict";
  const { freeze } = Object, { TypeError } = globalThis;
  const { uncurry, named, define, append, open, nextId, isError, isObject, show, endOf, errors } = helpers;
  const mapSet = uncurry(Map.prototype.set), mapDelete = uncurry(Map.prototype.delete);
  const setAdd = uncurry(Set.prototype.add), setDelete = uncurry(Set.prototype.delete);
  const setForEach = uncurry(Set.prototype.forEach);
  const setSize = uncurry(Object.getOwnPropertyDescriptor(Set.prototype, "size").get);
  const sort = uncurry(Array.prototype.sort);
  const { Set: S, Uint8Array: U8 } = globalThis, { ceil } = Math;
  const isWellFormed = uncurry(String.prototype.isWellFormed), slice = uncurry(String.prototype.slice);
  const digits = uncurry(Number.prototype.toString);
  const { pending, settle, leadsOn, isForgotten } = native;
  const follow = native.then;

  const randomToken = () => {
    const bytes = new U8(16);
    native.fill(bytes);
    let token = "";
    for (let k = 0; k < 16; k++) token += slice(digits(bytes[k] + 256, 16), 1);
    return token;
  };

  // First in, first out; a list of our own, since Array.prototype may have setters.
  const queue = () => ({ __proto__: null, first: null, last: null });
  const put = (q, link) => {
    link.next = null;
    if (q.last === null) q.first = link;
    else q.last.next = link;
    q.last = link;
  };
  const remove = (q, link, before) => {
    if (before === null) q.first = link.next;
    else before.next = link.next;
    if (q.last === link) q.last = before;
  };

  const MAX_TOKEN = 500;
  const FEW = 16; // waiters; with more of them those that are forgotten are left out
  const offered = new S(); // hooks that have both payloads and waiters
  let arrivals = 0;
  let receive, fail, register, cancel, handTo, arrivalOf;

  // One object for each hook, which workflow code has; `open` has it by its id.
  class Hook {
    #id;
    #token;
    #trace;
    #payloads = queue(); // {value, isOdd, number}
    #waiters = queue(); // {promise, iterator: null if it waits by then()}
    #count = 0; // of the waiters
    #most = FEW;
    #isRegistered = false;
    #isDisposed = false;
    #failure = undefined;
    #owner = undefined; // the run that has the token, on a conflict
    #asking = undefined; // promises that getConflict() returned
    constructor(id, token, trace) {
      this.#id = id;
      this.#token = token;
      this.#trace = trace;
      mapSet(open, id, { __proto__: null, hook: this });
      freeze(this);
    }
    get token() {
      return this.#token;
    }
    then(onValue, onError) {
      return follow(this.#wait(null), onValue, onError);
    }
    [Symbol.asyncIterator]() {
      const iterator = {
        next: () => isOver ? settled({ value: undefined, done: true }) : this.#wait(iterator),
        // Of this iterator only: the hook stays open.
        return: (value) => {
          isOver = true;
          this.#leave((waiter) => waiter.iterator === iterator);
          return settled({ value, done: true });
        },
        [Symbol.asyncIterator]() {
          return this;
        },
      };
      let isOver = false;
      return iterator;
    }
    getConflict() {
      const promise = pending();
      if (this.#owner !== undefined) settle(promise, this.#owner, false);
      else if (this.#isRegistered) settle(promise, null, false);
      else if (this.#isDisposed || this.#failure !== undefined) settle(promise, this.#disposed(), true);
      else this.#ask(promise);
      return promise;
    }
    dispose() {
      if (this.#isDisposed) return;
      while (this.#handOver()); // what came before goes to those who waited before
      this.#isDisposed = true;
      this.#payloads.first = this.#payloads.last = null;
      if (this.#failure === undefined) {
        mapDelete(open, this.#id);
        native.emit(["dispose", this.#id]);
      }
      this.#answer(undefined);
      this.#leave(() => true);
      this.#offer();
    }

    #disposed() {
      return this.#failure !== undefined ? this.#failure : new errors.HookDisposedError(this.#token);
    }
    #ask(promise) {
      if (this.#asking === undefined) {
        this.#asking = [];
        native.emit(["ask", this.#id]);
      }
      append(this.#asking, promise);
    }
    #answer(answer) {
      const asking = this.#asking;
      this.#asking = undefined;
      for (let k = 0; asking !== undefined && k < asking.length; k++) {
        if (answer === undefined) settle(asking[k], this.#disposed(), true);
        else settle(asking[k], answer, false);
      }
    }
    #wait(iterator) {
      if (++this.#count > this.#most) this.#sweep();
      const promise = pending();
      const waiter = { __proto__: null, promise, iterator, next: null };
      const isEnded = this.#isDisposed || this.#failure !== undefined;
      if (isEnded && this.#payloads.first === null) this.#refuse(waiter);
      else put(this.#waiters, waiter);
      this.#offer();
      return promise;
    }
    // Nothing will come to it.
    #refuse(waiter) {
      this.#count--;
      const ends = waiter.iterator !== null && this.#failure === undefined;
      settle(waiter.promise, ends ? { value: undefined, done: true } : this.#disposed(), !ends);
    }
    #leave(isLeaving) {
      for (let link = this.#waiters.first, before = null; link !== null; link = link.next) {
        if (isLeaving(link)) {
          remove(this.#waiters, link, before);
          this.#refuse(link);
        } else before = link;
      }
      this.#offer();
    }
    // Nobody waits any more; the hook stays open.
    #cancel() {
      const { first } = this.#waiters;
      this.#waiters.first = this.#waiters.last = null;
      this.#count = 0;
      for (let link = first; link !== null; link = link.next) {
        settle(link.promise, helpers.cancelError(undefined), true);
      }
      this.#offer();
    }
    #sweep() {
      for (let link = this.#waiters.first, before = null; link !== null; link = link.next) {
        if (isForgotten(link)) {
          remove(this.#waiters, link, before);
          this.#count--;
        } else before = link;
      }
      this.#most = this.#count > FEW ? 2 * this.#count : FEW;
    }
    #offer() {
      const has = this.#payloads.first !== null && this.#waiters.first !== null;
      if (has) setAdd(offered, this);
      else setDelete(offered, this);
      native.offer(setSize(offered));
    }
    // The first payload goes to the first waiter that something can come of; false: there is none.
    #handOver() {
      const payload = this.#payloads.first;
      if (payload === null) return false;
      for (let link = this.#waiters.first, before = null; link !== null; link = link.next) {
        if (leadsOn(link.promise)) {
          remove(this.#payloads, payload, null);
          remove(this.#waiters, link, before);
          this.#count--;
          const { value, isOdd } = payload;
          const result = isOdd || link.iterator === null ? value : { value, done: false };
          settle(link.promise, result, isOdd);
          if (this.#failure !== undefined && this.#payloads.first === null) this.#leave(() => true);
          this.#offer();
          return true;
        }
        before = link;
      }
      return false;
    }
    static {
      arrivalOf = (hook) => hook.#payloads.first.number;
      handTo = (hook) => hook.#handOver();
      cancel = (hook) => hook.#cancel();
      register = (hook) => {
        hook.#isRegistered = true;
        hook.#answer(null);
      };
      receive = (hook, value, isOdd) => {
        hook.#isRegistered = true;
        put(hook.#payloads, { __proto__: null, value, isOdd, number: ++arrivals, next: null });
        hook.#offer();
      };
      // What was received before is still handed out.
      fail = (hook, error, owner) => {
        mapDelete(open, hook.#id);
        define(error, "stack", hook.#trace);
        hook.#failure = error;
        hook.#owner = owner;
        hook.#answer(owner);
        if (hook.#payloads.first === null) hook.#leave(() => true);
      };
    }
  }
  // Hooks come from createHook() alone.
  define(
    Hook.prototype,
    "constructor",
    {
      Hook: () => {
        throw new TypeError("write createHook(), not new");
      },
    }.Hook,
  );
  if (Symbol.dispose) define(Hook.prototype, Symbol.dispose, Hook.prototype.dispose);
  freeze(Hook.prototype);
  const settled = (value) => {
    const promise = pending();
    settle(promise, value, false);
    return promise;
  };

  helpers.handOver = () => {
    const hooks = [];
    setForEach(offered, (hook) => append(hooks, hook));
    if (hooks.length > 1) sort(hooks, (a, b) => arrivalOf(a) - arrivalOf(b));
    for (let k = 0; k < hooks.length; k++) if (handTo(hooks[k])) return true;
    return false;
  };
  const errorOf = (kind, value) => {
    if (isError(value)) return value;
    return new errors[kind === "hook_conflict" ? "HookConflictError" : "HookForceClaimedError"]();
  };
  helpers.tellHook = (hook, kind, value, isOdd) => {
    if (kind === "hook_received") receive(hook, value, isOdd);
    else if (kind === "hook_registered") register(hook);
    else if (kind === "hook_conflict") {
      const error = errorOf(kind, value);
      fail(hook, error, helpers.runOf(error.conflictingRunId));
    } else if (kind === "hook_revoked") {
      register(hook); // until then it was its own
      fail(hook, errorOf(kind, value), undefined);
    }
  };

  helpers.cancelHook = (hook) => cancel(hook);

  // A run that was started with a token has that hook from the first, and its code finds it here.
  let reserved = null;
  helpers.reserveHook = (token) => {
    reserved = { __proto__: null, token, hook: new Hook("hook_0", token, "") };
  };
  const checkedToken = (token) => {
    if (typeof token !== "string" || !token || token.length > MAX_TOKEN) {
      throw new TypeError("a hook's token is a text of 1 to " + MAX_TOKEN + " characters");
    }
    if (!isWellFormed(token)) {
      throw new TypeError("a hook's token has a lone surrogate, which has no UTF-8 form");
    }
    return token;
  };
  helpers.checkedToken = checkedToken;
  const flag = (name, value) => {
    if (typeof value === "boolean") return value;
    throw new TypeError("a hook's option " + name + " is true or false, not " + show(value));
  };
  const keptFor = (duration, webhook) => {
    if (duration === undefined) return 0;
    if (webhook) throw new TypeError("a webhook's token is not kept: it takes no option minRetention");
    const ms = ceil(endOf(duration, "minRetention") - native.now());
    return ms > 0 ? ms : 0;
  };
  const createHook = (options = {}) => {
    if (!isObject(options)) {
      throw new TypeError("createHook takes an object of options, not " + show(options));
    }
    const { token = randomToken(), metadata: about, isWebhook = false, webhook = isWebhook } = options;
    const { experimental_minRetention, minRetention = experimental_minRetention } = options;
    const { experimental_force = false, force = experimental_force } = options;
    checkedToken(token);
    flag("webhook", webhook);
    flag("force", force);
    const keepMs = keptFor(minRetention, webhook);
    const trace = native.trace(), metadata = about === undefined ? null : native.encode(about, "metadata");
    if (reserved !== null && reserved.token === token) {
      const { hook } = reserved;
      reserved = null;
      return hook;
    }
    const id = nextId("hook"), hook = new Hook(id, token, trace);
    native.emit(["hook", id, token, metadata, webhook, keepMs, force, native.positionIn(trace)]);
    return hook;
  };
  const defineHook = (options = {}) => {
    if (!isObject(options)) {
      throw new TypeError("defineHook takes an object of options, not " + show(options));
    }
    return freeze({
      create: (options) => createHook(options),
      resume: () => {
        throw helpers.unavailable(
          "resume() of defineHook()",
          "send it from a Python step: perdure.resume_hook",
        );
      },
    });
  };
  helpers.unavailable = (what, advice) =>
    named("UnavailableInWorkflowContextError", what + " is not there in a workflow; " + advice);
  helpers.workflow.createHook = createHook;
  helpers.workflow.defineHook = defineHook;
});
