import type pg from "pg";
import type { Clock } from "../clock.ts";
import type { Logger } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { positionOfMoment, positionOfNow } from "./begin.ts";
import { createHorizon } from "./horizon.ts";
import { beginning, type FeedPosition } from "./position.ts";
import { type FeedFilter, type FeedItem, type FeedPage, type MintLink, readPage } from "./read.ts";
import type { Streams } from "./streams.ts";

/** The live streams of the feed. */
export type FeedStreams = Streams<FeedFilter, FeedPosition, FeedItem>;

/** Where a reader begins: with the oldest event, now, or with the first event of a moment. */
type FeedStart = "oldest" | "now" | Date;

/** Every event of a project, in an order to which nothing is added but at its end. */
export interface Feed {
  /** @throws Refusal invalid_query when the position is ahead of the database. */
  read(projectId: string, filter: FeedFilter, after: FeedPosition, limit: number): Promise<FeedPage>;
  begin(projectId: string, start: FeedStart): Promise<FeedPosition>;
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
      const page = (async () =>
        readPage(parts.pool, await horizon.read(), parts.mint, projectId, filter, after, limit))().finally(
        () => reading.delete(key),
      );
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
