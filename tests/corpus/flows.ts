// Runs of the corpus: each is frozen where it waits, and goes on to a value that can be foretold.
import { createHook, getWritable, sleep } from "workflow";
import { start } from "workflow/api";
import { add, awaited, flaky, look, speak } from "python:corpus_steps";

export async function hooked(name: string): Promise<number> {
  "use workflow";
  const hook = createHook<number>({ token: `corpus-${name}`, metadata: { name } });
  let total = await add(1, 1);
  for await (const n of hook) {
    total = await add(total, n);
    if (n === 0) break;
  }
  return total;
}

export async function keyed(token: string): Promise<string> {
  "use workflow";
  const payload = await createHook<{ word: string }>({ token });
  return payload.word;
}

export async function sleeping(): Promise<boolean> {
  "use workflow";
  const began = Date.now();
  await sleep("1 day");
  return Date.now() - began >= 86_400_000;
}

export async function streaming(): Promise<number> {
  "use workflow";
  const out = getWritable();
  const first = await speak(out, "before");
  await createHook({ token: "corpus-streaming" });
  return first + await speak(out, "after");
}

export async function retried(): Promise<string> {
  "use workflow";
  return await flaky();
}

export async function elsewhere(): Promise<number> {
  "use workflow";
  return await awaited(20) + 1;
}

export async function parent(): Promise<unknown> {
  "use workflow";
  const kept = await start(sleeping, []), asked = await start(hooked, ["of-a-child"], { runId: "corpus-child" });
  const [value, rested] = await Promise.all([asked.returnValue, kept.returnValue]);
  return [value, rested, asked.runId];
}

export async function aborted(): Promise<unknown> {
  "use workflow";
  const controller = new AbortController(), { signal } = controller;
  const before = await look(signal);
  await createHook({ token: "corpus-aborted" });
  controller.abort("enough");
  return [before, await look(signal), signal.reason];
}

class Account {
  #total = 10n ** 20n;
  take(n: number) {
    this.#total += BigInt(n);
    return this;
  }
  get total() {
    return String(this.#total);
  }
}

function* naturals() {
  for (let n = 1;; n++) yield n;
}

export async function asked(): Promise<void> {
  "use workflow";
  try {
    await createHook({ token: "corpus-asked" });
  } finally {
    await sleep("1 day");
    await add(1, 1);
  }
}

export async function heap(): Promise<unknown> {
  "use workflow";
  const account = new Account(), numbers = naturals(), seen = new Map([["a", new Set([1, 2])]]);
  const bytes = new Uint8Array(9).fill(7), cause = new TypeError("why", { cause: seen });
  const later = [1, 2, 3].map((n) => () => account.take(n + (numbers.next().value ?? 0)));
  let told = "";
  try {
    await createHook({ token: "corpus-heap" });
    for (const one of later) one();
    throw cause;
  } catch (error) {
    told = error === cause ? `${error.message} ${error.cause.get("a").size}` : "another";
  }
  return [account.total, told, bytes.reduce((sum, n) => sum + n, 0), numbers.next().value];
}

export async function completed(): Promise<number> {
  "use workflow";
  return await add(40, 2);
}

export async function failed(): Promise<never> {
  "use workflow";
  await add(1, 2);
  throw new RangeError("too far", { cause: { by: 3 } });
}
