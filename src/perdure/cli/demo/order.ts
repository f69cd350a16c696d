import { sleep } from "workflow";
import { charge, notify, quote, reserve, ship, track, wrap } from "python:shop";

interface Line { sku: string; quantity: number }

/** An order, from basket to doorstep. Every await is a point the process may die at. */
export async function order(customer: string, lines: Line[]): Promise<object> {
  "use workflow";
  console.log(`order of ${customer}: ${lines.length} lines`);

  // In parallel: one step for each line.
  const prices = await Promise.all(lines.map((line) => quote(line.sku, line.quantity)));
  const total = prices.reduce((sum, price) => sum + price, 0);

  // One after another.
  const reserved: string[] = [];
  for (const line of lines) reserved.push(await reserve(line.sku, line.quantity));

  // Fails twice, and is retried.
  const receipt = await charge(customer, total);

  // Fails for good, and is caught here.
  let wrapping = "gift wrap";
  try {
    await wrap(reserved);
  } catch (error: any) {
    wrapping = `plain box (${error.message})`;
  }

  // Durable: no process need be alive meanwhile.
  await sleep("2 seconds");

  const parcel = await ship(customer, reserved);
  let place = "";
  let looks = 0;
  while (place !== "doorstep") {
    place = await track(parcel, ++looks);
    await sleep(200);
  }
  await notify(customer, `${parcel} is at your ${place}`);
  return { customer, total, receipt, wrapping, parcel, looks };
}
