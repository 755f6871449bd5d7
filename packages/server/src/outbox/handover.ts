import type { Claim } from "./claim.ts";
import type { Subscriber } from "./subscribers.ts";

/**
 * The dispatcher of this process, for the commits of this process: a commit may owe deliveries that are claimed already,
 * which spares the statement that would claim them (performance, "The design that reached it", 3).
 */
export interface Handover {
  /** Names this process in claims. */
  readonly workerId: string;
  /** Takes a place for an attempt to an endpoint, if one is free. Each place is used by begin or given back by cancel. */
  reserve(subscriber: Pick<Subscriber, "endpointId" | "retries">): boolean;
  /** @param askedMs when the statement that claims was sent, monotonic. */
  begin(claim: Claim, askedMs: number): void;
  cancel(endpointId: string): void;
  /** Follows a commit that may claim: when its answer is lost, what it has claimed is given back. */
  follow<Result>(commit: Promise<Result>): Promise<Result>;
}

/** A process without a dispatcher: whatever it owes waits for a worker. */
export const noHandover: Handover = {
  workerId: "00000000-0000-0000-0000-000000000000",
  reserve: () => false,
  begin: () => {},
  cancel: () => {},
  follow: (commit) => commit,
};
