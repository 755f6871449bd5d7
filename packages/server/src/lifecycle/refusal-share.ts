import type { Clock } from "../clock.ts";

/** How many of the last reports PostgreSQL refused, for the readiness of this process. */
export interface RefusalShare {
  /** So many reports were committed, or found to change nothing. */
  taken(reports: number): void;
  /** So many reports were answered with 503, because PostgreSQL did not store them. */
  refused(reports: number): void;
  /**
   * Whether the last report was refused, and at least half of those of the last second with any, unless that is longer
   * than {@link windowMs} ago.
   */
  isMost(): boolean;
}

/** In milliseconds. */
export const windowMs = 5_000;
const slotMs = 1_000;

interface Slot {
  readonly startedMs: number;
  taken: number;
  refused: number;
  lastWasRefused: boolean;
}

/** Counts by the second: when PostgreSQL is back, what it refused before does not count for long. */
export function createRefusalShare(clock: Clock): RefusalShare {
  let slot: Slot | null = null;

  const current = (): Slot => {
    const nowMs = clock.monotonicMs();
    if (slot === null || nowMs - slot.startedMs >= slotMs) {
      slot = { startedMs: nowMs, taken: 0, refused: 0, lastWasRefused: false };
    }
    return slot;
  };
  return {
    taken(reports) {
      const slot = current();
      slot.taken += reports;
      slot.lastWasRefused = false;
    },
    refused(reports) {
      const slot = current();
      slot.refused += reports;
      slot.lastWasRefused = true;
    },
    isMost() {
      if (slot === null || clock.monotonicMs() - slot.startedMs > windowMs) return false;
      return slot.lastWasRefused && slot.refused >= slot.taken;
    },
  };
}
