// Timers and clocks. The host knows one time: when the earliest timer is due. The order of those that
// are due is decided here: by time, and then as they were made.
(function (native, helpers, builtins) {
  "use strict";
  const { defineProperty } = Object, { apply } = Reflect, { TypeError } = globalThis;
  const { ceil, min, max } = Math, LONGEST = 2147483647;
  const define = (name, value) =>
    defineProperty(globalThis, name, { value, writable: true, configurable: true });
  const heap = []; // a binary heap: the earliest is first
  const byId = new Map();
  const { uncurry } = helpers;
  const mapGet = uncurry(Map.prototype.get), mapSet = uncurry(Map.prototype.set);
  const mapDelete = uncurry(Map.prototype.delete);
  const push = uncurry(Array.prototype.push), pop = uncurry(Array.prototype.pop);
  const { toPrimitive, dispose } = Symbol;
  let made = 0;

  const isBefore = (one, other) => one.at < other.at || (one.at === other.at && one.order < other.order);
  const swap = (a, b) => {
    const timer = heap[a];
    heap[a] = heap[b];
    heap[b] = timer;
  };
  const keep = (timer) => {
    push(heap, timer);
    for (let k = heap.length - 1; k > 0;) {
      const above = (k - 1) >> 1;
      if (!isBefore(heap[k], heap[above])) break;
      swap(k, above);
      k = above;
    }
  };
  const takeFirst = () => {
    const first = heap[0], last = pop(heap);
    if (heap.length === 0) return first;
    heap[0] = last;
    for (let k = 0;;) {
      let least = k;
      for (let below = 2 * k + 1; below < 2 * k + 3 && below < heap.length; below++) {
        if (isBefore(heap[below], heap[least])) least = below;
      }
      if (least === k) return first;
      swap(k, least);
      k = least;
    }
  };
  // Those that were cleared are left in the heap until they come to its top.
  const dropCleared = () => {
    while (heap.length && heap[0].isCleared) takeFirst();
  };

  const clear = (timer) => {
    timer.isCleared = true;
    mapDelete(byId, timer.id);
  };
  class Timeout {
    #timer;
    constructor(timer) {
      this.#timer = timer;
    }
    ref() {
      return this;
    }
    unref() {
      return this;
    }
    hasRef() {
      return true;
    }
    refresh() {
      const old = this.#timer;
      if (old.isCleared) return this;
      clear(old);
      this.#timer = arm(old.callback, old.delay, old.args, old.isRepeated, old.id);
      return this;
    }
    close() {
      clear(this.#timer);
      return this;
    }
    [toPrimitive]() {
      return this.#timer.id;
    }
    static clear(handle) {
      if (typeof handle === "object" && handle !== null && #timer in handle) return clear(handle.#timer);
      const timer = mapGet(byId, typeof handle === "string" ? +handle : handle);
      if (timer !== undefined) clear(timer);
    }
  }
  if (dispose) {
    Timeout.prototype[dispose] = function () {
      this.close();
    };
  }
  const arm = (callback, delay, args, isRepeated, id = ++made) => {
    const at = native.moment() + delay;
    const timer = {
      __proto__: null,
      id,
      at,
      order: ++made,
      callback,
      delay,
      args,
      isRepeated,
      isCleared: false,
    };
    mapSet(byId, id, timer);
    keep(timer);
    return timer;
  };
  helpers.later = (callback, delay) => arm(callback, delay, [], false);
  const checked = (callback, who) => {
    if (typeof callback !== "function") throw new TypeError(who + " takes a function");
    return callback;
  };
  // As Node: what is no delay, or too long a one, is one millisecond.
  const delayOf = (value) => {
    const delay = +value;
    return delay >= 1 && delay <= LONGEST ? delay : 1;
  };
  define("setTimeout", function setTimeout(callback, delay = 1, ...args) {
    return new Timeout(arm(checked(callback, "setTimeout"), delayOf(delay), args, false));
  });
  define("setInterval", function setInterval(callback, delay = 1, ...args) {
    return new Timeout(arm(checked(callback, "setInterval"), delayOf(delay), args, true));
  });
  for (const name of ["clearTimeout", "clearInterval"]) {
    define(
      name,
      {
        [name](handle) {
          Timeout.clear(handle);
        },
      }[name],
    );
  }

  // --- at once, but after what has settled ----------------------------------------------------------
  let immediates = [], next = 0;
  class Immediate {
    isCleared = false;
    ref() {
      return this;
    }
    unref() {
      return this;
    }
    hasRef() {
      return true;
    }
  }
  define("setImmediate", function setImmediate(callback, ...args) {
    const handle = new Immediate();
    push(immediates, { __proto__: null, handle, callback: checked(callback, "setImmediate"), args });
    return handle;
  });
  define("clearImmediate", function clearImmediate(handle) {
    if (typeof handle === "object" && handle !== null) handle.isCleared = true;
  });

  const run = (callback, args) => {
    try {
      apply(callback, undefined, args);
    } catch (error) {
      helpers.fail(error);
    }
  };
  // Runs one task that is due; false if there is none.
  helpers.nextTask = () => {
    if (next < immediates.length) {
      const { handle, callback, args } = immediates[next++];
      if (next === immediates.length) {
        immediates = [];
        next = 0;
      }
      if (!handle.isCleared) run(callback, args);
      return true;
    }
    dropCleared();
    if (!heap.length || heap[0].at > native.moment()) return false;
    const timer = takeFirst();
    if (timer.isRepeated) {
      timer.at = native.moment() + timer.delay;
      timer.order = ++made;
      keep(timer);
    } else clear(timer);
    run(timer.callback, timer.args);
    return true;
  };
  // Milliseconds until a timer is due; null: there is none.
  helpers.wakeAfter = () => {
    dropCleared();
    return heap.length ? max(0, ceil(min(heap[0].at - native.moment(), LONGEST))) : null;
  };

  const origin = { __proto__: null, at: 0 };
  helpers.beginClock = () => {
    origin.at = native.moment();
  };
  define("performance", {
    now() {
      return native.moment() - origin.at;
    },
    get timeOrigin() {
      return origin.at;
    },
  });
});
