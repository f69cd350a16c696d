// Values: how what is not plain data crosses as CBOR, and the errors of the guest itself.
// Everything used here is captured before workflow code runs, so nothing it replaces is reached.
(function (native, helpers, builtins) {
  "use strict";
  const { defineProperty, getOwnPropertyDescriptor, getPrototypeOf, keys, setPrototypeOf } = Object;
  const uncurry = (f) => Function.prototype.call.bind(f);
  const objectPrototype = Object.prototype;
  const mapForEach = uncurry(Map.prototype.forEach), mapSet = uncurry(Map.prototype.set);
  const setForEach = uncurry(Set.prototype.forEach), setAdd = uncurry(Set.prototype.add);
  const getTime = uncurry(Date.prototype.getTime);
  const hexOf = uncurry(BigInt.prototype.toString);
  const getter = (proto, name) => uncurry(getOwnPropertyDescriptor(proto, name).get);
  const regexpSource = getter(RegExp.prototype, "source"), regexpFlags = getter(RegExp.prototype, "flags");
  const typedProto = getPrototypeOf(Uint8Array.prototype);
  const bufferOf = getter(typedProto, "buffer"), offsetOf = getter(typedProto, "byteOffset");
  const lengthOf = getter(typedProto, "byteLength");
  const viewBuffer = getter(DataView.prototype, "buffer"), viewOffset = getter(DataView.prototype, "byteOffset");
  const viewLength = getter(DataView.prototype, "byteLength");
  const slice = uncurry(ArrayBuffer.prototype.slice);
  const { Map: M, Set: S, Date: D, RegExp: R, Uint8Array: U8, DataView: DV, BigInt: Big, Error: E, Array: A } = globalThis;
  const constructors = {
    Error, TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError, AggregateError,
  };
  setPrototypeOf(constructors, null);
  const { isArray } = Array;
  // RFC 8746 little-endian tags by typed array.
  const typedTags = new Map([
    [Uint8ClampedArray, 68], [Uint16Array, 69], [Uint32Array, 70], [BigUint64Array, 71], [Int8Array, 72],
    [Int16Array, 77], [Int32Array, 78], [BigInt64Array, 79], [Float16Array, 84], [Float32Array, 85], [Float64Array, 86],
  ]);
  const tagOfTyped = new Map(), typedOfTag = new Map();
  typedTags.forEach((tag, ctor) => { tagOfTyped.set(ctor.prototype, tag); typedOfTag.set(tag, ctor); });
  const mapGet = uncurry(Map.prototype.get), mapHas = uncurry(Map.prototype.has);
  const ERROR = 1347571201, BUFFER = 1347571202, STEP = 1347571204, VIEW = 1347571208;

  class GuestError extends Error {}
  const named = (name, message) => {
    const error = new GuestError(message);
    defineProperty(error, "name", { value: name, configurable: true, writable: true });
    return error;
  };

  helpers.uncurry = uncurry;
  helpers.named = named;
  helpers.serializationError = (path, why) =>
    named("SerializationError", `cannot carry the value at ${path}: ${why}`);
  helpers.payloadLimitError = (limit) =>
    named("PayloadLimitError", `a value is larger than the limit of ${limit} bytes`);
  helpers.isPlain = (value) => {
    if (native.kind(value) !== "object") return false;
    const proto = getPrototypeOf(value);
    return proto === objectPrototype || proto === null;
  };
  helpers.negative = (n) => -1n - n;

  const bytesOf = (hex) => {
    const even = hex.length % 2 ? "0" + hex : hex, bytes = new U8(even.length / 2);
    for (let k = 0; k < bytes.length; k++) bytes[k] = +("0x" + even[2 * k] + even[2 * k + 1]);
    return bytes;
  };
  const describeBig = (n) => (n < 0n ? [3, bytesOf(hexOf(-1n - n, 16))] : [2, bytesOf(hexOf(n, 16))]);
  const append = (list, item) => defineProperty(list, list.length, { value: item, writable: true, enumerable: true, configurable: true });

  const text = (value, name) => {
    try {
      const found = value[name];
      return typeof found === "string" ? found : undefined;
    } catch { return undefined; }
  };
  const own = (value, name) => {
    const found = getOwnPropertyDescriptor(value, name);
    return found && "value" in found ? found.value : undefined;
  };
  // The engine keeps a stack behind an accessor of Error.prototype; one that crossed is the error's own.
  const capturedStack = getter(E.prototype, "stack");
  const stackOf = (error) => {
    const found = own(error, "stack");
    if (found !== undefined) return found;
    try { return capturedStack(error); } catch { return undefined; }
  };
  const skipped = new Set(["message", "stack", "cause", "errors", "fatal", "name"]);
  const setHas = uncurry(Set.prototype.has);
  const carriable = (value) => value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean";
  const describeError = (error) => {
    const inner = { name: text(error, "name") || "Error", message: text(error, "message") || "" };
    const stack = stackOf(error);
    if (typeof stack === "string") { const clean = native.cleanStack(stack); if (clean) inner.stack = clean; }
    if (own(error, "cause") !== undefined) inner.cause = own(error, "cause");
    if (isArray(own(error, "errors"))) inner.errors = own(error, "errors"); // libraries put other things there
    if (error.fatal === true) inner.fatal = true;
    const props = {};
    for (const key of keys(error)) if (!setHas(skipped, key) && carriable(own(error, key))) props[key] = own(error, key);
    if (keys(props).length) inner.props = props;
    return [ERROR, inner];
  };
  const describeTyped = (value) => {
    const tag = mapGet(tagOfTyped, getPrototypeOf(value));
    if (tag === undefined) return "this typed array has no form to cross in";
    return [tag, new U8(slice(bufferOf(value), offsetOf(value), offsetOf(value) + lengthOf(value)))];
  };
  const describers = {
    map: (v) => { const flat = []; mapForEach(v, (item, key) => { append(flat, key); append(flat, item); }); return [259, flat]; },
    set: (v) => { const flat = []; setForEach(v, (item) => append(flat, item)); return [258, flat]; },
    date: (v) => [1, getTime(v) / 1000],
    regexp: (v) => [21066, [regexpSource(v), regexpFlags(v)]],
    buffer: (v) => [BUFFER, new U8(v)],
    view: (v) => [VIEW, new U8(slice(viewBuffer(v), viewOffset(v), viewOffset(v) + viewLength(v)))],
    typed: describeTyped,
    error: describeError,
    function: (v) => (typeof v.stepId === "string" ? [STEP, { id: v.stepId }] : "a function is not data"),
    promise: () => "a Promise is not data; await it first",
  };
  setPrototypeOf(describers, null);
  // [tag, inner], or a text that says why not.
  helpers.describe = (value) => {
    if (typeof value === "bigint") return describeBig(value);
    if (typeof value === "symbol") return "a symbol is not data";
    const describer = describers[native.kind(value)];
    if (describer) return describer(value);
    if (helpers.isUrl && helpers.isUrl(value)) return [32, value.href];
    const maker = getPrototypeOf(value).constructor;
    return `an instance of class ${maker && maker.name ? maker.name : "?"} is not data; pass its fields`;
  };

  // What can be referred to while its inside is still being read.
  helpers.shell = (tag) => {
    if (tag === 259) return new M();
    if (tag === 258) return new S();
    return tag === ERROR ? new E() : undefined;
  };
  const bigFrom = (bytes) => {
    let n = 0n;
    for (let k = 0; k < bytes.length; k++) n = n * 256n + Big(bytes[k]);
    return n;
  };
  const fillError = (error, inner) => {
    const special = builtins[inner.name];
    const define = (name, value) => defineProperty(error, name, { value, writable: true, configurable: true });
    define("message", typeof inner.message === "string" ? inner.message : "");
    if (special && special.revive) special.revive(error);
    else {
      const make = constructors[inner.name] || (inner.errors === undefined ? E : AggregateError);
      setPrototypeOf(error, make.prototype);
      if (make === AggregateError) define("errors", []);
    }
    if (error.name !== inner.name) define("name", inner.name);
    define("stack", typeof inner.stack === "string" ? inner.stack : "");
    if ("cause" in inner) define("cause", inner.cause);
    if (inner.errors !== undefined) define("errors", inner.errors);
    if (inner.fatal === true) define("fatal", true);
    const props = inner.props || {};
    for (const key of keys(props)) defineProperty(error, key, { value: props[key], writable: true, enumerable: true, configurable: true });
    return error;
  };
  helpers.fill = (shell, tag, inner) => {
    if (tag === 259) { for (let k = 0; k < inner.length; k += 2) mapSet(shell, inner[k], inner[k + 1]); return shell; }
    if (tag === 258) { for (let k = 0; k < inner.length; k++) setAdd(shell, inner[k]); return shell; }
    if (tag === ERROR) return fillError(shell, inner);
    if (tag === 1) return new D(Math_round(inner * 1000));
    if (tag === 0) return new D(inner);
    if (tag === 2) return bigFrom(inner);
    if (tag === 3) return -1n - bigFrom(inner);
    if (tag === 21066) return new R(inner[0], inner[1]);
    if (tag === 32) return new builtins.URL(inner);
    if (tag === BUFFER) return slice(bufferOf(inner), offsetOf(inner), offsetOf(inner) + lengthOf(inner));
    if (tag === VIEW) return new DV(slice(bufferOf(inner), offsetOf(inner), offsetOf(inner) + lengthOf(inner)));
    if (tag === 64) return inner;
    if (tag === STEP) return helpers.stepFunction(inner.id);
    if (mapHas(typedOfTag, tag)) return new (mapGet(typedOfTag, tag))(slice(bufferOf(inner), offsetOf(inner), offsetOf(inner) + lengthOf(inner)));
    return inner;
  };
  const Math_round = Math.round;
});
