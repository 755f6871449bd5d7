import type { EventName } from "@sendoff/contract";

/** What can be wrong with deliveries. */
export const faultKinds = ["missing", "duplicate", "unexpected", "outOfOrder", "invalid", "log"] as const;

/**
 * - `missing`: an event that is owed was not sent, or not settled in time, or is logged as delivered and did not arrive.
 * - `duplicate`: more than one delivery of an event succeeded, or it went out again without need.
 * - `unexpected`: an event that the session cannot have, or that the webhook is not subscribed to.
 * - `outOfOrder`: `session.finalized` was not the last.
 * - `invalid`: a body or a header is not as promised.
 * - `log`: `webhook_logs` does not have exactly one row per attempt.
 */
export type FaultKind = (typeof faultKinds)[number];

/** One thing that is wrong, with where it was seen. */
export interface Fault {
  readonly kind: FaultKind;
  readonly sessionId: string;
  readonly event: EventName | null;
  readonly detail: string;
}
