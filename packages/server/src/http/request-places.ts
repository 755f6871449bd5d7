import type pg from "pg";
import { expensiveStatementMs } from "../database/pool.ts";
import { type Asked, FairPlaces, type PlaceBounds } from "../fair-places.ts";
import type { Metrics } from "../metrics.ts";
import { Refusal } from "../refusal.ts";
import type { Caller } from "../tenancy/keys.ts";
import type { Route } from "./route.ts";

/** A page of more rows than these is an expensive read. */
const ordinaryLimitMax = 100;

/** The kind of a read of one page. */
export const kindOfPage = (limit: number): "ordinary" | "expensive" =>
  limit > ordinaryLimitMax ? "expensive" : "ordinary";

/** What a request needs a place for. */
type PlaceKind = "ordinary" | "expensive" | "export";

/** The pools that requests ask. */
export interface RequestPools {
  readonly ordinary: pg.Pool;
  readonly expensive: pg.Pool;
}

/** Bounds what the requests of one key, or of one project, may have PostgreSQL do at a time. */
export interface RequestPlaces {
  /**
   * Does some work when there is a place for the caller, on the pool of that kind. The work uses one connection at a time.
   *
   * @param waitMs how long it waits for a place.
   * @throws Refusal rate_limited when the caller has too much waiting, overloaded when no place came free in time or the
   * work was stopped because it took too long.
   */
  run<Result>(
    kind: "ordinary" | "expensive",
    caller: Caller | null,
    work: (pool: pg.Pool) => Promise<Result>,
    waitMs?: number,
  ): Promise<Result>;
  /** Takes a place for an export, which is read for as long as its client reads. @returns gives it back. */
  takeExport(caller: Caller | null): () => void;
}

/**
 * A place is one connection. Of the pool of requests, which has six, two are left to what no request asks for, such as
 * retention. Nobody gets all places, so a caller that loops leaves room for the others.
 */
const boundsOf: Record<PlaceKind, PlaceBounds> = {
  ordinary: { places: 4, placesPerOwner: 2, waiting: 2_048, waitingPerOwner: 256 },
  expensive: { places: 3, placesPerOwner: 1, waiting: 512, waitingPerOwner: 64 },
  export: { places: 32, placesPerOwner: 4, waiting: 0, waitingPerOwner: 0 },
};
const nameOf: Record<PlaceKind, string> = {
  ordinary: "requests",
  expensive: "searches, overviews, exports, counts and large pages",
  export: "exports",
};

/** How long a request waits for a place, in milliseconds. */
const waitMaxMs = 3_000;
/** The same of an export that has begun: refused in the midst of it, all that was sent would have been for nothing. */
export const exportWaitMs = 60_000;

export function createRequestPlaces(pools: RequestPools, metrics: Metrics): RequestPlaces {
  const places: Record<PlaceKind, FairPlaces<() => void>> = {
    ordinary: new FairPlaces(boundsOf.ordinary),
    expensive: new FairPlaces(boundsOf.expensive),
    export: new FairPlaces(boundsOf.export),
  };
  const leave = (kind: PlaceKind, owner: string): void => places[kind].leave(owner)?.();

  const full = (kind: PlaceKind, owner: string, by: Exclude<Asked, "begins" | "waits">): Refusal => {
    if (by === "full")
      return refusal("overloaded", `Too many ${nameOf[kind]} of all projects wait for a place.`);
    metrics.limited.inc({ limit: "places" });
    return refusal("rate_limited", `${standing(kind, owner)} Send fewer at a time.`);
  };
  const standing = (kind: PlaceKind, owner: string): string => {
    const { placesPerOwner, waitingPerOwner } = boundsOf[kind];
    return `This key or project has ${places[kind].heldBy(owner)} ${nameOf[kind]} under way and ${places[kind].waitingOf(owner)} more waiting; expected at most ${placesPerOwner} and ${waitingPerOwner}.`;
  };

  const take = (kind: PlaceKind, owner: string, waitMs: number): Promise<void> =>
    new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const begin = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const asked = places[kind].ask(owner, begin);
      if (asked === "begins") return begin();
      if (asked !== "waits") return reject(full(kind, owner, asked));
      timer = setTimeout(() => {
        const sentence = standing(kind, owner);
        if (!places[kind].withdraw(owner, begin)) return;
        reject(refusal("overloaded", `No place came free within ${waitMs / 1_000} s. ${sentence}`));
      }, waitMs);
    });

  return {
    async run(kind, caller, work, waitMs = waitMaxMs) {
      const owner = ownerOf(caller);
      await take(kind, owner, waitMs);
      try {
        return await work(pools[kind]);
      } catch (error) {
        throw kind === "expensive" ? tooLong(error) : error;
      } finally {
        leave(kind, owner);
      }
    },
    takeExport(caller) {
      const owner = ownerOf(caller);
      const asked = places.export.ask(owner, () => {});
      if (asked === "owner_full" || asked === "full") throw full("export", owner, asked);
      return () => leave("export", owner);
    },
  };
}

/** Who pays: a project whatever its key, and a developer key of its own. */
function ownerOf(caller: Caller | null): string {
  if (caller === null) return "";
  return caller.kind === "project" ? caller.projectId : caller.keyId;
}

const refusal = (code: "rate_limited" | "overloaded", message: string): Refusal =>
  new Refusal(code, `${message} Try again in a second.`, { headers: { "retry-after": "1" } });

const statementTimeout = "57014";

function tooLong(error: unknown): unknown {
  if (!(error instanceof Error && "code" in error && error.code === statementTimeout)) return error;
  return new Refusal(
    "overloaded",
    `This took longer than ${expensiveStatementMs / 1_000} s and was stopped. Narrow it by from and to; list by limit and cursor instead of page and pageSize.`,
  );
}

/**
 * The routes with a place for each request. Left out are those that anybody may call, reports, which have a queue of their
 * own, and those that take places themselves.
 */
export const inPlaces = (routes: readonly Route[], places: RequestPlaces): Route[] =>
  routes.map((route) =>
    route.access === "open" || route.admit !== undefined || route.placesItself
      ? route
      : {
          ...route,
          errors: [...new Set([...(route.errors ?? []), "overloaded" as const])],
          handle: (call) => places.run("ordinary", call.caller, async () => route.handle(call)),
        },
  );
