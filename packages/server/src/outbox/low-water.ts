import type { Clock } from "../clock.ts";

/**
 * From where on deliveries wait, by endpoint. What is before that has been claimed, but PostgreSQL keeps it in the index for
 * as long as some transaction might see it, and a claim would go through all of it (performance, "Limits").
 */
export interface LowWater {
  /** When the first that may wait is due, as PostgreSQL writes moments; nothing of an endpoint: look at all of it. */
  of(endpoints: readonly string[]): ReadonlyMap<string, string>;
  /** What a claim with these marks has told. */
  reached(from: ReadonlyMap<string, string>, marks: Readonly<Record<string, string>>): void;
}

/**
 * For so long a mark is believed, in milliseconds. Something may be left before it: what another process had locked and gave
 * up, and what was committed more than {@link lateCommits} after it became due.
 */
const believedMs = 5_000;
/** SQL: so much later than it is due a delivery may be committed and not be before the mark. */
export const lateCommits = "interval '2 seconds'";
const marksMax = 50_000;

export function createLowWater(clock: Clock): LowWater {
  const marks = new Map<string, { readonly mark: string; readonly untilMs: number }>();
  return {
    of(endpoints) {
      const nowMs = clock.monotonicMs();
      const believed = new Map<string, string>();
      for (const endpoint of endpoints) {
        const known = marks.get(endpoint);
        if (known !== undefined && nowMs < known.untilMs) believed.set(endpoint, known.mark);
      }
      return believed;
    },
    reached(from, told) {
      const untilMs = clock.monotonicMs() + believedMs;
      if (marks.size > marksMax) marks.clear();
      for (const [endpoint, mark] of Object.entries(told)) {
        // One that rests on an older mark ends with it.
        const before = from.has(endpoint) ? marks.get(endpoint) : undefined;
        marks.set(endpoint, { mark, untilMs: before?.untilMs ?? untilMs });
      }
    },
  };
}
