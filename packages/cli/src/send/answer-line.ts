import { styleText } from "node:util";
import { visible } from "../visible.ts";
import type { Answered } from "./post.ts";

/** One POST and its answer in one line that is safe to print. */
export function answerLine(
  event: string,
  sessionId: string,
  answer: Answered,
  colour: boolean,
  at = new Date(),
): string {
  const paint = (style: "green" | "red" | "dim", text: string): string =>
    colour ? styleText(style, text, { validateStream: false }) : text;
  const time = at.toTimeString().slice(0, 8);
  const head = `${paint("dim", time)}  ${visible(event).padEnd(17)}  ${visible(sessionId)}`;
  if (answer.kind === "none") return `${head}  ${paint("red", `no answer (${visible(answer.reason)})`)}`;
  const good = answer.status >= 200 && answer.status < 300;
  const body = visible(answer.body.trim(), 100);
  return `${head}  ${paint(good ? "green" : "red", String(answer.status))} in ${Math.round(answer.ms)} ms${body === "" ? "" : `  ${body}`}`;
}

/** The same for programs. */
export const answerFields = (answer: Answered): object =>
  answer.kind === "none"
    ? { status: null, reason: answer.reason, ms: Math.round(answer.ms), body: null }
    : { status: answer.status, reason: null, ms: Math.round(answer.ms), body: answer.body };
