import type pg from "pg";
import type { Clock } from "../clock.ts";
import type { Logger } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { type Claim, claimDue, leaseMarginMs, stallAllowanceMs } from "../outbox/claim.ts";
import { bringUp, type Lane } from "../outbox/lane.ts";
import { release } from "../outbox/release.ts";
import { blockedResult, cancelledResult } from "../outbox/result.ts";
import { afterAttempt } from "../outbox/retry.ts";
import type { Settlement } from "../outbox/settle.ts";
import { takeOver } from "../outbox/takeover.ts";
import { makeAttempt } from "./attempt.ts";
import type { Clients } from "./clients.ts";
import { type ComposeParts, composeAttempt } from "./compose.ts";
import { createSettler } from "./settler.ts";

/** Attempts what is due and settles it. */
export interface Dispatcher {
  /**
   * Looks for due deliveries now. A hint: it looks by itself all the time as well.
   *
   * @param lanes lanes whose next delivery may have become due just now.
   */
  wake(lanes?: readonly Lane[]): void;
  /** How many attempts are under way. */
  inFlight(): number;
  /** Claims no more, and waits until every attempt under way is over and its outcome is stored. */
  drain(): Promise<void>;
}

/** Bounds on what is in flight. Behaviour, section 4. */
export interface DispatchLimits {
  /** Most attempts under way in this process. */
  readonly inFlightMax: number;
  /** Most attempts under way to one endpoint, over all processes. */
  readonly perEndpointMax: number;
}

export interface DispatcherParts extends ComposeParts {
  readonly pool: pg.Pool;
  readonly log: Logger;
  readonly clock: Clock;
  readonly clients: Clients;
  readonly metrics: Metrics;
  readonly limits: DispatchLimits;
  /** Names this process in the claims of deliveries; a new UUID at each start. */
  readonly workerId: string;
}

/** Most deliveries of one claim. Measured (performance): 500 gains a tenth, 50 costs half as much again. */
const claimMax = 200;
/** How often the tables are asked without any hint, in milliseconds. Polling is the truth. */
const pollMs = 250;
/** How often dead workers are looked for, in milliseconds. */
const takeoverMs = 500;
/** Retries may take so much of the process's room, so that a crowd of them leaves room for first attempts. */
const retryShare = 0.5;
/**
 * An endpoint may have so much of the room that is still free. Those that hang thereby share what is left with each
 * other, and never all of it: of 1,024 places 20 of them hold 28 each, 1,000 of them one each, and some stay free.
 */
const shareOfFree = 1 / 16;

export function createDispatcher(parts: DispatcherParts): Dispatcher {
  const { pool, log, clock, workerId, metrics, limits } = parts;
  const inFlight = { first: 0, again: 0 };
  let lanes: Lane[] = [];
  let claiming: Promise<void> | null = null;
  let wakeAgain = false;
  let draining = false;
  let whenIdle: (() => void) | undefined;
  const total = (): number => inFlight.first + inFlight.again;
  const settler = createSettler(parts, (freed) => {
    wake(freed);
    if (total() === 0 && settler.idle()) whenIdle?.();
  });

  const wake = (more: readonly Lane[] = []): void => {
    if (draining) return;
    if (more.length > 0) lanes = lanes.concat(more);
    if (claiming !== null) {
      // The claim under way may have looked already: look once more.
      wakeAgain = true;
      return;
    }
    claiming = claimAll()
      .catch((error: unknown) => log.error({ event: "delivery.claim_failed", reason: reasonOf(error) }))
      .finally(() => {
        claiming = null;
        if (!wakeAgain) return;
        wakeAgain = false;
        wake();
      });
  };

  /** Claims until nothing is due or nothing more has room. First attempts come first, retries have a room of their own. */
  const claimAll = async (): Promise<void> => {
    const named = lanes;
    lanes = [];
    if (named.length > 0) await bringUp(pool, named);
    await claimKind("first", limits.inFlightMax);
    await claimKind("again", Math.ceil(limits.inFlightMax * retryShare));
  };

  const claimKind = async (kind: "first" | "again", roomMax: number): Promise<void> => {
    let afterEndpoint = "";
    for (;;) {
      const free = Math.min(roomMax - inFlight[kind], limits.inFlightMax - total());
      // A worker that cannot store outcomes claims no more (guarantees, "The protocol", 5).
      if (draining || free <= 0 || settler.stuck()) return;
      const room = {
        limit: Math.min(claimMax, free),
        perEndpoint: Math.max(1, Math.min(limits.perEndpointMax, Math.floor(free * shareOfFree))),
        afterEndpoint,
      };
      // Taken before the statement, so that our idea of the lease ends before the database's.
      const askedMs = clock.monotonicMs();
      const { claims, putOff, lastEndpoint } = await claimDue(pool, workerId, kind, room);
      for (const claim of claims) void attempt(kind, claim, askedMs + claim.timeoutMs + leaseMarginMs);
      afterEndpoint = lastEndpoint ?? "";
      if (claims.length + putOff === 0 && lastEndpoint === null) return;
    }
  };

  const attempt = async (kind: "first" | "again", claim: Claim, leaseEndsMs: number): Promise<void> => {
    inFlight[kind] += 1;
    metrics.inFlight.set(total());
    const startedMs = clock.monotonicMs();
    const endsByMs = startedMs + claim.timeoutMs;
    // An attempt ends by its own deadline; that must be so long before the lease's end, and not have passed already.
    const mayBegin = (): boolean =>
      leaseEndsMs - endsByMs >= stallAllowanceMs && clock.monotonicMs() < endsByMs;
    const settlement = await attemptClaim(parts, claim, mayBegin, startedMs);
    inFlight[kind] -= 1;
    metrics.inFlight.set(total());
    if (settlement !== null) settler.add(settlement, leaseEndsMs, total() === 0);
    else await giveBack(claim);
  };

  const giveBack = async (claim: Claim): Promise<void> => {
    log.warn({ event: "delivery.given_back", webhookId: claim.webhookId, attempt: claim.attempt });
    // When this fails, the takeover finds it.
    await release(pool, workerId, [claim]).catch((error: unknown) =>
      log.error({ event: "delivery.release_failed", reason: reasonOf(error) }),
    );
    if (total() === 0 && settler.idle()) whenIdle?.();
  };

  const lookForDead = async (): Promise<void> => {
    try {
      const { unknown, again, lanes: freed, more } = await takeOver(pool);
      if (unknown + again === 0) return;
      metrics.takenOver.inc({ result: "unknown" }, unknown);
      metrics.takenOver.inc({ result: "again" }, again);
      metrics.settled.inc({ state: "unknown" }, unknown);
      log.warn({ event: "delivery.taken_over", unknown, again });
      wake(freed);
      if (more && !draining) await lookForDead();
    } catch (error) {
      log.error({ event: "delivery.takeover_failed", reason: reasonOf(error) });
    }
  };

  const poll = setInterval(() => wake(), pollMs);
  const takeover = setInterval(() => void lookForDead(), takeoverMs);

  return {
    wake,
    inFlight: total,
    async drain() {
      draining = true;
      clearInterval(poll);
      clearInterval(takeover);
      await claiming;
      if (total() === 0 && settler.idle()) return;
      await new Promise<void>((resolve) => {
        whenIdle = resolve;
      });
    },
  };
}

/** Composes and makes the attempt of a claim. Never throws: what cannot be composed is a result, too. */
async function attemptClaim(
  parts: DispatcherParts,
  claim: Claim,
  mayBegin: () => boolean,
  startedMs: number,
): Promise<Settlement | null> {
  const settlementOf = (result: Settlement["result"], recordingUrl: string | null): Settlement => {
    const triedForMs = claim.triedForMs + parts.clock.monotonicMs() - startedMs;
    const next = afterAttempt({ ...claim, result, triedForMs }, Math.random());
    return { claim, result, recordingUrl, next };
  };
  if (claim.endpointRemoved) return settlementOf(cancelledResult, null);
  try {
    const { request, recordingUrl, withoutSecrets } = await composeAttempt(claim, mayBegin, parts);
    const result = await makeAttempt(parts.clients.for(request.url), request, parts.clock);
    return result === null ? null : settlementOf(withoutSecrets(result), recordingUrl);
  } catch (error) {
    parts.log.error({
      event: "delivery.not_composed",
      deliveryId: claim.deliveryId,
      reason: reasonOf(error),
    });
    return settlementOf(blockedResult("not_composed"), null);
  }
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
