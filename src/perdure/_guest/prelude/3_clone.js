// structuredClone: a copy within the heap, as HTML has it; crossing to the host is another matter.
// As in 1_values, nothing that workflow code replaces or adds is reached.
(function (native, helpers, builtins) {
  "use strict";
  const { getOwnPropertyDescriptor, getPrototypeOf, hasOwn, keys, setPrototypeOf } = Object;
  const { uncurry, define, append, steps } = helpers;
  const getter = (proto, name) => uncurry(getOwnPropertyDescriptor(proto, name).get);
  const {
    Map: M,
    Set: S,
    Date: D,
    RegExp: R,
    DataView: DV,
    Array: A,
    Error: E,
    String: Str,
    Object: O,
    ArrayBuffer: AB,
    Uint8Array: U8,
    TypeError,
  } = globalThis;
  const mapForEach = uncurry(M.prototype.forEach);
  const mapSet = uncurry(M.prototype.set);
  const mapGet = uncurry(M.prototype.get);
  const mapHas = uncurry(M.prototype.has);
  const setForEach = uncurry(S.prototype.forEach);
  const setAdd = uncurry(S.prototype.add);
  const weakHas = uncurry(WeakMap.prototype.has);
  const source = getter(R.prototype, "source");
  const boxed = {
    __proto__: null,
    number: uncurry(Number.prototype.valueOf),
    string: uncurry(Str.prototype.valueOf),
    boolean: uncurry(Boolean.prototype.valueOf),
    bigint: uncurry(BigInt.prototype.valueOf),
  };
  const typedProto = getPrototypeOf(U8.prototype), setBytes = uncurry(typedProto.set);
  const typedBuffer = getter(typedProto, "buffer");
  const typedOffset = getter(typedProto, "byteOffset");
  const typedLength = getter(typedProto, "length");
  const typedName = getter(typedProto, Symbol.toStringTag);
  const viewBuffer = getter(DV.prototype, "buffer");
  const viewOffset = getter(DV.prototype, "byteOffset");
  const viewLength = getter(DV.prototype, "byteLength");
  const makers = {
    __proto__: null,
    Int8Array,
    Uint8Array,
    Uint8ClampedArray,
    Int16Array,
    Uint16Array,
    Int32Array,
    Uint32Array,
    BigInt64Array,
    BigUint64Array,
    Float16Array,
    Float32Array,
    Float64Array,
  };
  const moveBytes = uncurry(AB.prototype.transfer);
  const isDetached = getter(AB.prototype, "detached");
  const isResizable = getter(AB.prototype, "resizable");
  const byteLength = getter(AB.prototype, "byteLength"), most = getter(AB.prototype, "maxByteLength");
  const errors = { __proto__: null };
  for (const maker of [EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError]) {
    errors[maker.name] = maker.prototype;
  }
  const capturedStack = getter(E.prototype, "stack");

  const nameOf = (value) => {
    if (typeof value === "symbol") return "a symbol";
    if (typeof value === "function") return "a function";
    try {
      return "an object of class " + getPrototypeOf(value).constructor.name;
    } catch {
      return "an object";
    }
  };
  const refuse = (value) => {
    throw helpers.domException("DataCloneError", nameOf(value) + " could not be cloned");
  };
  const keep = (seen, value, made) => {
    mapSet(seen, value, made);
    return made;
  };
  const copyFields = (value, made, seen) => {
    const names = keys(value);
    for (let k = 0; k < names.length; k++) {
      if (hasOwn(value, names[k])) define(made, names[k], cloned(value[names[k]], seen), true);
    }
    return made;
  };
  const copyDomException = (error, seen) => {
    const copy = keep(seen, error, helpers.domException(error.name, error.message));
    return define(copy, "stack", error.stack);
  };
  const own = (value, name) => {
    const found = getOwnPropertyDescriptor(value, name);
    if (found === undefined || !hasOwn(found, "value")) return undefined;
    return { __proto__: null, value: found.value };
  };
  const stackOf = (error) => {
    try {
      return capturedStack(error);
    } catch {
      return undefined;
    }
  };
  const copyError = (error, seen) => {
    if (helpers.isDomException(error)) return copyDomException(error, seen);
    const name = Str(error.name);
    const message = own(error, "message");
    const cause = own(error, "cause");
    const stack = own(error, "stack");
    const copy = keep(seen, error, new E());
    setPrototypeOf(copy, errors[name] ?? E.prototype);
    if (message) define(copy, "message", Str(message.value));
    const text = stack ? stack.value : stackOf(error);
    if (typeof text === "string") define(copy, "stack", text);
    if (cause) define(copy, "cause", cloned(cause.value, seen));
    return copy;
  };
  const copyBuffer = (buffer) => {
    if (isDetached(buffer)) {
      throw helpers.domException("DataCloneError", "an ArrayBuffer that was transferred could not be cloned");
    }
    const size = byteLength(buffer);
    const options = isResizable(buffer) ? { __proto__: null, maxByteLength: most(buffer) } : undefined;
    const made = new AB(size, options);
    if (size) setBytes(new U8(made), new U8(buffer));
    return made;
  };
  const copyMap = (value, made, seen) => {
    const names = [], items = [];
    mapForEach(value, (item, name) => {
      append(names, name);
      append(items, item);
    });
    for (let k = 0; k < names.length; k++) mapSet(made, cloned(names[k], seen), cloned(items[k], seen));
    return made;
  };
  const copySet = (value, made, seen) => {
    const items = [];
    setForEach(value, (item) => append(items, item));
    for (let k = 0; k < items.length; k++) setAdd(made, cloned(items[k], seen));
    return made;
  };
  const copyTyped = (value, seen) =>
    new makers[typedName(value)](cloned(typedBuffer(value), seen), typedOffset(value), typedLength(value));
  const copiers = {
    __proto__: null,
    object: (value, seen) => {
      if (helpers.isUrl(value) || helpers.isPlatform(value)) return refuse(value);
      return copyFields(value, keep(seen, value, {}), seen);
    },
    array: (value, seen) => copyFields(value, keep(seen, value, new A(value.length)), seen),
    map: (value, seen) => copyMap(value, keep(seen, value, new M()), seen),
    set: (value, seen) => copySet(value, keep(seen, value, new S()), seen),
    date: (value, seen) => keep(seen, value, native.copyDate(value)),
    regexp: (value, seen) => keep(seen, value, new R(source(value), native.regexpFlags(value))),
    buffer: (value, seen) => keep(seen, value, copyBuffer(value)),
    typed: (value, seen) => keep(seen, value, copyTyped(value, seen)),
    view: (value, seen) =>
      keep(seen, value, new DV(cloned(viewBuffer(value), seen), viewOffset(value), viewLength(value))),
    error: copyError,
  };
  const cloned = (value, seen) => {
    if (typeof value === "symbol") return refuse(value);
    const kind = native.classOf(value);
    if (kind === "primitive") return value;
    if (mapHas(seen, value)) return mapGet(seen, value);
    if (boxed[kind]) return keep(seen, value, O(boxed[kind](value)));
    if (copiers[kind]) return copiers[kind](value, seen);
    // A step is frozen, and data at each crossing: it is its own copy.
    return typeof value === "function" && weakHas(steps, value) ? value : refuse(value);
  };
  const transferred = (options) => {
    if (options === undefined || options === null) return [];
    if (typeof options !== "object" && typeof options !== "function") {
      throw new TypeError("the options of structuredClone are an object");
    }
    return options.transfer === undefined ? [] : [...options.transfer];
  };
  // A map of the buffers that are moved to copies of them.
  const copiesOf = (list) => {
    const seen = new M();
    for (let k = 0; k < list.length; k++) {
      if (native.classOf(list[k]) === "primitive") {
        const error = new TypeError("what structuredClone transfers are objects");
        throw helpers.coded(error, "ERR_INVALID_ARG_TYPE");
      }
      if (native.classOf(list[k]) !== "buffer") {
        throw helpers.domException("DataCloneError", "only an ArrayBuffer can be transferred");
      }
      if (mapHas(seen, list[k]) || isDetached(list[k])) {
        throw helpers.domException("DataCloneError", "an ArrayBuffer is transferred once only");
      }
      mapSet(seen, list[k], copyBuffer(list[k]));
    }
    return seen;
  };
  const functions = {
    structuredClone(value, options = undefined) {
      if (!arguments.length) {
        throw helpers.coded(new TypeError("structuredClone takes a value"), "ERR_MISSING_ARGS");
      }
      const list = transferred(options), seen = copiesOf(list);
      // Moved last, so that a value that cannot be cloned leaves all where it was.
      const made = cloned(value, seen);
      for (let k = 0; k < list.length; k++) moveBytes(list[k]);
      return made;
    },
  };
  define(globalThis, "structuredClone", functions.structuredClone, true);
});
