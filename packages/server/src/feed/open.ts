import type pg from "pg";
import { systemClock } from "../clock.ts";
import type { Connection } from "../database/client.ts";
import { dueChannel, type Listener, listen } from "../database/listen.ts";
import type { Logger } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { createFeed, type Feed, type FeedStreams } from "./feed.ts";
import type { MintLink } from "./read.ts";
import { createStreams, streamLimits } from "./streams.ts";
import { type LogTails, openTails } from "./tails.ts";

/** The feed of this process and its live streams, which whoever opens them drains. */
export interface OpenFeed {
  readonly feed: Feed;
  readonly streams: FeedStreams;
  /** Live tails of the log. */
  readonly tails: LogTails;
  /** Wakes the streams; null where there are none. */
  readonly listener: Listener | null;
}

/** @param answers whether this process has the feed's routes. */
export function openFeed(
  parts: {
    readonly pool: pg.Pool;
    readonly connection: Connection;
    readonly log: Logger;
    readonly metrics: Metrics;
    readonly mint: MintLink;
  },
  answers: boolean,
): OpenFeed {
  const { pool, log, metrics, mint } = parts;
  const feed = createFeed({ pool, log, metrics, clock: systemClock, mint });
  const onCount = (open: number): void => metrics.feedStreams.set(open);
  const streams = createStreams({ feed, log, onCount, limits: streamLimits });
  const listener = answers ? listen(parts.connection, dueChannel, () => streams.wake(), log) : null;
  return { feed, streams, tails: openTails(pool, log), listener };
}
