// Values: how what the encoder in C leaves crosses as CBOR, and the errors of the guest itself.
// Everything used here is captured before workflow code runs, and objects of our own have no
// prototype: nothing that workflow code replaces or adds is reached.
(function (native, helpers, builtins) {
  "use strict";
  const { defineProperty, freeze, getOwnPropertyDescriptor, getPrototypeOf, hasOwn, keys, setPrototypeOf } =
    Object;
  const uncurry = (f) => Function.prototype.call.bind(f);
  const mapSet = uncurry(Map.prototype.set);
  const setAdd = uncurry(Set.prototype.add);
  const setHas = uncurry(Set.prototype.has);
  const mapGet = uncurry(Map.prototype.get), weakGet = uncurry(WeakMap.prototype.get);
  const getter = (proto, name) => uncurry(getOwnPropertyDescriptor(proto, name).get);
  const regexpSource = getter(RegExp.prototype, "source");
  const lengthOf = getter(getPrototypeOf(Uint8Array.prototype), "byteLength");
  const { Map: M, Set: S, Date: D, RegExp: R, DataView: DV, BigInt: Big, Error: E, AggregateError: AE } =
    globalThis;
  const { isArray } = Array;
  const constructors = {
    __proto__: null,
    Error,
    TypeError,
    RangeError,
    SyntaxError,
    ReferenceError,
    EvalError,
    URIError,
    AggregateError,
  };
  // RFC 8746 little-endian tags; encode.c has them the other way.
  const typedOfTag = new Map([
    [68, Uint8ClampedArray],
    [69, Uint16Array],
    [70, Uint32Array],
    [71, BigUint64Array],
    [72, Int8Array],
    [77, Int16Array],
    [78, Int32Array],
    [79, BigInt64Array],
    [84, Float16Array],
    [85, Float32Array],
    [86, Float64Array],
  ]);
  const ERROR = 1347571201,
    BUFFER = 1347571202,
    CLASS = 1347571203,
    STEP = 1347571204,
    STREAM = 1347571206,
    VIEW = 1347571208,
    ABORT = 1347571213,
    RUN = 1347571214;
  setPrototypeOf(builtins, null);
  setPrototypeOf(helpers, null);

  const define = (object, name, value, enumerable = false) =>
    defineProperty(object, name, { __proto__: null, value, writable: true, enumerable, configurable: true });
  class GuestError extends Error {}
  freeze(GuestError);
  freeze(GuestError.prototype);
  const named = (name, message) => define(new GuestError(message), "name", name);

  helpers.uncurry = uncurry;
  helpers.named = named;
  helpers.define = define;
  helpers.append = (list, item) => define(list, list.length, item, true);
  helpers.serializationError = (path, why) =>
    named("SerializationError", "cannot carry the value at " + path + ": " + why);
  helpers.payloadLimitError = (path, limit) =>
    named("PayloadLimitError", "the value at " + path + " is larger than the limit of " + limit + " bytes");
  helpers.negative = (n) => -1n - n;

  // What the user's own getters answer, if they do.
  const read = (value, name) => {
    try {
      return value[name];
    } catch {
      return undefined;
    }
  };
  const text = (value, name) => {
    const found = read(value, name);
    return typeof found === "string" ? found : undefined;
  };
  const own = (value, name) => {
    const found = getOwnPropertyDescriptor(value, name);
    return found !== undefined && hasOwn(found, "value") ? found.value : undefined;
  };
  // The engine keeps a stack behind an accessor of Error.prototype; one that crossed is the error's own.
  const capturedStack = getter(E.prototype, "stack");
  const stackOf = (error) => {
    const found = own(error, "stack");
    if (found !== undefined) return found;
    try {
      return capturedStack(error);
    } catch {
      return undefined;
    }
  };
  const skipped = new S(["message", "stack", "cause", "errors", "fatal", "name"]);
  const carriable = (value) =>
    value === null || typeof value === "string" || typeof value === "number" ||
    typeof value === "boolean" || native.kind(value) === "date";
  const describeError = (error) => {
    const inner = {
      __proto__: null,
      name: text(error, "name") || "Error",
      message: text(error, "message") || "",
    };
    const stack = stackOf(error);
    if (typeof stack === "string") {
      const clean = native.cleanStack(stack);
      if (clean) inner.stack = clean;
    }
    if (own(error, "cause") !== undefined) inner.cause = own(error, "cause");
    // Libraries put other things there.
    if (isArray(own(error, "errors"))) inner.errors = own(error, "errors");
    if (read(error, "fatal") === true) inner.fatal = true;
    const props = { __proto__: null }, names = keys(error);
    for (let k = 0; k < names.length; k++) {
      if (!setHas(skipped, names[k]) && carriable(own(error, names[k]))) {
        props[names[k]] = own(error, names[k]);
      }
    }
    if (keys(props).length) inner.props = props;
    // Thrown it stays an error, whatever its class makes of it.
    const form = helpers.classForm(error);
    if (typeof form === "string") return form;
    if (form !== undefined) inner.class = form[1];
    return [ERROR, inner];
  };
  // Which functions are steps, by the function itself: no property of one says so. Its id, or a
  // function that returns the form of a reference with what it has captured.
  const steps = new WeakMap();
  helpers.steps = steps;
  const describers = {
    __proto__: null,
    regexp: (v) => [21066, [regexpSource(v), native.regexpFlags(v)]],
    error: describeError,
    function: (v) => {
      const step = weakGet(steps, v);
      if (step === undefined) return helpers.classForm(v) ?? "a function is not data";
      return [STEP, typeof step === "string" ? { __proto__: null, id: step } : step()];
    },
    promise: () => "a Promise is not data; await it first",
  };
  // [tag, inner], or a text that says why not.
  helpers.describe = (value) => {
    if (typeof value === "symbol") return "a symbol is not data";
    const describer = describers[native.kind(value)];
    if (describer) return describer(value);
    if (helpers.isUrl && helpers.isUrl(value)) return [32, helpers.hrefOf(value)];
    const stream = helpers.streamOf && helpers.streamOf(value);
    if (stream !== undefined) return [STREAM, stream];
    const form = helpers.fetchForm(value) ?? helpers.abortForm(value) ?? helpers.runForm(value) ??
      helpers.classForm(value);
    if (form !== undefined) return form;
    const proto = getPrototypeOf(value), maker = proto && read(proto, "constructor");
    const name = (maker && text(maker, "name")) || "?";
    return "an instance of class " + name + " is not data; pass its fields";
  };

  // What can be referred to while its inside is still being read.
  helpers.shell = (tag) => {
    if (tag === 259) return new M();
    if (tag === 258) return new S();
    return tag === ERROR ? new E() : undefined;
  };
  const hex = [];
  for (let byte = 0; byte < 256; byte++) hex[byte] = (byte + 256).toString(16).slice(1);
  const bigFrom = (bytes) => {
    let digits = "0x0";
    for (let k = 0, n = lengthOf(bytes); k < n; k++) digits += hex[bytes[k]];
    return Big(digits);
  };
  const fillError = (error, inner) => {
    const name = own(inner, "name"), errors = own(inner, "errors"), special = builtins[name];
    define(error, "message", typeof own(inner, "message") === "string" ? own(inner, "message") : "");
    if (special && hasOwn(special, "revive")) special.revive(error);
    else {
      const make = constructors[name] || (errors === undefined ? E : AE);
      setPrototypeOf(error, make.prototype);
      if (make === AE) define(error, "errors", []);
    }
    if (read(error, "name") !== name) define(error, "name", name);
    define(error, "stack", typeof own(inner, "stack") === "string" ? own(inner, "stack") : "");
    if (hasOwn(inner, "cause")) define(error, "cause", own(inner, "cause"));
    if (errors !== undefined) define(error, "errors", errors);
    if (own(inner, "fatal") === true) define(error, "fatal", true);
    const props = own(inner, "props") || { __proto__: null }, names = keys(props);
    for (let k = 0; k < names.length; k++) define(error, names[k], own(props, names[k]), true);
    return hasOwn(inner, "class") ? helpers.reviveError(error, inner.class) : error;
  };
  helpers.fill = (shell, tag, inner) => {
    if (tag === 259) {
      for (let k = 0; k < inner.length; k += 2) mapSet(shell, inner[k], inner[k + 1]);
      return shell;
    }
    if (tag === 258) {
      for (let k = 0; k < inner.length; k++) setAdd(shell, inner[k]);
      return shell;
    }
    if (tag === ERROR) return fillError(shell, inner);
    if (tag === 0) return new D(inner);
    if (tag === 2) return bigFrom(inner);
    if (tag === 3) return -1n - bigFrom(inner);
    if (tag === 21066) return new R(inner[0], inner[1]);
    if (tag === 32) return new builtins.URL(inner);
    if (tag === BUFFER) return native.buffer(inner);
    if (tag === VIEW) return new DV(native.buffer(inner));
    if (tag === 64) return inner;
    if (tag === STREAM) return helpers.streamHandle(inner);
    if (tag === STEP) {
      return helpers.stepFunction(own(inner, "id"), own(inner, "closure"), own(inner, "this"));
    }
    if (tag === CLASS) return helpers.reviveClass(inner);
    if (tag === ABORT) return helpers.reviveAbort(inner);
    if (tag === RUN) return helpers.reviveRun(inner);
    const revive = mapGet(helpers.fetchTags, tag);
    if (revive !== undefined) return revive(inner);
    const make = mapGet(typedOfTag, tag);
    return make === undefined ? inner : new make(native.buffer(inner));
  };
});
