import type { Clock } from "../clock.ts";

/** How many of the last reports PostgreSQL refused, for the readiness of this process. */
export interface RefusalShare {
  /** So many reports were committed, or found to change nothing. */
  taken(reports: number): void;
  /** So many reports were answered with 503, because PostgreSQL did not store them. */
  refused(reports: number): void;
  /** Whether at least half of the reports of the last {@link windowMs} were refused. */
  isMost(): boolean;
}

/** In milliseconds. */
export const windowMs = 5_000;
const slotMs = 1_000;

interface Slot {
  readonly startedMs: number;
  taken: number;
  refused: number;
}

/** Counts by the second; only the last {@link windowMs} matter. */
export function createRefusalShare(clock: Clock): RefusalShare {
  let slots: Slot[] = [];

  const recent = (): Slot[] => {
    const nowMs = clock.monotonicMs();
    slots = slots.filter(({ startedMs }) => nowMs - startedMs <= windowMs);
    return slots;
  };
  const current = (): Slot => {
    const last = recent().at(-1);
    const nowMs = clock.monotonicMs();
    if (last !== undefined && nowMs - last.startedMs < slotMs) return last;
    const slot = { startedMs: nowMs, taken: 0, refused: 0 };
    slots.push(slot);
    return slot;
  };
  return {
    taken(reports) {
      current().taken += reports;
    },
    refused(reports) {
      current().refused += reports;
    },
    isMost() {
      const sum = (of: "taken" | "refused"): number => recent().reduce((total, slot) => total + slot[of], 0);
      const refused = sum("refused");
      return refused > 0 && refused >= sum("taken");
    },
  };
}
