// What aborts: signals of requests and of streams, and those that a time or a step's run aborts.
(function (native, helpers, builtins) {
  "use strict";
  const { defineProperty } = Object, { TypeError, RangeError } = globalThis;
  const isSignal = (value) => helpers.isObject(value) && value instanceof AbortSignal;
  const weakGet = helpers.uncurry(WeakMap.prototype.get), weakSet = helpers.uncurry(WeakMap.prototype.set);
  helpers.checkedSignal = (value) => {
    if (isSignal(value)) return value;
    throw new TypeError("the signal of a request is an AbortSignal");
  };
  const signals = new WeakMap();
  helpers.requestSignals = signals;
  helpers.keepSignal = (request, signal, source) => {
    const kept = signal === undefined && source !== null ? weakGet(signals, source) : signal;
    if (kept !== undefined && kept !== null) weakSet(signals, request, kept);
  };
  defineProperty(AbortSignal, "timeout", {
    value: {
      timeout(delay) {
        const ms = Number(delay), controller = new AbortController();
        if (!(ms >= 0 && ms <= Number.MAX_SAFE_INTEGER)) {
          throw new RangeError("AbortSignal.timeout takes milliseconds from 0 on");
        }
        const error = () => helpers.domException("TimeoutError", "The operation was aborted due to timeout");
        helpers.later(() => controller.abort(error()), ms);
        return controller.signal;
      },
    }.timeout,
    writable: true,
    enumerable: true,
    configurable: true,
  });
});
