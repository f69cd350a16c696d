// Makes a value from its description, and says whether it came back as it was.
import { work } from "python:steps";
import { FatalError } from "workflow";
const KINDS = {
  Error, TypeError, RangeError, SyntaxError, AggregateError, FatalError, Uint8Array, Uint8ClampedArray, Uint16Array,
  Uint32Array, Int8Array, Int16Array, Int32Array, Float16Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array,
};
function make(spec, pool) {
  const [kind, first, second] = spec;
  const met = (made) => (pool.push(made), made);
  switch (kind) {
    case "json": return first;
    case "undefined": return undefined;
    case "number": return Number(first);
    case "bigint": return BigInt(first);
    case "date": return met(new Date(first));
    case "regexp": return met(new RegExp(first, second));
    case "url": return met(new URL(first));
    case "buffer": return met(new Uint8Array(first).buffer);
    case "view": return met(new DataView(new Uint8Array([9, ...first]).buffer, 1));
    case "set": return met(new Set(first));
    case "typed": return met(new KINDS[first](first.startsWith("Big") ? second.map(BigInt) : second));
    case "shared": return pool.length ? pool[first % pool.length] : null;
    case "list": { const a = met([]); for (const s of first) a.push(make(s, pool)); return a; }
    case "object": { const o = met({}); for (const k in first) o[k] = make(first[k], pool); return o; }
    case "map": { const m = met(new Map([[0, 0]])); first.forEach((s, k) => m.set(k, make(s, pool))); return m; }
    case "error": {
      const e = met(first === "AggregateError" ? new AggregateError([], "many") : new KINDS[first](first));
      e.code = 7;
      const inner = make(second, pool);
      if (first === "AggregateError") e.errors.push(inner);
      else if (inner != null) e.cause = inner; // None is no cause in Python
      return e;
    }
  }
}
const isContainer = (v) => v instanceof Error || v instanceof Map || Array.isArray(v) || Object.getPrototypeOf(v) === Object.prototype;
const items = (v) => {
  if (v instanceof Date) return [v.getTime()];
  if (v instanceof RegExp || v instanceof URL) return [String(v)];
  if (v instanceof ArrayBuffer) return [...new Uint8Array(v)];
  if (v instanceof DataView) return [...new Uint8Array(v.buffer, v.byteOffset, v.byteLength)];
  if (v instanceof Map) return [...v].flat();
  if (v instanceof Set) return [...v].sort(); // a set of Python's has no order
  if (ArrayBuffer.isView(v)) return [...v];
  if (v instanceof Error) return [v.name, v.message, v.cause, v.errors, v.code, v.fatal];
  return Object.entries(v).flat();
};
// `everywhere`: Python has no identity for a Date and its like; a clone keeps it.
function same(a, b, pairs, everywhere) {
  if (typeof a !== "object" || a === null) return Object.is(a, b);
  if (typeof b !== "object" || b === null || Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  if (pairs.has(a)) return pairs.get(a) === b || !(everywhere || isContainer(a));
  pairs.set(a, b);
  const left = items(a), right = items(b);
  return left.length === right.length && left.every((item, k) => same(item, right[k], pairs, everywhere));
}
export async function w(spec) {
  const pool = [], value = make(spec, pool);
  // HTML clones no URL, and of an error neither its class nor its own fields.
  const isCloned = !pool.some((v) => v instanceof Error || v instanceof URL);
  if (isCloned && !same(value, structuredClone(value), new Map(), true)) return "clone";
  return same(value, await work(value), new Map(), false) ? "same" : "other";
}
