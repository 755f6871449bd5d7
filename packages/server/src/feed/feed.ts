import type pg from "pg";
import type { Clock } from "../clock.ts";
import type { Logger } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { Refusal } from "../refusal.ts";
import { positionOfMoment, positionOfNow } from "./begin.ts";
import { placeOf } from "./epochs.ts";
import { createHorizon, type HorizonReader } from "./horizon.ts";
import { beginning, type FeedCursor } from "./position.ts";
import { type FeedFilter, type FeedItem, type FeedPage, type MintLink, readPage } from "./read.ts";
import type { Streams } from "./streams.ts";

/** The live streams of the feed. */
export type FeedStreams = Streams<FeedFilter, FeedCursor, FeedItem>;

/** Where a reader begins: with the oldest event, now, or with the first event of a moment. */
type FeedStart = "oldest" | "now" | Date;

/** Every event of a project, in an order to which nothing is added but at its end. */
export interface Feed {
  /** @throws Refusal cursor_gone when the database has lost what the cursor is behind, and the place is not known. */
  read(projectId: string, filter: FeedFilter, after: FeedCursor, limit: number): Promise<FeedPage>;
  begin(projectId: string, start: FeedStart): Promise<FeedCursor>;
}

export interface FeedParts {
  readonly pool: pg.Pool;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Makes the link that a recording.ready has when it is read. */
  readonly mint: MintLink;
}

export function createFeed(parts: FeedParts): Feed {
  const horizon = createHorizon(parts);
  // Streams that have caught up stand at the same place and wake at the same moment: one read is for all of them.
  const reading = new Map<string, Promise<FeedPage>>();
  return {
    read(projectId, filter, after, limit) {
      const key = JSON.stringify([projectId, filter.events, filter.sessionId, after, limit]);
      const shared = reading.get(key);
      if (shared !== undefined) return shared;
      const page = readOn(parts, horizon, projectId, filter, after, limit).finally(() => reading.delete(key));
      reading.set(key, page);
      return page;
    },
    async begin(projectId, start) {
      if (start === "oldest") return beginning;
      const now = await horizon.read();
      return start === "now" ? positionOfNow(now) : positionOfMoment(parts.pool, now, projectId, start);
    },
  };
}

/** How often a page is begun anew because PostgreSQL changed between its statements. */
const changesMax = 3;

async function readOn(
  { pool, mint }: FeedParts,
  horizon: HorizonReader,
  projectId: string,
  filter: FeedFilter,
  cursor: FeedCursor,
  limit: number,
): Promise<FeedPage> {
  for (let changes = 0; changes < changesMax; changes++) {
    const now = await horizon.read();
    const after = await placeOf(pool, now, projectId, cursor);
    const page = after && (await readPage(pool, now, mint, projectId, filter, after, limit));
    if (page !== null) return page;
  }
  throw new Refusal(
    "database_unavailable",
    "Two PostgreSQLs answer in turns, as at a failover; read again with the same cursor in a second.",
  );
}
