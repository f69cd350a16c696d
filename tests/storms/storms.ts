// Workflows that many workers and senders race for. Each returns all that it received.
import { createHook, sleep } from "workflow";
import { HookForceClaimedError } from "workflow/errors";
import { claim, drive, jitter, rouse, shout } from "python:storms";

export async function steps(rounds: number, width: number) {
  "use workflow";
  const results: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const calls = Array.from({ length: width }, (_, i) => jitter(round * width + i));
    results.push(...await Promise.all(calls));
  }
  return results;
}

export async function receiver(token: string, count: number) {
  "use workflow";
  using hook = createHook<string>({ token });
  const payloads: string[] = [];
  for await (const payload of hook) {
    payloads.push(payload);
    if (payloads.length === count) break;
  }
  return payloads;
}

export async function napper(token: string, count: number, ms: number) {
  "use workflow";
  using hook = createHook<string>({ token });
  const payloads: string[] = [];
  while (payloads.length < count) {
    const payload = await Promise.race([hook, sleep(ms)]);
    if (payload !== undefined) payloads.push(payload);
  }
  return payloads;
}

export async function sleeper(rounds: number) {
  "use workflow";
  for (let round = 0; round < rounds; round++) await sleep("1 hour");
  return rounds;
}

export async function cycle(token: string, rounds: number, ms: number) {
  "use workflow";
  const payloads: number[] = [];
  for (let round = 0; round < rounds; round++) {
    using hook = createHook<number>({ token, metadata: round });
    let payload: number | undefined;
    while (payload === undefined) {
      payload = await Promise.race([hook, sleep(ms).then(() => undefined)]);
    }
    payloads.push(payload);
  }
  return payloads;
}

export async function victim(token: string) {
  "use workflow";
  const hook = createHook<string>({ token }), payloads: string[] = [];
  try {
    for await (const payload of hook) payloads.push(payload);
  } catch (error) {
    if (!HookForceClaimedError.is(error)) throw error;
  }
  return payloads;
}

export async function taker(token: string) {
  "use workflow";
  const payloads: string[] = [];
  for await (const payload of createHook<string>({ token, force: true })) {
    if (payload === "over") return payloads;
    payloads.push(payload);
  }
}

export async function keyed(token: string) {
  "use workflow";
  return [await createHook<string>({ token })];
}

// What races the runs above from the workers' own processes.
export async function sender(token: string, names: string[], times: number) {
  "use workflow";
  return await shout(token, names, times);
}

export async function driver(token: string, rounds: number) {
  "use workflow";
  return await drive(token, rounds);
}

export async function waker(run: string) {
  "use workflow";
  return await rouse(run);
}

export async function claimant(token: string) {
  "use workflow";
  return await claim(token);
}
