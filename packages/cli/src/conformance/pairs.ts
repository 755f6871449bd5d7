import { CommandFailure } from "../io.ts";
import { visible } from "../visible.ts";

/**
 * The pairs of session and event that a text lists: `["sessionId","event"]` or `{"sessionId","event"}`, a line each, or all
 * in one JSON array. A last line without its end may be half written and counts only when it is whole.
 *
 * @param where names the text in an error.
 * @throws {CommandFailure} that shows what is no pair.
 */
export function pairsIn(text: string, where: string): [string, string][] {
  return itemsOf(text).map((item) => {
    const pair = pairOf(item);
    if (pair !== null) return pair;
    const given = JSON.stringify(item) ?? "a line that is no JSON";
    throw new CommandFailure(
      `${visible(where)} has ${visible(given, 80)}. Expected is one ["sessionId","event"], or one {"sessionId","event"}, for each: a line each, or all in one JSON array.`,
    );
  });
}

function itemsOf(text: string): unknown[] {
  const whole = parsed(text);
  // One line that is a pair is an array too.
  if (Array.isArray(whole) && pairOf(whole) === null) return whole;
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const last = lines.at(-1) ?? "";
  const cut = !text.endsWith("\n") && parsed(last) === undefined;
  return (cut ? lines.slice(0, -1) : lines).map(parsed);
}

function pairOf(item: unknown): [string, string] | null {
  if (Array.isArray(item)) {
    const [sessionId, event] = item;
    const isPair = item.length === 2 && typeof sessionId === "string" && typeof event === "string";
    return isPair ? [sessionId, event] : null;
  }
  if (typeof item !== "object" || item === null || !("sessionId" in item) || !("event" in item)) return null;
  const { sessionId, event } = item;
  return typeof sessionId === "string" && typeof event === "string" ? [sessionId, event] : null;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
