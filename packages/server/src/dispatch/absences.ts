import type { Outcome } from "@sendoff/contract";
import type { Clock } from "../clock.ts";

/** Endpoints at which nobody is reached: nothing that waits there is claimed for a while (ADR 0043). */
export interface Absences {
  /** An attempt there is over. */
  heard(endpointId: string, outcome: Outcome): void;
  /** Whether nothing should be claimed there now. */
  isPaused(endpointId: string): boolean;
}

/** So many attempts in a row reach nobody before it is believed. */
const believedAfter = 8;
/** How long nothing is claimed then, in milliseconds. One round of attempts follows, and so on until one is answered. */
const pauseMs = 1_000;

interface Absence {
  inARow: number;
  pausedUntilMs: number;
}

/**
 * Attempts that are refused at once cost no place for long, so the caps do not slow them: a backlog at an endpoint that is
 * down would be attempted as fast as the processor allows, to the harm of all others, and would have failed by the time
 * that somebody is there again. An answer of any status ends it. A time-out says nothing: it has held a place for long.
 */
export function createAbsences(clock: Clock): Absences {
  const absences = new Map<string, Absence>();
  return {
    heard(endpointId, outcome) {
      if (outcome === "delivered" || outcome === "rejected") absences.delete(endpointId);
      if (outcome !== "unreachable") return;
      const absence = absences.get(endpointId) ?? { inARow: 0, pausedUntilMs: 0 };
      absences.set(endpointId, absence);
      absence.inARow += 1;
      const nowMs = clock.monotonicMs();
      // What was under way when the pause began does not make it longer.
      if (absence.inARow >= believedAfter && nowMs >= absence.pausedUntilMs) {
        absence.pausedUntilMs = nowMs + pauseMs;
      }
    },
    isPaused(endpointId) {
      const absence = absences.get(endpointId);
      return absence !== undefined && clock.monotonicMs() < absence.pausedUntilMs;
    },
  };
}
