import type pg from "pg";
import type { Clock } from "../clock.ts";
import type { Logger } from "../log.ts";
import { type Claim, claimDue, leaseMarginMs } from "../outbox/claim.ts";
import { blockedResult, cancelledResult, settledBy } from "../outbox/result.ts";
import { type Settlement, settle } from "../outbox/settle.ts";
import { takeOver } from "../outbox/takeover.ts";
import { makeAttempt } from "./attempt.ts";
import type { Clients } from "./clients.ts";
import { type ComposeParts, composeAttempt } from "./compose.ts";

/** Attempts what is due and settles it. */
export interface Dispatcher {
  /** Looks for due deliveries now. A hint: it looks by itself every {@link pollMs} as well. */
  wake(): void;
  /** How many attempts are under way. */
  inFlight(): number;
  /** Claims no more, and waits until every attempt under way is over and its outcome is stored. */
  drain(): Promise<void>;
}

export interface DispatcherParts extends ComposeParts {
  readonly pool: pg.Pool;
  readonly log: Logger;
  readonly clock: Clock;
  readonly clients: Clients;
  /** Names this process in the claims of deliveries; a new UUID at each start. */
  readonly workerId: string;
}

/** Most attempts under way in this process. Behaviour, section 4. */
const inFlightMax = 1_024;
/** Most deliveries of one claim. Measured (performance): 500 gains a tenth, 50 costs half as much again. */
const claimMax = 200;
/** How often the tables are asked without any hint, in milliseconds. Polling is the truth. */
const pollMs = 500;
/** How often dead workers are looked for, in milliseconds. */
const takeoverMs = 1_000;
/** Outcomes of so many milliseconds are stored together. Above 10 ms a crash makes too many unknown (guarantees). */
const settleWindowMs = 5;
const settleMax = 200;
/** Pause before outcomes that could not be stored are tried again, in milliseconds. */
const settleAgainMs = 250;

/** An outcome that waits to be stored, until when its claim lasts (monotonic). */
interface Unsettled extends Settlement {
  readonly leaseEndsMs: number;
}

export function createDispatcher(parts: DispatcherParts): Dispatcher {
  const { pool, log, clock, workerId } = parts;
  let inFlight = 0;
  let claiming: Promise<void> | null = null;
  let wakeAgain = false;
  let draining = false;
  let outcomes: Unsettled[] = [];
  let settling: Promise<void> | null = null;
  let window: NodeJS.Timeout | undefined;
  let whenIdle: (() => void) | undefined;

  const wake = (): void => {
    if (draining) return;
    if (claiming !== null) {
      // The claim under way may have looked already: look once more.
      wakeAgain = true;
      return;
    }
    claiming = claimAll().finally(() => {
      claiming = null;
      if (wakeAgain) {
        wakeAgain = false;
        wake();
      }
    });
  };

  const claimAll = async (): Promise<void> => {
    try {
      while (!draining && inFlight < inFlightMax) {
        const limit = Math.min(claimMax, inFlightMax - inFlight);
        // Taken before the statement, so that our idea of the lease ends before the database's.
        const askedMs = clock.monotonicMs();
        const claims = await claimDue(pool, workerId, limit);
        for (const claim of claims) void attempt(claim, askedMs + claim.timeoutMs + leaseMarginMs);
        if (claims.length < limit) return;
      }
    } catch (error) {
      log.error({ event: "delivery.claim_failed", reason: reasonOf(error) });
    }
  };

  const attempt = async (claim: Claim, leaseEndsMs: number): Promise<void> => {
    inFlight += 1;
    const settlement = await attemptClaim(parts, claim);
    outcomes.push({ ...settlement, leaseEndsMs });
    inFlight -= 1;
    logAttempt(log, settlement);
    // With nothing else under way there is nothing to wait for.
    if (inFlight === 0 || outcomes.length >= settleMax) flush();
    else window ??= setTimeout(flush, settleWindowMs);
  };

  const flush = (): void => {
    clearTimeout(window);
    window = undefined;
    settling ??= settleAll().finally(() => {
      settling = null;
      if (outcomes.length > 0) flush();
      else if (inFlight === 0) whenIdle?.();
    });
  };

  const settleAll = async (): Promise<void> => {
    while (outcomes.length > 0) {
      const batch = outcomes.slice(0, settleMax);
      outcomes = outcomes.slice(settleMax);
      try {
        const settled = await settle(pool, workerId, batch);
        if (settled.size < batch.length) {
          log.warn({ event: "delivery.settled_elsewhere", deliveries: batch.length - settled.size });
        }
        // What waited in the lanes of these is due now.
        wake();
      } catch (error) {
        await keepForLater(batch, error);
      }
    }
  };

  /** An outcome is tried until it is stored or its lease ends; then another worker has taken the delivery over. */
  const keepForLater = async (batch: Unsettled[], error: unknown): Promise<void> => {
    log.error({ event: "delivery.settle_failed", deliveries: batch.length, reason: reasonOf(error) });
    await new Promise((resolve) => setTimeout(resolve, settleAgainMs));
    const now = clock.monotonicMs();
    outcomes = [...batch.filter((outcome) => outcome.leaseEndsMs > now), ...outcomes];
  };

  const lookForDead = async (): Promise<void> => {
    try {
      const { unknown, again } = await takeOver(pool);
      if (unknown + again === 0) return;
      log.warn({ event: "delivery.taken_over", unknown, again });
      wake();
    } catch (error) {
      log.error({ event: "delivery.takeover_failed", reason: reasonOf(error) });
    }
  };

  const poll = setInterval(wake, pollMs);
  const takeover = setInterval(() => void lookForDead(), takeoverMs);

  return {
    wake,
    inFlight: () => inFlight,
    async drain() {
      draining = true;
      clearInterval(poll);
      clearInterval(takeover);
      await claiming;
      if (inFlight === 0 && outcomes.length === 0 && settling === null) return;
      await new Promise<void>((resolve) => {
        whenIdle = resolve;
      });
    },
  };
}

/** Composes and makes the attempt of a claim. Never throws: what cannot be composed is a result, too. */
async function attemptClaim(parts: DispatcherParts, claim: Claim): Promise<Settlement> {
  if (claim.endpointRemoved) return { claim, result: cancelledResult, recordingUrl: null };
  try {
    const { request, recordingUrl } = await composeAttempt(claim, parts);
    const result = await makeAttempt(parts.clients.for(request.url), request, parts.clock);
    return { claim, result, recordingUrl };
  } catch (error) {
    parts.log.error({
      event: "delivery.not_composed",
      deliveryId: claim.deliveryId,
      reason: reasonOf(error),
    });
    return { claim, result: blockedResult("not_composed"), recordingUrl: null };
  }
}

function logAttempt(log: Logger, { claim, result }: Settlement): void {
  log.info({
    event: "delivery.attempted",
    projectId: claim.projectId,
    sessionId: claim.sessionId,
    name: claim.event,
    webhookId: claim.webhookId,
    endpointId: claim.endpointId,
    attempt: claim.attempt,
    trigger: claim.trigger,
    outcome: result.outcome,
    errorCode: result.errorCode,
    status: result.responseStatus,
    durationMs: result.durationMs,
    settledAs: settledBy[result.outcome],
  });
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
