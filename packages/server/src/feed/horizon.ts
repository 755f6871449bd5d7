import type pg from "pg";
import type { Clock } from "../clock.ts";
import type { Logger } from "../log.ts";
import type { Metrics } from "../metrics.ts";

/** Up to where the feed may be read at a moment. */
export interface Horizon {
  /** Of the transactions with smaller numbers none can add an event any more. */
  readonly before: number;
  /** The number that the next transaction will have. A position behind it is not of this database. */
  readonly next: number;
  /** The last epoch that has written events (epochs.ts); null: none has. */
  readonly epoch: number | null;
  /** When the PostgreSQL that answered was started. It is the epoch as soon as it has written events. */
  readonly started: number;
}

export interface HorizonReader {
  /** The horizon of a moment after the call began, or of a read that was under way: an older one is as right. */
  read(): Promise<Horizon>;
}

export interface HorizonParts {
  readonly pool: pg.Pool;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** So long the feed waits for any transaction, whatever it does, before it asks which of them write events. */
const patienceMs = 2_000;
/** A transaction that writes events for longer than this is told of, and again after each such time. */
const tellMs = 10_000;

/** A moment of PostgreSQL in microseconds since 1970: how cursors name an epoch. */
const microsecondsOf = (moment: string): string => `(extract(epoch FROM ${moment}) * 1000000)::bigint`;

/** When the PostgreSQL that answers was started. A standby that takes over has another start than its primary had. */
export const startedSql = microsecondsOf("pg_postmaster_start_time()");

const epochSql = `
  (SELECT ${microsecondsOf("started_at")} FROM feed_epochs ORDER BY epoch DESC LIMIT 1) AS epoch,
  ${startedSql} AS started`;

const openSql = `
  SELECT feed_position(pg_snapshot_xmin(open)) AS oldest, feed_position(pg_snapshot_xmax(open)) AS next,
    ${epochSql}
  FROM pg_current_snapshot() AS open`;

// The oldest running transaction that may have written events. Whoever inserts into a table holds a lock on it, from
// before it gets its number until after its commit can be seen; so a transaction of the snapshot without one has ended
// since, or does not write events. The snapshot is that of the statement, thus older than what pg_locks shows.
const writersSql = `
  WITH open AS MATERIALIZED (
    SELECT pg_current_snapshot() AS snapshot
  ), held AS MATERIALIZED (
    SELECT locktype, virtualtransaction, transactionid, database, relation, mode, pid FROM pg_locks WHERE granted
  )
  SELECT feed_position(pg_snapshot_xmax(open.snapshot)) AS next, oldest.number AS oldest, oldest.pid,
    ${epochSql}
  FROM open LEFT JOIN LATERAL (
    SELECT feed_position(running) AS number, own.pid
    FROM pg_snapshot_xip(open.snapshot) AS running
    JOIN held AS own ON own.locktype = 'transactionid' AND own.mode = 'ExclusiveLock'
      AND own.transactionid = running::xid
    WHERE EXISTS (
      SELECT FROM held AS writing
      WHERE writing.virtualtransaction = own.virtualtransaction AND writing.relation = 'events'::regclass
        AND writing.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND writing.mode NOT IN ('AccessShareLock', 'RowShareLock', 'ShareLock', 'ShareUpdateExclusiveLock'))
    ORDER BY number LIMIT 1) AS oldest ON true`;

type Open = Pick<Horizon, "next" | "epoch" | "started"> & { readonly oldest: number };
type Writers = Pick<Horizon, "next" | "epoch" | "started"> & {
  readonly oldest: number | null;
  readonly pid: number | null;
};

/**
 * Reads how far the feed may be read (ADR 0024): below the oldest transaction that runs. When that one stays the same
 * for 2 s, only those that hold a lock on `events` count: a transaction of somebody else, open for hours, does not
 * stand in the way. One that did write events does, and is told of in the log and by a metric.
 */
export function createHorizon({ pool, clock, log, metrics }: HorizonParts): HorizonReader {
  let reading: Promise<Horizon> | null = null;
  // The oldest transaction of all and the oldest that writes events, and since when each has been that.
  let oldest = { number: -1, sinceMs: 0 };
  let writer: { number: number | null; sinceMs: number } = { number: null, sinceMs: 0 };
  let toldMs = Number.NEGATIVE_INFINITY;

  const tell = (number: number | null, pid: number | null, now: number): void => {
    if (writer.number !== number) writer = { number, sinceMs: now };
    const heldMs = number === null ? 0 : now - writer.sinceMs;
    metrics.feedHeldBack.set(heldMs / 1_000);
    if (heldMs < tellMs || now - toldMs < tellMs) return;
    toldMs = now;
    // A prepared transaction has no process.
    log.warn({ event: "feed.held_back", heldMs: Math.round(heldMs), pid });
  };

  const read = async (): Promise<Horizon> => {
    const { rows } = await pool.query<Open>({ name: "feed-horizon", text: openSql });
    const open = rows[0] as Open;
    const now = clock.monotonicMs();
    if (open.oldest !== oldest.number) oldest = { number: open.oldest, sinceMs: now };
    if (open.oldest === open.next || now - oldest.sinceMs < patienceMs) {
      tell(null, null, now);
      return { before: open.oldest, next: open.next, epoch: open.epoch, started: open.started };
    }
    const found = await pool.query<Writers>({ name: "feed-writers", text: writersSql });
    const writers = found.rows[0] as Writers;
    tell(writers.oldest, writers.pid, now);
    const { next, epoch, started } = writers;
    return { before: writers.oldest ?? next, next, epoch, started };
  };

  return {
    read() {
      reading ??= read().finally(() => {
        reading = null;
      });
      return reading;
    },
  };
}
