import { randomInt } from "node:crypto";
import { SessionId } from "@sendoff/contract";
import { CommandFailure } from "../io.ts";
import { planSession, type SessionPlan } from "./plan.ts";
import { Draw } from "./random.ts";
import type { SessionRow } from "./rows.ts";

/** What a run's plans depend on. */
export interface PlansOptions {
  /** How many sessions; more than there are rows goes through the rows again. */
  readonly sessions: number;
  readonly seed: number;
  /** Ends each session's id, so that a second run does not repeat ids; null keeps the rows' ids as they are. */
  readonly run: string | null;
}

/** Plans of all sessions of a run, in the order in which they start. The same seed gives the same plans. */
export function planSessions(rows: readonly SessionRow[], options: PlansOptions): SessionPlan[] {
  const durations = rows.flatMap((row) =>
    row.callDuration === null || row.callDuration === 0 ? [] : [row.callDuration],
  );
  return Array.from({ length: options.sessions }, (_, index) => {
    const row = rows[index % rows.length];
    if (row === undefined) throw new RangeError("there are no rows to plan sessions from");
    return planSession(row, {
      sessionId: idOf(row, Math.floor(index / rows.length) + 1, options.run),
      draw: Draw.nth(options.seed, index),
      durations,
    });
  });
}

/** Six characters that tell this run from others. Drawn apart from the seed: a repeated seed must not repeat ids. */
export function newRun(): string {
  const letters = "abcdefghijklmnopqrstuvwxyz0123456789";
  return Array.from({ length: 6 }, () => letters[randomInt(letters.length)]).join("");
}

function idOf(row: SessionRow, round: number, run: string | null): string {
  const id = [row.id, ...(round > 1 ? [String(round)] : []), ...(run === null ? [] : [run])].join(".");
  if (!SessionId.safeParse(id).success) {
    throw new CommandFailure(`The session id ${id} would be longer than 128 characters: shorten ${row.id}.`);
  }
  return id;
}
