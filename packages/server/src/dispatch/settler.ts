import type pg from "pg";
import type { Clock } from "../clock.ts";
import type { Logger } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Claim } from "../outbox/claim.ts";
import { type Settlement, settle } from "../outbox/settle.ts";

/** Stores outcomes in batches, and tries until each is stored or its claim has ended. */
export interface Settler {
  /**
   * @param leaseEndsMs until when the claim lasts, monotonic.
   * @param atOnce few are under way: there is nothing to wait for.
   */
  add(settlement: Settlement, leaseEndsMs: number, atOnce: boolean): void;
  /** Whether nothing waits to be stored. */
  idle(): boolean;
  /** Whether outcomes cannot be stored at the moment, or too many wait. */
  stuck(): boolean;
}

/** Outcomes of so many milliseconds are stored together. Above 10 ms a crash makes too many unknown (guarantees). */
const windowMs = 5;
const batchMax = 200;
/** With more waiting the worker is stuck: it would only make more of them. */
const waitingMax = 2_000;
/** Pause before outcomes that could not be stored are tried again, in milliseconds. */
const againMs = 250;

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
  let failing = false;

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
      try {
        await settleBatch(batch);
        failing = false;
      } catch (error) {
        failing = true;
        await keep(batch, error);
      }
    }
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
      const { stored, freed, claims } = await settle(parts.pool, parts.workerId, settling);
      next = claims;
      tell(parts, batch, stored);
      events.onSettled(settling, freed, claims);
    } finally {
      events.onNext(reserved, next, askedMs);
    }
  };

  /** An outcome is tried until it is stored or its lease ends; then another worker has taken the delivery over. */
  const keep = async (batch: Unsettled[], error: unknown): Promise<void> => {
    const reason = error instanceof Error ? error.message : String(error);
    parts.log.error({ event: "delivery.settle_failed", deliveries: batch.length, reason });
    await new Promise((resolve) => setTimeout(resolve, againMs));
    const now = parts.clock.monotonicMs();
    waiting = batch.filter(({ leaseEndsMs }) => leaseEndsMs > now).concat(waiting);
  };

  return {
    add(settlement, leaseEndsMs, atOnce) {
      waiting.push({ settlement, leaseEndsMs });
      if (atOnce || waiting.length >= batchMax) flush();
      else window ??= setTimeout(flush, windowMs);
    },
    idle: () => waiting.length === 0 && settling === null,
    stuck: () => failing || waiting.length > waitingMax,
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
