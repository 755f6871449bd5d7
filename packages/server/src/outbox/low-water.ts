import { LRUCache } from "lru-cache";

/**
 * From where on deliveries wait, by endpoint. What is before that has been claimed, but PostgreSQL keeps it in the index for
 * as long as some transaction might see it, and a claim would go through all of it (performance, "Limits").
 *
 * Something may be left before a mark: what another process had locked and gave up, and what was committed more than
 * {@link lateCommits} after it became due. The look for what no hint told of finds it (find.ts).
 */
export interface LowWater {
  /** When the first that may wait is due, as PostgreSQL writes moments; nothing of an endpoint: look at all of it. */
  of(endpoints: Iterable<string>): Marks;
  /** All that is known, in the order of endpoints. */
  inOrder(): ReadonlyArray<readonly [endpointId: string, mark: string]>;
  /** What a claim with these marks has told. */
  reached(from: Marks, told: Readonly<Record<string, string>>): void;
  /** Something waits before the mark, since this moment. */
  lower(endpointId: string, to: string): void;
  /** PostgreSQL was away: nobody knows what it has committed when. */
  forget(): void;
}

/** A moment for each endpoint. */
export type Marks = ReadonlyMap<string, string>;

/** SQL: so much later than it is due a delivery may be committed and not be before the mark. */
export const lateCommits = "interval '1 second'";
/** So many endpoints have marks; of more those that were claimed from last. They are put in order for each look. */
const marksMax = 5_000;

export function createLowWater(): LowWater {
  const marks = new LRUCache<string, string>({ max: marksMax });
  const of = (endpoints: Iterable<string>): Marks => {
    const known = new Map<string, string>();
    for (const endpoint of endpoints) {
      const mark = marks.get(endpoint);
      if (mark !== undefined) known.set(endpoint, mark);
    }
    return known;
  };
  return {
    of,
    inOrder: () => [...marks.entries()].sort(([left], [right]) => (left < right ? -1 : 1)),
    reached(from, told) {
      for (const [endpoint, mark] of Object.entries(told)) {
        // One that was lowered meanwhile stays there: the claim began behind it.
        if (marks.get(endpoint) === from.get(endpoint)) marks.set(endpoint, mark);
      }
    },
    lower(endpointId, to) {
      if (marks.has(endpointId)) marks.set(endpointId, to);
    },
    forget: () => marks.clear(),
  };
}
