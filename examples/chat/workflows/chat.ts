import { answer, remember } from "python:model";
import { getWritable } from "workflow";

export async function chat(question: string): Promise<string> {
  "use workflow";
  const text = await answer(question, getWritable({ namespace: "tokens" }));
  await remember(question, text);
  return text;
}
