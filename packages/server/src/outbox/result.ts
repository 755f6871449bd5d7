import type { AttemptStep, Outcome, SettledState } from "@sendoff/contract";

/** How a POST ended. */
export interface AttemptResult {
  readonly outcome: Outcome;
  /** The finer word for what failed; null when delivered. */
  readonly errorCode: string | null;
  readonly failedStep: AttemptStep | null;
  readonly responseStatus: number | null;
  /** The first 4 KiB of the answer. */
  readonly responseBody: Buffer | null;
  readonly durationMs: number | null;
  /** What a Retry-After header of the answer asked for, in milliseconds. */
  readonly retryAfterMs: number | null;
}

/** A delivery that ends without a POST: its endpoint was removed. */
export const cancelledResult: AttemptResult = {
  outcome: "cancelled",
  errorCode: "endpoint_removed",
  failedStep: null,
  responseStatus: null,
  responseBody: null,
  durationMs: null,
  retryAfterMs: null,
};

/** A POST that was not made: nothing was sent. It has no duration, which would tell how far it came. */
export function blockedResult(rule: string): AttemptResult {
  return { ...cancelledResult, outcome: "blocked", errorCode: rule };
}

/** How a delivery settles by its last attempt's outcome, when it is not attempted again. Behaviour, sections 1 and 4. */
export const settledBy: Readonly<Record<Outcome, SettledState>> = {
  delivered: "delivered",
  rejected: "rejected",
  timed_out: "failed",
  unreachable: "failed",
  blocked: "failed",
  unknown: "unknown",
  cancelled: "cancelled",
};
