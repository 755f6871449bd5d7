import type pg from "pg";
import type { Clock } from "../clock.ts";
import type { WriteProbe } from "../database/write-probe.ts";
import type { Logger } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import {
  type Claim,
  type ClaimKind,
  type InFlight,
  leaseMarginMs,
  stallAllowanceMs,
} from "../outbox/claim.ts";
import { countDispatchers } from "../outbox/dispatchers.ts";
import type { Handover } from "../outbox/handover.ts";
import type { Hint } from "../outbox/hint.ts";
import { release } from "../outbox/release.ts";
import { blockedResult, cancelledResult } from "../outbox/result.ts";
import { afterAttempt } from "../outbox/retry.ts";
import type { Settlement } from "../outbox/settle.ts";
import { createAbsences } from "./absences.ts";
import { makeAttempt } from "./attempt.ts";
import { createClaimer, shareOf } from "./claimer.ts";
import type { Clients } from "./clients.ts";
import { type ComposeParts, composeAttempt } from "./compose.ts";
import { createLostClaims } from "./lost-claims.ts";
import { createSettler } from "./settler.ts";
import { keepTakingOver } from "./takeovers.ts";
import { createWatchdog } from "./watchdog.ts";

/** Attempts what is due and settles it. */
export interface Dispatcher extends Handover {
  /** Looks for due deliveries there now. It looks everywhere by itself all the time as well. */
  wake(hints: readonly Hint[]): void;
  /** How many attempts are under way. */
  inFlight(): number;
  /** Whether the watchdog has found that nothing begins although work is due. */
  isStalled(): boolean;
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
  readonly writeProbe: WriteProbe;
  /** For how long nothing begins although work is due before that is a stall, in milliseconds. Default: 10,000. */
  readonly stallMs?: number;
  /** Called once when the dispatcher has stalled: this process should end. */
  readonly onStalled: () => void;
}

/** How often the processes that dispatch are counted, in milliseconds; until then there may be so many. */
const countMs = 5_000;
const dispatchersAtFirst = 4;
const none = { first: 0, again: 0 };
/** With fewer attempts under way outcomes are stored at once: to wait for others would gain little, and holds lanes up. */
const fewInFlight = 8;
/** Retries may take so much of the process's room, so that a crowd of them leaves room for first attempts. */
const retryShare = 0.5;

export function createDispatcher(parts: DispatcherParts): Dispatcher {
  const { pool, log, clock, workerId, metrics, limits } = parts;
  const inFlight = { first: 0, again: 0 };
  let draining = false;
  let whenIdle: (() => void) | undefined;
  /** Attempts under way by endpoint, and places reserved, which are for first attempts. */
  const underWay = new Map<string, Readonly<Record<ClaimKind, number>>>();
  const underWayAt: InFlight = (endpointId) => underWay.get(endpointId) ?? none;
  let reserved = 0;
  let dispatchers = dispatchersAtFirst;
  const total = (): number => inFlight.first + inFlight.again;
  const free = (): number => limits.inFlightMax - total() - reserved;
  /** A worker that cannot store outcomes claims no more (guarantees, "The protocol", 5). */
  const roomToStore = (): number => {
    const capacity = settler.capacity();
    if (capacity === "all") return limits.inFlightMax;
    return capacity === "one" && total() + reserved === 0 ? 1 : 0;
  };
  const kindMax = { first: limits.inFlightMax, again: Math.ceil(limits.inFlightMax * retryShare) };
  const lostClaims = createLostClaims({ pool, log, workerId, onReleased: () => claimer.wake() });
  const settler = createSettler(
    { ...parts, lostClaims },
    {
      reserveNext: (settlement) => mayGoOn(settlement) && reserve(settlement.claim),
      onNext(reserved, claims, askedMs) {
        const unused = [...reserved];
        for (const claim of claims) {
          unused.splice(unused.indexOf(claim.endpointId), 1);
          begin(claim, askedMs);
        }
        for (const endpointId of unused) cancel(endpointId);
      },
      onSettled(settled, goingOn, claims) {
        const retried = settled.filter(({ claim }) => claim.retries !== null);
        claimer.freed(settled.map(endpointOf), "first");
        claimer.freed(retried.map(endpointOf), "again");
        const onTheirWay = new Set(claims.map(({ sessionKey, endpointId }) => `${sessionKey} ${endpointId}`));
        const lanes = settled
          .filter(mayGoOn)
          .map(({ claim }) => claim)
          .filter(({ sessionKey, endpointId }) => !onTheirWay.has(`${sessionKey} ${endpointId}`));
        claimer.settled(lanes, goingOn);
      },
      onIdle: () => endWhenIdle(),
    },
  );
  const absences = createAbsences(clock);
  const claimer = createClaimer({
    pool,
    log,
    clock,
    workerId,
    perEndpointMax: limits.perEndpointMax,
    room: (kind) => Math.min(kindMax[kind] - inFlight[kind], free(), roomToStore()),
    lostClaims,
    // What a process that is gone had under way ended with it.
    inFlight: () => (dispatchers === 1 ? underWayAt : undefined),
    isPaused: absences.isPaused,
    begin: (kind, claim, leaseEndsMs) => void attempt(kind, claim, leaseEndsMs),
  });
  const endWhenIdle = (): void => {
    if (total() === 0 && settler.idle()) whenIdle?.();
  };

  const count = (endpointId: string, kind: ClaimKind, change: 1 | -1): void => {
    const before = underWayAt(endpointId);
    const now = { ...before, [kind]: before[kind] + change };
    if (now.first + now.again === 0) underWay.delete(endpointId);
    else underWay.set(endpointId, now);
  };

  const reserve: Handover["reserve"] = ({ endpointId, retries }) => {
    // What waits there already goes first.
    if (draining || free() <= 0 || roomToStore() <= 0 || claimer.isBacklogged(endpointId)) return false;
    // The cap is one for all processes; here nobody asks the table how much the others have under way.
    const most = Math.max(1, Math.floor(shareOf(free(), limits.perEndpointMax) / dispatchers));
    const forFirst = retries === null ? most : Math.max(1, most - Math.floor(most / 4));
    const { first, again } = underWayAt(endpointId);
    if (first + again >= forFirst) return false;
    reserved += 1;
    count(endpointId, "first", 1);
    return true;
  };

  const cancel = (endpointId: string): void => {
    reserved -= 1;
    count(endpointId, "first", -1);
  };

  const begin: Handover["begin"] = (claim, askedMs) => {
    cancel(claim.endpointId);
    void attempt("first", claim, askedMs + claim.timeoutMs + leaseMarginMs);
  };

  const attempt = async (kind: ClaimKind, claim: Claim, leaseEndsMs: number): Promise<void> => {
    lostClaims.begun(claim.deliveryId);
    watchdog.began();
    inFlight[kind] += 1;
    count(claim.endpointId, kind, 1);
    metrics.inFlight.set(total());
    const startedMs = clock.monotonicMs();
    const endsByMs = startedMs + claim.timeoutMs;
    // An attempt ends by its own deadline; that must be so long before the lease's end, and not have passed already.
    const mayBegin = (): boolean =>
      leaseEndsMs - endsByMs >= stallAllowanceMs && clock.monotonicMs() < endsByMs;
    const settlement = await attemptClaim(parts, claim, mayBegin, startedMs);
    inFlight[kind] -= 1;
    count(claim.endpointId, kind, -1);
    metrics.inFlight.set(total());
    if (settlement === null) return await giveBack(claim);
    absences.heard(claim.endpointId, settlement.result.outcome);
    settler.add(settlement, leaseEndsMs, total() < fewInFlight);
  };

  const giveBack = async (claim: Claim): Promise<void> => {
    log.warn({ event: "delivery.given_back", webhookId: claim.webhookId, attempt: claim.attempt });
    try {
      await release(pool, workerId, [claim]);
      lostClaims.ended(claim.deliveryId);
    } catch (error) {
      log.error({ event: "delivery.release_failed", reason: reasonOf(error) });
      lostClaims.notReleased(claim.deliveryId);
    }
    claimer.fresh([{ endpointId: claim.endpointId, sessionKey: null }]);
    endWhenIdle();
  };

  const watchdog = createWatchdog({
    ...parts,
    hasRoom: (kind) => kindMax[kind] > inFlight[kind] && free() > 0,
    isPaused: absences.isPaused,
  });
  const takeovers = keepTakingOver({
    pool,
    log,
    clock,
    metrics,
    onTaken(hints) {
      claimer.freed(hints, "again");
      claimer.freed(hints, "first");
    },
  });
  const countThem = async (): Promise<void> => {
    // While PostgreSQL is away the last number is as good as any.
    dispatchers = Math.max(1, await countDispatchers(pool).catch(() => dispatchers));
  };
  const counting = setInterval(() => void countThem(), countMs);
  void countThem();

  return {
    wake: claimer.fresh,
    workerId,
    reserve,
    cancel,
    begin,
    follow: lostClaims.follow,
    inFlight: total,
    isStalled: watchdog.isStalled,
    async drain() {
      draining = true;
      settler.drain();
      clearInterval(counting);
      await Promise.all([watchdog.stop(), takeovers.stop(), claimer.stop()]);
      if (total() > 0 || !settler.idle()) {
        await new Promise<void>((resolve) => {
          whenIdle = resolve;
        });
      }
      await lostClaims.stop();
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

/** Whether the lane may have got its next delivery while this one settled. */
const mayGoOn = ({ claim, next }: Settlement): boolean =>
  claim.inLane && claim.event !== "session.finalized" && next.kind === "settled";

const endpointOf = ({ claim }: Settlement): Hint => ({ endpointId: claim.endpointId, sessionKey: null });

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
