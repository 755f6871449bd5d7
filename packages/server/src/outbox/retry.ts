import type { SettledState } from "@sendoff/contract";
import type { AttemptResult } from "./result.ts";
import { settledBy } from "./result.ts";

/** What is known when an attempt is over. */
export interface Ended {
  readonly result: AttemptResult;
  /** Number of the attempt, 1 for the first. */
  readonly attempt: number;
  /** null: the endpoint has not opted in. */
  readonly retries: { readonly attempts: number; readonly windowMs: number } | null;
  /** How long ago the first attempt began, in milliseconds. */
  readonly triedForMs: number;
}

/** What becomes of the delivery. */
export type AfterAttempt =
  | { readonly kind: "settled"; readonly as: SettledState }
  /** Due again after so many milliseconds. */
  | { readonly kind: "again"; readonly afterMs: number };

/** Longest first pause. Each further one is four times as long, so that a short fault costs little and a long one few attempts. */
const firstPauseMaxMs = 5_000;
const factor = 4;
/** A receiver may ask for a longer pause by Retry-After, but not for more than this, in milliseconds. */
const retryAfterMaxMs = 3_600_000;

/**
 * Whether a delivery is attempted again, and when (behaviour, section 4): never without the endpoint's wish, never after
 * 410 (the receiver says that it is gone for good), never past the window or the number of attempts.
 *
 * @param random from 0 to 1; a pause is shortened by up to a half with it, so that deliveries that failed together do
 * not come back together.
 */
export function afterAttempt(ended: Ended, random: number): AfterAttempt {
  const { result, retries } = ended;
  const settled: AfterAttempt = { kind: "settled", as: settledBy[result.outcome] };
  const final =
    result.outcome === "delivered" || result.outcome === "cancelled" || result.outcome === "blocked";
  if (retries === null || final || result.responseStatus === 410) return settled;
  const afterMs = Math.max(
    pauseMs(ended.attempt, retries, random),
    Math.min(result.retryAfterMs ?? 0, retryAfterMaxMs),
  );
  const pastWindow = ended.triedForMs + afterMs > retries.windowMs;
  return ended.attempt >= retries.attempts || pastWindow
    ? { kind: "settled", as: "exhausted" }
    : { kind: "again", afterMs: Math.round(afterMs) };
}

/** The pause after an attempt. The first is chosen so that all of them together fit into half of the window. */
function pauseMs(attempt: number, retries: { attempts: number; windowMs: number }, random: number): number {
  const pauses = retries.attempts - 1;
  const unitsOfAll = (factor ** pauses - 1) / (factor - 1);
  const first = Math.min(firstPauseMaxMs, retries.windowMs / 2 / unitsOfAll);
  return first * factor ** (attempt - 1) * (1 - random / 2);
}

/**
 * Milliseconds that a Retry-After header asks for, or null when there is none or it cannot be read. It comes as seconds
 * or as a date (RFC 9110, section 10.2.3).
 */
export function parseRetryAfter(value: string | undefined, wallMs: number): number | null {
  if (value === undefined) return null;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1_000;
  // Date.parse takes far more than HTTP's dates, "-5" among it; those begin with the name of a day.
  const date = /^[A-Z][a-z]{2,8},/.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(date) ? null : Math.max(0, date - wallMs);
}
