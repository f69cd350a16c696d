// Each own property of the built-ins, as lines: what it is, its length, its flags.
const seen = new Map(), lines = [];
const shown = (value) => (typeof value === "function" ? `function ${value.name}/${value.length}` : typeof value === "object" && value !== null ? "object" : typeof value === "symbol" ? "symbol" : `${typeof value} ${String(value)}`);
const walk = (path, value) => {
  if (value === null || (typeof value !== "object" && typeof value !== "function") || seen.has(value)) return;
  seen.set(value, path);
  const proto = Object.getPrototypeOf(value);
  lines.push(`${path} -> ${proto === null ? "null" : seen.get(proto) ?? (typeof proto === "function" ? proto.name || "?" : proto.constructor?.name ?? "?")}`);
  for (const key of Reflect.ownKeys(value)) {
    const found = Object.getOwnPropertyDescriptor(value, key), name = `${path}.${typeof key === "symbol" ? `[${key.description}]` : key}`;
    const how = (found.writable ? "w" : "-") + (found.enumerable ? "e" : "-") + (found.configurable ? "c" : "-");
    if (found.get || found.set) lines.push(`${name} ${how} get ${found.get && shown(found.get)} set ${found.set && shown(found.set)}`);
    else { lines.push(`${name} ${how} ${shown(found.value)}`); walk(name, found.value); }
  }
};
for (const name of names) {
  const found = Object.getOwnPropertyDescriptor(globalThis, name);
  if (!found) { lines.push(`${name} is absent`); continue; }
  const how = (found.writable ? "w" : "-") + (found.enumerable ? "e" : "-") + (found.configurable ? "c" : "-");
  lines.push(`${name} ${found.get ? "get" : how} ${shown(globalThis[name])}`);
  walk(name, globalThis[name]);
}
const hidden = { AsyncFunction: Object.getPrototypeOf(async () => {}), Generator: Object.getPrototypeOf(function* () {}), AsyncGenerator: Object.getPrototypeOf(async function* () {}), TypedArray: Object.getPrototypeOf(Uint8Array), ArrayIterator: Object.getPrototypeOf([][Symbol.iterator]()), MapIterator: Object.getPrototypeOf(new Map().keys()), SetIterator: Object.getPrototypeOf(new Set().keys()), StringIterator: Object.getPrototypeOf(""[Symbol.iterator]()), RegExpStringIterator: Object.getPrototypeOf("".matchAll(/a/g)), ParamsIterator: Object.getPrototypeOf(new URLSearchParams().keys()), HeadersIterator: Object.getPrototypeOf(new Headers().keys()) };
for (const name of Object.keys(hidden)) walk(`%${name}%`, hidden[name]);
return lines.sort();
