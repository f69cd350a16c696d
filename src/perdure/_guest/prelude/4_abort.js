// AbortController and AbortSignal, as DOM has them. A signal that has crossed has an id: its abort is
// a command then, and steps hear of it; one that a step aborts is told as a delivery.
// As in 1_values, nothing that workflow code replaces or adds is reached.
(function (native, helpers, builtins) {
  "use strict";
  const { uncurry, define, append, publish, unavailable, textOf, isObject, named, coded, open } = helpers;
  const { TypeError, Map: M, Promise: P } = globalThis, { apply } = Reflect, { isArray } = Array;
  const mapGet = uncurry(M.prototype.get), mapSet = uncurry(M.prototype.set);
  const mapDelete = uncurry(M.prototype.delete), exec = uncurry(globalThis.RegExp.prototype.exec);
  const ABORT = 1347571213;
  const signals = new M(); // id -> the signal, of those that have crossed
  const early = new M(); // id -> [reason], of those whose abort came before them
  const foreignId = /^abort_[1-9][0-9]{28}$/; // of one that was made outside; ours are shorter

  // 48 random bits: a run that is deleted and begun anew has other signals, though its id is the same.
  const bytes = new globalThis.Uint8Array(6);
  const freshId = () => {
    native.fill(bytes);
    let number = 1;
    for (let k = 0; k < 6; k++) number = number * 256 + bytes[k];
    return "abort_" + number;
  };

  const odd = (message, code = "ERR_INVALID_ARG_TYPE") => coded(new TypeError(message), code);
  const isCallable = (value) => typeof value === "function" || isObject(value);
  // An error of a listener is nobody's: it is told as a rejection that nobody handles.
  const report = (error) => new P((resolve, reject) => reject(error));

  let isStopped;
  class Event {
    #type;
    #target;
    #isStopped = false;
    constructor(type, target) {
      this.#type = type;
      this.#target = target;
    }
    static {
      isStopped = (event) => event.#isStopped;
    }
    get type() {
      return this.#type;
    }
    get target() {
      return this.#target;
    }
    get currentTarget() {
      return this.#target;
    }
    get isTrusted() {
      return this.#type === "abort";
    }
    get defaultPrevented() {
      this.#type;
      return false;
    }
    preventDefault() {
      this.#type;
    }
    stopPropagation() {
      this.#type;
    }
    stopImmediatePropagation() {
      this.#isStopped = true;
    }
  }

  let fire, makeSignal, abortSignal, isSignal, idOf, addSource, isAborted, reasonOf, forgetReason;
  let share, adopt, isHeard, noteListener;
  class EventTarget {
    #listeners = [];
    #removals = []; // of listeners that have this signal; before any listener is called
    addEventListener(type, callback, options = undefined) {
      const list = this.#listeners;
      if (arguments.length < 2) throw odd("addEventListener takes a type and a listener", "ERR_MISSING_ARGS");
      if (callback === null || callback === undefined) return;
      if (!isCallable(callback)) throw odd("a listener is a function or an object");
      const name = textOf(type), bag = isObject(options) ? options : { __proto__: null, capture: options };
      const { capture, once, signal } = bag;
      if (signal !== undefined && !(isObject(signal) && isSignal(signal))) {
        throw odd("the option signal of a listener is an AbortSignal");
      }
      if (signal !== undefined && isAborted(signal)) return;
      for (let k = 0; k < list.length; k++) {
        const one = list[k];
        if (!one.isGone && one.name === name && one.callback === callback && one.capture === !!capture) {
          return;
        }
      }
      const added = { __proto__: null, name, callback, capture: !!capture, once: !!once, isGone: false };
      this.#keep(list, added);
      if (name === "abort" && isSignal(this)) noteListener(this);
      if (signal !== undefined) append(signal.#removals, () => this.#drop(added));
    }
    removeEventListener(type, callback, options = undefined) {
      const list = this.#listeners;
      if (arguments.length < 2) {
        throw odd("removeEventListener takes a type and a listener", "ERR_MISSING_ARGS");
      }
      const name = textOf(type), capture = !!(isObject(options) ? options.capture : options);
      for (let k = 0; k < list.length; k++) {
        const one = list[k];
        if (one.name === name && one.callback === callback && one.capture === capture) return this.#drop(one);
      }
    }
    dispatchEvent(event) {
      this.#listeners;
      throw unavailable("dispatchEvent()", "abort a signal by its controller: controller.abort()");
    }
    #keep(list, added) {
      const next = [];
      for (let k = 0; k < list.length; k++) append(next, list[k]);
      append(next, added);
      this.#listeners = next;
    }
    #drop(gone) {
      const next = [], list = this.#listeners;
      gone.isGone = true;
      for (let k = 0; k < list.length; k++) if (list[k] !== gone) append(next, list[k]);
      this.#listeners = next;
    }
    static {
      isHeard = (target) => {
        const list = target.#listeners;
        for (let k = 0; k < list.length; k++) if (list[k].name === "abort") return true;
        return false;
      };
      fire = (target, name) => {
        const removals = target.#removals, event = new Event(name, target);
        target.#removals = [];
        for (let k = 0; k < removals.length; k++) removals[k]();
        const list = target.#listeners;
        for (let k = 0; k < list.length && !isStopped(event); k++) {
          const one = list[k];
          if (one.isGone || one.name !== name) continue;
          if (one.once) target.#drop(one);
          try {
            if (typeof one.callback === "function") apply(one.callback, target, [event]);
            else one.callback.handleEvent(event);
          } catch (error) {
            report(error);
          }
        }
      };
    }
  }

  const illegal = { __proto__: null };
  class AbortSignal extends EventTarget {
    #isAborted = false;
    #reason = undefined;
    #handler = null;
    #sources = null; // of one that any() made
    #dependents = [];
    #id = null; // once it has crossed
    #isShared = false; // others may abort it
    #isAwaited = false; // and the host knows that the code listens to it
    #at = null; // where it did first
    constructor(key = undefined) {
      if (key !== illegal) {
        throw odd("write new AbortController(), not new AbortSignal()", "ERR_ILLEGAL_CONSTRUCTOR");
      }
      super();
    }
    static {
      makeSignal = () => new AbortSignal(illegal);
      isSignal = (value) => #isAborted in value;
      isAborted = (signal) => signal.#isAborted;
      reasonOf = (signal) => signal.#reason;
      idOf = (signal) => {
        if (signal.#id === null) {
          signal.#id = freshId();
          mapSet(signals, signal.#id, signal);
        }
        return signal.#id;
      };
      addSource = (signal, source) => {
        signal.#sources ??= [];
        const sources = source.#sources ?? [source];
        for (let k = 0; k < sources.length; k++) {
          append(signal.#sources, sources[k]);
          append(sources[k].#dependents, signal);
        }
      };
      share = (signal) => {
        signal.#isShared = true;
        signal.#await();
      };
      // One that was made outside has its name already.
      adopt = (id) => {
        const signal = mapGet(signals, id) ?? makeSignal();
        signal.#id = id;
        mapSet(signals, id, signal);
        share(signal);
        return signal;
      };
      noteListener = (signal) => {
        const all = signal.#sources ?? [signal], at = native.position();
        for (let k = 0; k < all.length; k++) {
          all[k].#at ??= at;
          all[k].#await();
        }
      };
      // Told is the id of the signal that the host knows to be aborted.
      abortSignal = (signal, reason, told) => {
        if (signal.#isAborted) return;
        const all = [signal], dependents = signal.#dependents;
        signal.#dependents = [];
        signal.#set(reason === undefined ? aborted() : reason);
        for (let k = 0; k < dependents.length; k++) {
          if (dependents[k].#isAborted) continue;
          dependents[k].#set(signal.#reason);
          append(all, dependents[k]);
        }
        for (let k = 0; k < all.length; k++) all[k].#tell(told);
        for (let k = 0; k < all.length; k++) fire(all[k], "abort");
      };
      forgetReason = (signal, reason) => {
        signal.#set(reason === undefined ? aborted() : reason);
        return signal;
      };
    }
    #set(reason) {
      this.#isAborted = true;
      this.#reason = reason;
      if (this.#isAwaited) mapDelete(open, this.#id);
    }
    // A run that waits only for what others may abort waits; without this nothing would say so.
    #await() {
      if (!this.#isShared || this.#isAwaited || this.#isAborted) return;
      let heard = isHeard(this);
      const dependents = this.#dependents;
      for (let k = 0; k < dependents.length && !heard; k++) heard = isHeard(dependents[k]);
      if (!heard) return;
      this.#isAwaited = true;
      const tell = (kind, reason) => {
        if (kind === "abort_received") abortSignal(this, reason, this.#id);
      };
      mapSet(open, this.#id, { __proto__: null, tell });
      native.emit(["listen", this.#id, this.#at ?? ""]);
    }
    #tell(told) {
      if (this.#id === null || this.#id === told) return;
      native.emit(["abort", this.#id, encodedReason(this.#reason)]);
    }
    static abort(reason = undefined) {
      return forgetReason(makeSignal(), reason);
    }
    static any(list) {
      const members = [];
      if (!isObject(list) && typeof list !== "function") throw odd("AbortSignal.any takes signals");
      for (const member of list) {
        if (!isObject(member) || !isSignal(member)) throw odd("AbortSignal.any takes AbortSignals");
        append(members, member);
      }
      const signal = makeSignal();
      for (let k = 0; k < members.length; k++) {
        if (members[k].#isAborted) return forgetReason(signal, members[k].#reason);
      }
      for (let k = 0; k < members.length; k++) addSource(signal, members[k]);
      return signal;
    }
    static timeout(delay) {
      throw unavailable(
        "AbortSignal.timeout()",
        'use a controller and sleep from "workflow": sleep("10s").then(() => controller.abort())',
      );
    }
    get aborted() {
      return this.#isAborted;
    }
    get reason() {
      return this.#reason;
    }
    throwIfAborted() {
      if (this.#isAborted) throw this.#reason;
    }
    get onabort() {
      return this.#handler === null ? null : this.#handler.callback;
    }
    set onabort(callback) {
      const isSet = isCallable(callback);
      if (this.#handler === null && isSet) {
        this.#handler = { __proto__: null, callback };
        listen(this, "abort", (event) => {
          const handler = this.#handler === null ? null : this.#handler.callback;
          if (typeof handler === "function") apply(handler, this, [event]);
        });
      } else if (this.#handler !== null) this.#handler.callback = isSet ? callback : null;
    }
  }
  const listen = uncurry(EventTarget.prototype.addEventListener);
  const aborted = () => helpers.domException("AbortError", "This operation was aborted");
  const encodedReason = (reason) => {
    try {
      return native.encode(reason, "reason");
    } catch {
      return native.encode(named("AbortError", "it was aborted for a reason that cannot cross"), "reason");
    }
  };

  let signalOf, isController, controllerOf;
  class AbortController {
    #signal = makeSignal();
    static {
      isController = (value) => #signal in value;
      signalOf = (controller) => controller.#signal;
      controllerOf = (signal) => {
        const controller = new AbortController();
        controller.#signal = signal;
        return controller;
      };
    }
    get signal() {
      return this.#signal;
    }
    abort(reason = undefined) {
      abortSignal(this.#signal, reason, null);
    }
  }
  publish(AbortSignal);
  publish(AbortController);

  // --- how they cross -------------------------------------------------------------------------------
  // [run id, id, whether it is the controller, whether it is aborted, the reason]
  helpers.abortForm = (value) => {
    const holds = isController(value);
    if (!holds && !isSignal(value)) return undefined;
    const signal = holds ? signalOf(value) : value, run = helpers.runId();
    if (run === null) {
      return "an AbortSignal crosses while the workflow runs, not while its module is evaluated";
    }
    const id = idOf(signal), reason = isAborted(signal) ? reasonOf(signal) : null;
    if (holds) share(signal);
    return [ABORT, [run, id, holds, isAborted(signal), reason]];
  };
  // One that this run sent out is itself again, and one that was made outside any run is this run's
  // from now on. Of another run it is as it was when it crossed.
  helpers.reviveAbort = (inner) => {
    if (!isArray(inner) || typeof inner[1] !== "string") throw new TypeError("a signal without an id");
    if (inner[0] === "") {
      if (!exec(foreignId, inner[1])) throw new TypeError("a signal of no run");
      const signal = adopt(inner[1]), before = mapGet(early, inner[1]);
      if (before !== undefined) abortSignal(signal, before[0], inner[1]);
      if (inner[3] === true) abortSignal(signal, inner[4], inner[1]);
      return inner[2] === true ? controllerOf(signal) : signal;
    }
    const own = inner[0] === helpers.runId() ? mapGet(signals, inner[1]) : undefined;
    const signal = own === undefined ? makeSignal() : own;
    if (own === undefined && inner[3] === true) forgetReason(signal, inner[4]);
    return inner[2] === true ? controllerOf(signal) : signal;
  };
  helpers.tellAbort = (id, reason) => {
    const signal = mapGet(signals, id);
    if (signal !== undefined) abortSignal(signal, reason, id);
    else if (exec(foreignId, id)) mapSet(early, id, [reason]);
  };
  const isOther = helpers.isPlatform;
  helpers.isPlatform = (value) => isOther(value) || isSignal(value) || isController(value);
});
