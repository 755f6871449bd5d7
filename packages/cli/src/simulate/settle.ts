import { setTimeout as sleep } from "node:timers/promises";
import { NoAnswer } from "../api.ts";
import type { LogBook } from "./logs.ts";

/** How long to wait for deliveries, and whom to tell. */
export interface SettleOptions {
  /** Ends the waiting when nothing settled for so long, in ms. */
  readonly limitMs: number;
  readonly onSettled: (count: number) => void;
}

/** One delivery that is waited for. */
export const deliveryKey = (sessionId: string, event: string): string => `${event} of ${sessionId}`;

const pollMs = 300;
/** Without progress for so long, the whole log is read: a row may have been committed behind the newest. */
const rereadMs = 3_000;

/** Waits until every delivery has settled, or nothing moves any more. @returns those that did not settle. */
export async function settle(
  owed: ReadonlySet<string>,
  book: LogBook,
  options: SettleOptions,
): Promise<Set<string>> {
  const pending = new Set(owed);
  let movedAtMs = performance.now();
  let rereadAtMs = movedAtMs + rereadMs;
  for (;;) {
    const reread = performance.now() > rereadAtMs;
    if (reread) rereadAtMs = performance.now() + rereadMs;
    const before = pending.size;
    await unlessAway(() => (reread ? book.readAll() : book.readNew()));
    for (const row of book.rows.values()) {
      if (row.settledAs !== null) pending.delete(deliveryKey(row.sessionId, row.event));
    }
    options.onSettled(owed.size - pending.size);
    if (pending.size < before) movedAtMs = performance.now();
    if (pending.size === 0 || performance.now() - movedAtMs > options.limitMs) return pending;
    await sleep(pollMs);
  }
}

/** A server that is away is one that settles nothing: the limit decides how long that may last. */
export async function unlessAway(read: () => Promise<void>): Promise<boolean> {
  try {
    await read();
    return true;
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    return false;
  }
}
