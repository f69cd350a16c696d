import { ask, browse, calculate, search, type Call, type Message } from "python:tools";

const SEEN = 12; // messages that the model sees beside the task
const MAX_ROUNDS = 1000;
const tools: Record<string, (argument: string) => Promise<string>> = { browse, calculate, search };

interface Answer {
  rounds: number;
  text: string;
  transcript: Message[];
}

/** Ask the model, use the tools it calls at once, tell it what they said, until it calls none. */
export async function agent(task: string): Promise<Answer> {
  "use workflow";
  const transcript: Message[] = [{ role: "user", text: task, calls: [] }];
  for (let rounds = 1; rounds <= MAX_ROUNDS; rounds++) {
    const reply = await ask([transcript[0], ...transcript.slice(1).slice(-SEEN)]);
    transcript.push(reply);
    if (reply.calls.length === 0) return { rounds, text: reply.text, transcript };
    transcript.push(...(await Promise.all(reply.calls.map(use))));
    if (rounds % 10 === 0) console.log(`${rounds} rounds`);
  }
  throw new Error(`no answer within ${MAX_ROUNDS} rounds`);
}

/** What a tool says. One that fails or takes too long says so, and the model reads that. */
async function use({ tool, argument }: Call): Promise<Message> {
  let text: string;
  try {
    text = await tools[tool](argument);
  } catch (error) {
    text = `${tool} failed: ${(error as Error).message}`;
  }
  return { role: "tool", text, calls: [] };
}
