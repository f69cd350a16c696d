// The snapshot engine quickjs-wasi, measured as bench_vm.py measures ours; run by that script.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";

const require = createRequire(pathToFileURL(process.argv[2] + "/"));
const { QuickJS } = await import(pathToFileURL(require.resolve("quickjs-wasi")).href);
const wasm = await WebAssembly.compile(readFileSync(require.resolve("quickjs-wasi/quickjs.wasm")));

const LOOP = `globalThis.total = 0;
(async () => { for (let i = 0; i < 5; i++) total += await new Promise((r) => { globalThis.next = r; }); })();`;
const LARGE = `globalThis.rows = [];
for (let i = 0; i < 7000; i++) rows.push({ id: i, name: "row " + i, at: Math.random() });`;
const FIB = "var fib = (n) => (n < 2 ? n : fib(n - 1) + fib(n - 2)); fib(27)";

const report = (name, value, unit) =>
  console.log(JSON.stringify({ who: "quickjs-wasi", name, value, unit }));

async function median(count, call) {
  const times = [];
  for (let i = 0; i < count; i++) {
    const began = performance.now();
    await call();
    times.push(performance.now() - began);
  }
  return times.sort((a, b) => a - b)[count >> 1];
}

report("create", await median(30, async () => (await QuickJS.create({ wasm })).dispose()), "ms");
for (const [label, source] of [["five awaits", LOOP], ["1 MB of live objects", LARGE]]) {
  const vm = await QuickJS.create({ wasm });
  vm.evalCode(source).dispose();
  vm.executePendingJobs();
  const save = () => gzipSync(QuickJS.serializeSnapshot(vm.snapshot()));
  const saved = save();
  report(`save, ${label}`, await median(20, save), "ms");
  const load = async () => {
    const made = QuickJS.deserializeSnapshot(new Uint8Array(gunzipSync(saved)));
    (await QuickJS.restore(made, { wasm })).dispose();
  };
  report(`load, ${label}`, await median(20, load), "ms");
  report(`stored, ${label}`, saved.length, "bytes");
}
const vm = await QuickJS.create({ wasm });
report("fib(27)", await median(5, () => vm.evalCode(FIB).dispose()), "ms");
