import type pg from "pg";
import type { Clock } from "../clock.ts";
import type { Logger } from "../log.ts";
import { type Claim, type ClaimKind, claimDue, type InFlight, leaseMarginMs } from "../outbox/claim.ts";
import { endpointsMax, findDue, lowestEndpoint } from "../outbox/find.ts";
import { type Hint, lanesOf } from "../outbox/hint.ts";
import { bringUp, type Lane } from "../outbox/lane.ts";
import { createLowWater } from "../outbox/low-water.ts";
import type { LostClaims } from "./lost-claims.ts";

/** Claims what is due, told by hints and by looking, as long as there is room. */
export interface Claimer {
  /** A commit made deliveries due there. */
  fresh(hints: readonly Hint[]): void;
  /** Whether first attempts wait there that are due, as far as this process knows. */
  isBacklogged(endpointId: string): boolean;
  /**
   * Deliveries of these lanes have settled: soon they are looked at once more (lane.ts).
   *
   * @param goingOn endpoints at which the next one of a lane is due already.
   */
  settled(lanes: readonly Lane[], goingOn: readonly string[]): void;
  /** Endpoints have room again for what waits there, and lanes may go on. */
  freed(hints: readonly Hint[], kind: ClaimKind): void;
  /** There may be room in this process again. */
  wake(): void;
  /** Claims no more, and waits for the claim under way. */
  stop(): Promise<void>;
}

export interface ClaimerParts {
  readonly pool: pg.Pool;
  readonly log: Logger;
  readonly clock: Clock;
  readonly workerId: string;
  /** Most attempts under way to one endpoint, over all processes. */
  readonly perEndpointMax: number;
  /** How many more attempts of a kind this process may have under way now. */
  readonly room: (kind: ClaimKind) => number;
  /** How many are in flight to an endpoint; undefined while other processes may have some there as well. */
  readonly inFlight: () => InFlight | undefined;
  /** Whether nothing should be claimed at this endpoint now; it is found again by looking. */
  readonly isPaused: (endpointId: string) => boolean;
  /** Follows the statements that claim. */
  readonly lostClaims: Pick<LostClaims, "follow">;
  /** @param leaseEndsMs until when the claim lasts, monotonic. */
  readonly begin: (kind: ClaimKind, claim: Claim, leaseEndsMs: number) => void;
}

/** Most deliveries of one claim. Measured (performance): 500 gains a tenth, 50 costs half as much again. */
const freshMax = 200;
/** The same of endpoints that may have a backlog: what is fresh waits for one such claim at most. */
const othersMax = 100;
/** When lanes are looked at whose deliveries have settled, in milliseconds: many together, for almost none has anything. */
const settledLookMs = 100;
/** How often all endpoints are looked at, in milliseconds. Polling is the truth, hints are hints. */
const pollMs = 250;
/** Looking takes a fifth of the time at most, and happens once a second at least. */
const pauseShare = 4;
const pauseMaxMs = 1_000;
/** How often what is before the marks is looked at as well (low-water.ts): so late is what was left there. */
const beforeMarksMs = 1_000;
/** That takes a tenth of the time at most, */
const beforeMarksShare = 10;
/**
 * but it happens this often, in milliseconds, however long it takes: a commit that takes longer than a second leaves
 * deliveries before the marks, and a look at a PostgreSQL that has just come back takes seconds.
 */
const beforeMarksMaxMs = 5_000;
/**
 * An endpoint may have so much of the room that is still free. Those that hang thereby share what is left with each
 * other, and never all of it: of 1,024 places 20 of them hold 28 each, 1,000 of them one each, and some stay free.
 */
const shareOfFree = 1 / 16;

/** Endpoints to claim from, each once, the one that has waited longest first. */
interface Queue {
  readonly kind: ClaimKind;
  /** Most endpoints, and most deliveries, of one claim. */
  readonly most: number;
  endpoints: Set<string>;
}

export function createClaimer(parts: ClaimerParts): Claimer {
  const { pool, log, clock, workerId } = parts;
  const queue = (kind: ClaimKind, most = othersMax): Queue => ({ kind, most, endpoints: new Set() });
  const fresh = queue("first", freshMax);
  const freed = { first: queue("first"), again: queue("again") };
  const found = { first: queue("first"), again: queue("again") };
  let others = [freed.first, freed.again, found.first, found.again];
  let freshHadTurn = false;
  const lanes: Lane[] = [];
  /** Where deliveries of a kind wait that are due, as far as this process knows. */
  const backlogged = { first: new Set<string>(), again: new Set<string>() };
  const lowWater = { first: createLowWater(), again: createLowWater() };
  const settledLanes: Lane[] = [];
  let settledTimer: NodeJS.Timeout | undefined;
  let claiming: Promise<void> | null = null;
  let wakeAgain = false;
  let looking: Promise<void> | null = null;
  let stopped = false;

  let beforeMarksAtMs = 0;

  const failed = (error: unknown): void => {
    lowWater.first.forget();
    lowWater.again.forget();
    log.error({
      event: "delivery.claim_failed",
      reason: error instanceof Error ? error.message : String(error),
    });
  };

  /** Lanes go on there. Where more waits it is one of many; it does not come before what is fresh elsewhere. */
  const goOn = (endpoints: readonly string[]): void => {
    for (const endpoint of endpoints) {
      (backlogged.first.has(endpoint) ? freed.first : fresh).endpoints.add(endpoint);
      backlogged.first.add(endpoint);
    }
  };

  const wake = (): void => {
    if (stopped) return;
    if (claiming !== null) {
      wakeAgain = true;
      return;
    }
    // What a claim that fails has taken from the queues is found by looking.
    claiming = claimAll()
      .catch(failed)
      .finally(() => {
        claiming = null;
        if (!wakeAgain) return;
        wakeAgain = false;
        wake();
      });
  };

  const claimAll = async (): Promise<void> => {
    while (!stopped) {
      if (lanes.length > 0) goOn(await bringUp(pool, lanes.splice(0)));
      const next = nextQueue();
      if (next === undefined) return;
      await claimFrom(next);
    }
  };

  /** What is fresh has every second turn, the others share the rest: none waits for ever, however full another is. */
  const nextQueue = (): Queue | undefined => {
    const ready = ({ kind, endpoints }: Queue): boolean => endpoints.size > 0 && parts.room(kind) > 0;
    const other = others.find(ready);
    freshHadTurn = ready(fresh) && !(freshHadTurn && other !== undefined);
    if (freshHadTurn) return fresh;
    if (other !== undefined) others = [...others.filter((one) => one !== other), other];
    return other;
  };

  const claimFrom = async (queue: Queue): Promise<void> => {
    const { kind, most } = queue;
    const endpoints = takeFrom(queue, parts.isPaused);
    if (endpoints.length === 0) return;
    const free = parts.room(kind);
    const since = lowWater[kind].of(endpoints);
    const room = {
      limit: Math.min(most, free),
      perEndpoint: perEndpoint(free),
      endpoints,
      since,
      inFlight: parts.inFlight(),
    };
    // Taken before the statement, so that our idea of the lease ends before the database's.
    const askedMs = clock.monotonicMs();
    const { claims, emptied, unfinished, untouched, marks } = await parts.lostClaims.follow(
      claimDue(pool, workerId, kind, room),
    );
    lowWater[kind].reached(since, marks);
    for (const claim of claims) parts.begin(kind, claim, askedMs + claim.timeoutMs + leaseMarginMs);
    for (const endpoint of emptied) backlogged[kind].delete(endpoint);
    // Who got no turn comes before the others next time, who had one after them.
    if (unfinished.length + untouched.length > 0) {
      queue.endpoints = new Set([...untouched, ...queue.endpoints, ...unfinished]);
    }
  };

  const perEndpoint = (free: number): number => shareOf(free, parts.perEndpointMax);

  /** @returns how long PostgreSQL has looked, in milliseconds. */
  const lookAt = async (kind: ClaimKind, beforeMarks: boolean): Promise<number> => {
    let lookedMs = 0;
    const known = lowWater[kind].inOrder();
    let after: string | null = lowestEndpoint;
    while (after !== null && !stopped) {
      const free = parts.room(kind);
      if (free <= 0) break;
      const marks = new Map(behind(known, after).slice(0, endpointsMax));
      const inFlight = parts.inFlight();
      const look = { perEndpoint: perEndpoint(free), after, marks, beforeMarks, inFlight };
      const { endpoints, beforeMark, last, tookMs } = await findDue(pool, kind, look);
      lookedMs += tookMs;
      for (const [endpoint, since] of beforeMark) lowWater[kind].lower(endpoint, since);
      for (const endpoint of endpoints) {
        found[kind].endpoints.add(endpoint);
        backlogged[kind].add(endpoint);
      }
      if (endpoints.length > 0) wake();
      after = last;
    }
    return lookedMs;
  };

  const lookEverywhere = async (beganMs: number): Promise<void> => {
    const beforeMarks = beganMs >= beforeMarksAtMs;
    const lookedMs = (await lookAt("first", beforeMarks)) + (await lookAt("again", beforeMarks));
    if (!beforeMarks) return;
    const pauseMs = Math.max(beforeMarksMs, lookedMs * beforeMarksShare);
    beforeMarksAtMs = beganMs + Math.min(pauseMs, beforeMarksMaxMs);
  };

  let timer: NodeJS.Timeout;
  const look = (): void => {
    const beganMs = clock.monotonicMs();
    looking = lookEverywhere(beganMs)
      .catch(failed)
      .finally(() => {
        const tookMs = clock.monotonicMs() - beganMs;
        timer = setTimeout(look, Math.min(pauseMaxMs, Math.max(pollMs, tookMs * pauseShare)));
      });
  };
  timer = setTimeout(look, 0);

  return {
    wake,
    isBacklogged: (endpointId) => backlogged.first.has(endpointId),
    fresh(hints) {
      lanes.push(...lanesOf(hints));
      for (const { endpointId } of hints) {
        fresh.endpoints.add(endpointId);
        backlogged.first.add(endpointId);
      }
      wake();
    },
    settled(those, goingOn) {
      goOn(goingOn);
      wake();
      settledLanes.push(...those);
      if (stopped || settledLanes.length === 0) return;
      settledTimer ??= setTimeout(() => {
        settledTimer = undefined;
        lanes.push(...settledLanes.splice(0));
        wake();
      }, settledLookMs);
    },
    freed(hints, kind) {
      lanes.push(...lanesOf(hints));
      for (const { endpointId, sessionKey } of hints) {
        if (sessionKey !== null || backlogged[kind].has(endpointId)) freed[kind].endpoints.add(endpointId);
      }
      wake();
    },
    async stop() {
      stopped = true;
      clearTimeout(settledTimer);
      await Promise.all([claiming, looking]);
      clearTimeout(timer);
    },
  };
}

/** What is known of the endpoints behind one. */
function behind<Known extends readonly [endpointId: string, mark: string]>(
  known: readonly Known[],
  after: string,
): readonly Known[] {
  const first = known.findIndex(([endpointId]) => endpointId > after);
  return first < 0 ? [] : known.slice(first);
}

/** How much of the room that is free one endpoint may have. */
export const shareOf = (free: number, perEndpointMax: number): number =>
  Math.max(1, Math.min(perEndpointMax, Math.floor(free * shareOfFree)));

function takeFrom({ endpoints, most }: Queue, isPaused: (endpointId: string) => boolean): string[] {
  const taken: string[] = [];
  for (const endpoint of endpoints) {
    if (taken.length === most) break;
    if (!isPaused(endpoint)) taken.push(endpoint);
    endpoints.delete(endpoint);
  }
  return taken;
}
