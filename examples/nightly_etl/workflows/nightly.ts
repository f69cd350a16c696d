import { extract, ingest, load, stage } from "python:items";

const LANES = 8; // items of a batch that are under way at a time

interface Loaded {
  items: number;
  bytes: number;
}

/** A batch whose payloads cross the workflow: each is stored as a result and as an argument. */
export async function batch(items: number[]): Promise<Loaded> {
  "use workflow";
  let bytes = 0;
  await inLanes(items, async (item) => {
    const rows = await extract(item);
    bytes += rows.length;
    await load(item, rows);
  });
  return { items: items.length, bytes };
}

/** The same with the payloads outside: what crosses is where each is, and its digest. */
export async function batchByReference(items: number[]): Promise<Loaded> {
  "use workflow";
  let bytes = 0;
  await inLanes(items, async (item) => {
    const staged = await stage(item);
    bytes += staged.bytes;
    await ingest(item, staged);
  });
  return { items: items.length, bytes };
}

/** Work on all items, so many at a time: each lane takes the next one when it is done with one. */
async function inLanes<T>(items: T[], work: (item: T) => Promise<void>): Promise<void> {
  const waiting = items.values();
  const lane = async () => {
    for (const item of waiting) await work(item);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}
