import { FatalError, getWorkflowMetadata, setAttributes, sleep } from "workflow";
import { charge, decision, quote, ship, type Fulfilled, type Order } from "python:orders";

const APPROVED_ABOVE = 1_000_00; // cents; a person decides about larger orders
const DECIDED_WITHIN = 24 * 60 * 60 * 1000;

/** From basket to parcel. The process may stop or die at each await, and the order goes on there. */
export async function fulfil(order: Order): Promise<Fulfilled> {
  "use workflow";
  const { workflowRunId: id } = getWorkflowMetadata();

  const prices = await Promise.all(order.lines.map((line) => quote(line)));
  const cents = prices.reduce((sum, price) => sum + price, 0);

  if (cents > APPROVED_ABOVE) {
    setAttributes({ stage: "waits for approval" });
    if (!(await approved(id))) throw new FatalError(`order ${id} was declined`);
  }

  setAttributes({ stage: "charging" });
  const payment = await charge(id, order.customer, cents);

  setAttributes({ stage: "packing" });
  await sleep("2 seconds"); // or "3 days": no process need be alive
  const parcel = await ship(id, order);

  setAttributes({ stage: "shipped" });
  return { cents, payment, parcel };
}

/** A person's decision, looked up once a second; none within a day is a no. */
async function approved(id: string): Promise<boolean> {
  const latest = Date.now() + DECIDED_WITHIN;
  while (Date.now() < latest) {
    const answer = await decision(id);
    if (answer !== null) return answer;
    await sleep("1 second");
  }
  return false;
}
