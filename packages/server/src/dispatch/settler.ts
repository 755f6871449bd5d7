import type pg from "pg";
import type { Clock } from "../clock.ts";
import { isUnavailable } from "../database/unavailable.ts";
import type { Logger } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Claim } from "../outbox/claim.ts";
import { type Settlement, settle } from "../outbox/settle.ts";
import type { LostClaims } from "./lost-claims.ts";

/** Stores outcomes in batches, and tries until each is stored. */
export interface Settler {
  /**
   * @param leaseEndsMs until when the claim lasts, monotonic.
   * @param atOnce few are under way: there is nothing to wait for.
   */
  add(settlement: Settlement, leaseEndsMs: number, atOnce: boolean): void;
  /** Whether nothing waits to be stored. */
  idle(): boolean;
  /** From now on outcomes are tried until their leases end, and no longer: the process is to end. */
  drain(): void;
  /** How many more attempts may begin, as far as storing their outcomes is concerned: all, one to try it, or none. */
  capacity(): "all" | "one" | "none";
}

/** Outcomes of so many milliseconds are stored together. Above 10 ms a crash makes too many unknown (guarantees). */
const windowMs = 5;
const batchMax = 200;
/** With more waiting nothing begins: it would only make more of them. */
const waitingMax = 2_000;
/** Pause before outcomes that could not be stored are tried again, in milliseconds. */
const retryMs = 250;

interface Unsettled {
  readonly settlement: Settlement;
  readonly leaseEndsMs: number;
}

export interface SettlerParts {
  readonly pool: pg.Pool;
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly workerId: string;
  /** Follows the statements that claim the next delivery of a lane, and knows which claims are over. */
  readonly lostClaims: Pick<LostClaims, "follow" | "ended" | "abandoned">;
}

/** What a commit of outcomes means to the dispatcher. */
export interface SettlerEvents {
  /** Whether a place is reserved for the delivery that follows in the lane: it is claimed by the same commit. */
  reserveNext(settlement: Settlement): boolean;
  /**
   * Called once for each batch, also for one that could not be stored.
   *
   * @param reserved endpoints with a place, once for each.
   * @param askedMs when the statement that claims was sent, monotonic.
   */
  onNext(reserved: readonly string[], claims: readonly Claim[], askedMs: number): void;
  /** Called after each commit. @param freed endpoints at which the next one of a lane is due. */
  onSettled(settled: readonly Settlement[], freed: readonly string[], claims: readonly Claim[]): void;
  /** Nothing waits any more. */
  onIdle(): void;
}

export function createSettler(parts: SettlerParts, events: SettlerEvents): Settler {
  let waiting: Unsettled[] = [];
  let settling: Promise<void> | null = null;
  let window: NodeJS.Timeout | undefined;
  /** Whether the last outcomes could not be stored. */
  let failing = false;
  let draining = false;

  const flush = (): void => {
    clearTimeout(window);
    window = undefined;
    settling ??= settleAll().finally(() => {
      settling = null;
      if (waiting.length > 0) flush();
      else events.onIdle();
    });
  };

  const settleAll = async (): Promise<void> => {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, batchMax);
      waiting = waiting.slice(batchMax);
      const answer = await settleOrKeep(batch);
      if (answer === "refused") keepRefused(await settleEach(batch));
      if (failing) await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
  };

  /**
   * While PostgreSQL cannot be asked, outcomes are kept for as long as it takes: the statement that stores them does
   * nothing to a delivery that was taken over meanwhile. What PostgreSQL refuses is not kept here.
   */
  const settleOrKeep = async (batch: readonly Unsettled[]): Promise<"stored" | "kept" | "refused"> => {
    try {
      await settleBatch(batch);
      failing = false;
      return "stored";
    } catch (error) {
      failing = true;
      const reason = error instanceof Error ? error.message : String(error);
      parts.log.error({ event: "delivery.settle_failed", deliveries: batch.length, reason });
      if (!isUnavailable(error)) return "refused";
      waiting = (draining ? untilLeasesEnd(batch) : batch).concat(waiting);
      return "kept";
    }
  };

  /** One outcome may be at fault: each is stored alone. */
  const settleEach = async (
    batch: readonly Unsettled[],
  ): Promise<{ refused: Unsettled[]; stored: boolean }> => {
    if (batch.length === 1) return { refused: [...batch], stored: false };
    const refused: Unsettled[] = [];
    let stored = false;
    for (const one of batch) {
      const answer = await settleOrKeep([one]);
      if (answer === "refused") refused.push(one);
      if (answer === "stored") stored = true;
    }
    return { refused, stored };
  };

  /**
   * Where others of the batch were stored, those that are refused are at fault, and given up. Where none was, it is not
   * their fault: they are tried until their leases end.
   */
  const keepRefused = ({ refused, stored }: { refused: Unsettled[]; stored: boolean }): void => {
    if (stored) {
      failing = false;
      for (const one of refused) giveUp(one);
    } else waiting = untilLeasesEnd(refused).concat(waiting);
  };

  /** Gives up those whose leases have ended. @returns the others. */
  const untilLeasesEnd = (batch: readonly Unsettled[]): Unsettled[] => {
    const now = parts.clock.monotonicMs();
    for (const one of batch) if (one.leaseEndsMs <= now) giveUp(one);
    return batch.filter(({ leaseEndsMs }) => leaseEndsMs > now);
  };

  const giveUp = ({ settlement: { claim, result } }: Unsettled): void => {
    const { deliveryId, webhookId, attempt } = claim;
    parts.lostClaims.abandoned(deliveryId);
    parts.log.error({ event: "delivery.outcome_lost", webhookId, attempt, outcome: result.outcome });
  };

  const settleBatch = async (batch: readonly Unsettled[]): Promise<void> => {
    const settling = batch.map(({ settlement }) => ({
      ...settlement,
      claimsNext: events.reserveNext(settlement),
    }));
    const reserved = settling.filter((one) => one.claimsNext).map(({ claim }) => claim.endpointId);
    // Taken before the statement, so that our idea of the leases ends before the database's.
    const askedMs = parts.clock.monotonicMs();
    let next: readonly Claim[] = [];
    try {
      const { stored, freed, claims } = await parts.lostClaims.follow(
        settle(parts.pool, parts.workerId, settling),
      );
      next = claims;
      for (const { claim } of settling) parts.lostClaims.ended(claim.deliveryId);
      tell(parts, batch, stored);
      events.onSettled(settling, freed, claims);
    } finally {
      events.onNext(reserved, next, askedMs);
    }
  };

  return {
    add(settlement, leaseEndsMs, atOnce) {
      waiting.push({ settlement, leaseEndsMs });
      if (atOnce || waiting.length >= batchMax) flush();
      else window ??= setTimeout(flush, windowMs);
    },
    idle: () => waiting.length === 0 && settling === null,
    drain() {
      draining = true;
    },
    capacity() {
      if (waiting.length > waitingMax) return "none";
      if (!failing) return "all";
      // What could not be stored is gone with its lease: whether the next can be stored, only one more attempt tells.
      return waiting.length === 0 && settling === null ? "one" : "none";
    },
  };
}

function tell(
  { log, metrics }: SettlerParts,
  batch: readonly Unsettled[],
  stored: ReadonlySet<number>,
): void {
  for (const { settlement } of batch) {
    const { claim, result, next } = settlement;
    if (!stored.has(claim.deliveryId)) {
      log.warn({ event: "delivery.settled_elsewhere", webhookId: claim.webhookId, attempt: claim.attempt });
      continue;
    }
    metrics.attempts.inc({ outcome: result.outcome, trigger: claim.trigger });
    if (next.kind === "settled") metrics.settled.inc({ state: next.as });
    log.info({
      event: "delivery.attempted",
      projectId: claim.projectId,
      sessionId: claim.sessionId,
      name: claim.event,
      webhookId: claim.webhookId,
      endpointId: claim.endpointId,
      attempt: claim.attemptsBefore + claim.attempt,
      trigger: claim.trigger,
      outcome: result.outcome,
      errorCode: result.errorCode,
      status: result.responseStatus,
      durationMs: result.durationMs,
      ...(next.kind === "settled" ? { settledAs: next.as } : { againAfterMs: next.afterMs }),
    });
  }
}
