import { setTimeout as sleep } from "node:timers/promises";
import { type Answer, errorSentence, NoAnswer } from "./api.ts";

/** What came of a request that was repeated while the server was away. */
export type Result =
  | { readonly kind: "answered"; readonly answer: Answer; readonly retries: number }
  | { readonly kind: "gave-up"; readonly reason: string; readonly retries: number };

const firstWaitMs = 100;
const longestWaitMs = 2_000;

/** Whether the same request may be answered otherwise later: the server is busy, restarting or broken. */
export const isPassing = (status: number): boolean => status === 429 || status >= 500;

/**
 * Sends a request, and again while it meets a 429, a 5xx or no answer, until the patience ends. Waits what Retry-After
 * asks for, else twice as long each time, with jitter, so that many waiting clients do not come back at one instant.
 *
 * @param patienceMs counted from the first send.
 * @param onRetry told before each repeat.
 */
export async function patiently(
  send: () => Promise<Answer>,
  patienceMs: number,
  onRetry: () => void = () => {},
): Promise<Result> {
  const endsAtMs = performance.now() + patienceMs;
  for (let retries = 0; ; retries += 1) {
    const tried = await attempt(send);
    if (tried.kind === "answered") return { ...tried, retries };
    const backoffMs = Math.min(longestWaitMs, firstWaitMs * 2 ** retries) * (0.5 + Math.random());
    const waitMs = tried.retryAfterMs ?? backoffMs;
    if (performance.now() + waitMs > endsAtMs) return { kind: "gave-up", reason: tried.reason, retries };
    await sleep(waitMs);
    onRetry();
  }
}

async function attempt(
  send: () => Promise<Answer>,
): Promise<
  { kind: "answered"; answer: Answer } | { kind: "failed"; reason: string; retryAfterMs: number | null }
> {
  try {
    const answer = await send();
    return isPassing(answer.status)
      ? { kind: "failed", reason: errorSentence(answer), retryAfterMs: answer.retryAfterMs }
      : { kind: "answered", answer };
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    return { kind: "failed", reason: error.message, retryAfterMs: null };
  }
}
