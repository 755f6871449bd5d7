import type pg from "pg";
import { inTransaction } from "../database/transaction.ts";
import { addTallies } from "./store.ts";
import {
  eventTalliesSql,
  eventTallyColumns,
  logTalliesSql,
  logTallyColumns,
  type Tally,
} from "./tally-sql.ts";

/** Any number will do, as long as it is this one everywhere. */
const countLock = 7_340_019;

/** Most rows of each table that one step counts. */
const stepMax = 10_000;

/**
 * A row is counted when it is so old, in seconds: ids are given before the commit, and one that is smaller than a counted one
 * must not appear later. A statement ends within 20 s or not at all.
 */
const settleSeconds = 25;

/** How far the rows have been counted. */
export interface Progress {
  readonly logId: number;
  readonly eventId: number;
  readonly loggedTo: Date | null;
  readonly emittedTo: Date | null;
}

export async function readProgress(db: pg.Pool | pg.PoolClient): Promise<Progress> {
  const { rows } = await db.query<Progress>(
    `SELECT log_id AS "logId", event_id AS "eventId", logged_to AS "loggedTo", emitted_to AS "emittedTo" FROM tally_progress`,
  );
  return rows[0] ?? { logId: 0, eventId: 0, loggedTo: null, emittedTo: null };
}

/** An attempt is stored at most so long after it began, but for one that no worker was there to take over. */
const loggedLate = "interval '2 days'";

interface Step {
  readonly lastId: number | null;
  readonly lastAt: Date | null;
  readonly examined: number;
  readonly tallies: Tally[];
}

// Up to the first row that is too young, in the order of ids. Partitions of before are not opened.
const logStepSql = `
  WITH examined AS MATERIALIZED (
    SELECT ${logTallyColumns} FROM webhook_logs
    WHERE log_id > $1 AND attempted_at > coalesce($2::timestamptz - ${loggedLate}, '-infinity')
    ORDER BY log_id LIMIT ${stepMax}
  ), closed AS (
    SELECT * FROM examined WHERE log_id < coalesce(
      (SELECT min(log_id) FROM examined WHERE logged_at > clock_timestamp() - $3 * interval '1 second'), 9223372036854775807)
  ), counted AS (${logTalliesSql("closed")})
  SELECT (SELECT max(log_id) FROM closed) AS "lastId", (SELECT max(logged_at) FROM closed) AS "lastAt",
    (SELECT count(*) FROM closed) AS examined, coalesce((SELECT json_agg(counted) FROM counted), '[]') AS tallies`;

const eventStepSql = `
  WITH examined AS MATERIALIZED (
    SELECT ${eventTallyColumns} FROM events WHERE event_id > $1 ORDER BY event_id LIMIT ${stepMax}
  ), closed AS (
    SELECT * FROM examined WHERE event_id < coalesce(
      (SELECT min(event_id) FROM examined WHERE emitted_at > clock_timestamp() - $2 * interval '1 second'), 9223372036854775807)
  ), counted AS (${eventTalliesSql("closed")})
  SELECT (SELECT max(event_id) FROM closed) AS "lastId", (SELECT max(emitted_at) FROM closed) AS "lastAt",
    (SELECT count(*) FROM closed) AS examined, coalesce((SELECT json_agg(counted) FROM counted), '[]') AS tallies`;

/**
 * Counts the rows that have been written since the last step. Of several processes one does; each row is counted once, for
 * the tallies and how far they go are one commit. What is counted is read before anything is written: a transaction that
 * has written holds the events feed back (feed/horizon.ts).
 *
 * @returns whether there is more at once; null when another process counts.
 */
export function countStep(pool: pg.Pool, settledSeconds = settleSeconds): Promise<boolean | null> {
  return inTransaction(pool, async (client) => {
    const { rows } = await client.query<{ mine: boolean }>("SELECT pg_try_advisory_xact_lock($1) AS mine", [
      countLock,
    ]);
    if (rows[0]?.mine !== true) return null;
    const progress = await readProgress(client);
    const logs = await step(client, logStepSql, [progress.logId, progress.loggedTo, settledSeconds]);
    const events = await step(client, eventStepSql, [progress.eventId, settledSeconds]);
    if (logs.examined + events.examined === 0) return false;
    await addTallies(client, [...logs.tallies, ...events.tallies]);
    await client.query(
      `UPDATE tally_progress SET log_id = coalesce($1, log_id), event_id = coalesce($2, event_id),
         logged_to = coalesce($3, logged_to), emitted_to = coalesce($4, emitted_to)`,
      [logs.lastId, events.lastId, logs.lastAt, events.lastAt],
    );
    return logs.examined === stepMax || events.examined === stepMax;
  });
}

async function step(client: pg.PoolClient, sql: string, values: unknown[]): Promise<Step> {
  const { rows } = await client.query<Step>(sql, values);
  return rows[0] as Step;
}
