// A text for any value, the same on every engine for the same value. Runs in the guest and in Node.
const describe = (value, seen = []) => {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "symbol") return `symbol ${JSON.stringify(value.description)}`;
  if (typeof value === "function") return `function ${value.name}/${value.length}`;
  if (typeof value !== "object" || value === null) return String(value);
  if (seen.includes(value)) return `#${seen.indexOf(value)}`;
  seen.push(value);
  const proto = Object.getPrototypeOf(value), inner = (item) => describe(item, seen);
  const tag = Object.prototype.toString.call(value).slice(8, -1);
  const maker = proto === null ? "null" : typeof proto.constructor === "function" ? proto.constructor.name : "?";
  const skipped = new Set(["stack", "message", "input", "base"]);
  const fields = (from = 0) => Reflect.ownKeys(value).filter((key) => tag !== "Error" && maker !== "DOMException" || !skipped.has(key)).filter((key) => !(typeof key === "string" && /^\d+$/.test(key) && +key < from)).map((key) => {
    const found = Object.getOwnPropertyDescriptor(value, key);
    const how = (found.writable ? "w" : "") + (found.enumerable ? "e" : "") + (found.configurable ? "c" : "");
    return `${String(key)}${how === "wec" ? "" : `<${how}>`}: ${found.get || found.set ? "accessor" : inner(found.value)}`;
  }).join(", ");
  const head = `${maker}${tag === maker ? "" : `/${tag}`}`;
  if (value instanceof Map) return `${head}{${[...value].map(([key, item]) => `${inner(key)} => ${inner(item)}`)}}${fields()}`;
  if (value instanceof Set) return `${head}{${[...value].map(inner)}}${fields()}`;
  if (value instanceof Date) return `${head} ${value.getTime()} ${fields()}`;
  if (value instanceof RegExp) return `${head} ${value.source} ${value.flags} ${value.lastIndex}`;
  if (value instanceof Error) return `${head} ${value.name} ${fields()}`;
  if (value instanceof ArrayBuffer) return `${head} ${[...new Uint8Array(value)]} ${value.resizable ? value.maxByteLength : ""}`;
  if (ArrayBuffer.isView(value)) return `${head} ${value.byteOffset} ${value.byteLength} ${inner(value.buffer)}`;
  if (value instanceof Number || value instanceof Boolean || value instanceof BigInt) return `${head} boxed ${inner(value.valueOf())} ${fields()}`;
  if (value instanceof String) return `${head} boxed ${inner(value.valueOf())} ${fields(value.length)}`;
  return `${head}{${fields()}}`;
};
const outcome = async (program) => {
  try { return describe(await program()); } catch (error) { return `throws ${describe(error)}`; }
};
