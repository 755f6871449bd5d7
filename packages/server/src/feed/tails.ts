import type pg from "pg";
import { systemClock } from "../clock.ts";
import type { Logger } from "../log.ts";
import { readTail, type TailFilter, type TailItem, type TailPosition } from "../logbook/tail.ts";
import { createStreams, type Streams, streamLimits } from "./streams.ts";

/** Live tails of `webhook_logs`: streams as those of the events feed, of another source. Nobody wakes them; they look. */
export type LogTails = Streams<TailFilter, TailPosition, TailItem>;

/** @param pool asked twice a second by each open tail. */
export const openTails = (pool: pg.Pool, log: Logger): LogTails =>
  createStreams({
    feed: {
      read: (projectId, filter, after) => readTail(pool, projectId, filter, after, systemClock.monotonicMs()),
    },
    log,
    onCount: () => {},
    limits: streamLimits,
  });
