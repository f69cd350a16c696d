// Carries out a program, which is its argument: what a workflow does with hooks, as a tree.
import { work } from "python:steps";
import { createHook, sleep } from "workflow";

const direct = async (value) => await value;
const handed = async (value) => value;

export async function w(program) {
  const got = [], hooks = [], iterators = [], kept = [], seen = new Set();
  for (let k = 0; k < program.hooks; k++) {
    hooks[k] = createHook({ token: "token " + k });
    iterators[k] = hooks[k][Symbol.asyncIterator]();
  }
  // The payloads in whatever comes, as [hook, number]; what an iterator answers counts once.
  const note = (value) => {
    if (Array.isArray(value)) value.forEach(note);
    else if (typeof value !== "object" || value === null) return;
    else if (value.payload) {
      if (!value.payload.last) got.push([value.payload.hook, value.payload.number]);
    } else if ("done" in value) {
      if (!seen.has(value)) note(value.value);
      seen.add(value);
    } else if ("value" in value) note(value.value);
  };
  const noted = async (hook) => {
    note(await hook);
    return 0;
  };
  const makers = {
    hook: (k) => hooks[k],
    next: (k) => iterators[k].next(),
    kept: (k) => kept[k] ??= iterators[k].next(),
    then: (k) => hooks[k].then(),
    promise: (k) => Promise.resolve(hooks[k]),
    executor: (k) => new Promise((resolve, reject) => hooks[k].then(resolve, reject)),
    noted: (k) => noted(hooks[k]),
    callback: (k) => hooks[k].then((value) => note(value)),
    direct: (tree) => direct(make(tree)),
    handed: (tree) => handed(make(tree)),
    sleep: (ms) => sleep(ms),
    step: (name) => work(name),
    race: (...trees) => Promise.race(trees.map(make)),
    any: (...trees) => Promise.any(trees.map(make)),
    all: (...trees) => Promise.all(trees.map(make)),
    settled: (...trees) => Promise.allSettled(trees.map(make)),
    finally: (tree) => Promise.race([make(tree)]).finally(() => {}),
  };
  const make = ([kind, ...rest]) => makers[kind](...rest);
  // A kept promise whose answer was seen is kept no more; to look at it is a race that it may lose.
  const forget = async () => {
    for (let k = 0; k < kept.length; k++) {
      if (kept[k] && seen.has(await Promise.race([kept[k], "rival"]))) kept[k] = undefined;
    }
  };
  const run = async (statements) => {
    for (const { kind, tree, times } of statements) {
      for (let round = 0; round < times; round++) {
        try {
          if (kind === "await") note(await make(tree));
          else {
            for await (const item of hooks[tree]) {
              note(item);
              break;
            }
          }
        } catch { /* a step that failed */ }
        await forget();
      }
    }
  };
  await Promise.all(program.fibers.map(run));
  for (let k = 0; k < hooks.length; k++) {
    for (let isLast = false; !isLast;) {
      const item = await (kept[k] || hooks[k]);
      note(item);
      kept[k] = undefined;
      isLast = (item.payload || item.value.payload).last === true;
    }
  }
  return got;
}
