// Randomness: from the run's own generator, the same at each replay.
(function (native, helpers, builtins) {
  "use strict";
  const { defineProperty, freeze, getOwnPropertyDescriptor, getPrototypeOf } = Object;
  const U8 = Uint8Array, typed = getPrototypeOf(U8.prototype);
  const getter = (name) => helpers.uncurry(getOwnPropertyDescriptor(typed, name).get);
  const kindOf = getter(Symbol.toStringTag);
  const bufferOf = getter("buffer");
  const offsetOf = getter("byteOffset");
  const sizeOf = getter("byteLength");
  const define = (name, value) =>
    defineProperty(globalThis, name, { value, writable: true, configurable: true });
  const fill = native.fill, random = native.random;
  defineProperty(Math, "random", {
    value: {
      random() {
        return random();
      },
    }.random,
    writable: true,
    configurable: true,
  });
  const isFloat = (kind) => kind === "Float16Array" || kind === "Float32Array" || kind === "Float64Array";
  const hex = (b) => (b + 256).toString(16).slice(1);
  define(
    "crypto",
    freeze({
      get subtle() {
        const advice = "use hashlib or hmac in a Python step";
        throw helpers.named("ForbiddenGlobalError", "crypto.subtle is not there in a workflow; " + advice);
      },
      getRandomValues(view) {
        const kind = kindOf(view);
        if (kind === undefined || isFloat(kind)) {
          throw helpers.domException("TypeMismatchError", "getRandomValues takes a typed array of integers");
        }
        if (sizeOf(view) > 65536) {
          throw helpers.domException("QuotaExceededError", "getRandomValues makes at most 65536 bytes");
        }
        fill(new U8(bufferOf(view), offsetOf(view), sizeOf(view)));
        return view;
      },
      randomUUID() {
        const b = new Uint8Array(16);
        fill(b);
        b[6] = (b[6] & 15) | 64;
        b[8] = (b[8] & 63) | 128;
        const s = Array.from(b, hex).join("");
        return `${s.slice(0, 8)}-${s.slice(8, 12)}-${s.slice(12, 16)}-${s.slice(16, 20)}-${s.slice(20)}`;
      },
    }),
  );
});
