// Mixed workflows for tests that kill their workers. Each returns a value that can be foretold.
import { createHook, getWorkflowMetadata, sleep } from "workflow";
import { start } from "workflow/api";
import { add, flaky, holdOn, refuse, slow, speak, stop, tell } from "python:acceptance_steps";

export async function loop(n: number): Promise<number> {
  "use workflow";
  let total = 0;
  for (let i = 0; i < n; i++) total = await add(total, i);
  return total;
}

export async function fan(n: number): Promise<number> {
  "use workflow";
  const values = await Promise.all(Array.from({ length: n }, (_, i) => slow(i)));
  return values.reduce((sum, value) => sum + value, 0);
}

export async function mixed(n: number): Promise<string> {
  "use workflow";
  const seen: string[] = [];
  for (let i = 0; i < n; i++) {
    const [a, b] = await Promise.all([add(i, 1), speak(i)]);
    seen.push(`${a + b}`);
    await sleep(10);
    try {
      await refuse(i);
    } catch (error: any) {
      seen.push(error.message);
    }
    const first = await Promise.race([sleep(30_000).then(() => "late"), add(i, i).then((v) => `${v}`)]);
    seen.push(first);
  }
  seen.push(await flaky("x"));
  return seen.join(",");
}

async function* counted(n: number) {
  for (let i = 0; i < n; i++) yield await add(i, 100);
}

class Sum {
  #total = 0;
  take(value: number) { this.#total += value; return this; }
  get total() { return this.#total; }
}

export async function stateful(n: number): Promise<number> {
  "use workflow";
  const sum = new Sum();
  for await (const value of counted(n)) sum.take(value);
  return sum.total;
}

export async function family(depth: number): Promise<number> {
  "use workflow";
  if (depth === 0) return await add(0, 1);
  const runs = [await start(family, [depth - 1]), await start(family, [depth - 1])];
  const [own, ...others] = await Promise.all([add(depth, 1), ...runs.map((run) => run.returnValue)]);
  return others.reduce((sum, value) => sum + value, own);
}

export async function talks(n: number): Promise<string> {
  "use workflow";
  const seen: unknown[] = [], { workflowRunId } = getWorkflowMetadata();
  for (let i = 0; i < n; i++) {
    using hook = createHook<number>({ token: `${workflowRunId} ${i}` });
    if (await hook.getConflict()) return "its own token is another's";
    await tell(hook.token, i);
    seen.push(await Promise.race([hook, sleep(30_000).then(() => "late")]));
    const controller = new AbortController(), other = new AbortController();
    const heard = new Promise((resolve) => other.signal.addEventListener("abort", resolve));
    const held = holdOn(AbortSignal.any([controller.signal]));
    await stop(other, i);
    await heard;
    controller.abort(other.signal.reason);
    seen.push(await held);
  }
  return seen.join(",");
}

export async function cleaning(n: number): Promise<void> {
  "use workflow";
  try {
    if (n > 1) await (await start(cleaning, [1])).returnValue;
    else await sleep("1 day");
  } finally {
    for (let i = 0; i < n; i++) await slow(i);
  }
}
