import type { Spread } from "./figures.ts";
import type { FloodPlan } from "./flood-messages.ts";

/** Requests at a rate that does not yield to the server: a slow answer delays no other request. */
export interface OpenLoopPlan extends FloodPlan {
  readonly perSecond: number;
  readonly seconds: number;
}

/** What became of them. Durations in milliseconds, from writing a request to the end of its answer. */
export interface OpenLoopOutcome {
  readonly offered: number;
  /** Answered 2xx. */
  readonly accepted: number;
  /** Answered anything else. */
  readonly refused: number;
  /** Cut or never answered. */
  readonly unanswered: number;
  /** Not sent, since every connection that there may be was waiting for an answer. */
  readonly unsent: number;
  /** How often each status was answered. */
  readonly statuses: Readonly<Record<string, number>>;
  /** Refusals that do not say when to try again. */
  readonly withoutRetryAfter: number;
  readonly acceptedMs: Spread;
  readonly refusedMs: Spread;
  /** How much later than planned requests were sent: what the load itself is off by. */
  readonly latenessMs: Spread;
  readonly mostConnections: number;
}
