import type pg from "pg";
import { inTransaction } from "../database/transaction.ts";

/** Days ahead for which partitions exist. Made at each start and every hour, so a week is six days of slack. */
const daysAhead = 7;

/** Any number will do, as long as it is this one everywhere. */
const partitionLock = 7_340_013;

/**
 * Makes the partitions of `webhook_logs` from yesterday to a week ahead, as far as they are missing. Days are UTC.
 * Processes that do so at once wait for each other.
 */
export function ensureLogPartitions(pool: pg.Pool): Promise<void> {
  return inTransaction(pool, async (client) => {
    await client.query("SELECT pg_advisory_xact_lock($1)", [partitionLock]);
    const { rows } = await client.query<{ name: string; from: string; to: string }>(
      `SELECT 'webhook_logs_' || to_char(day, 'YYYYMMDD') AS name, day::text AS from,
         (day + interval '1 day')::text AS to
       FROM generate_series(date_trunc('day', now() AT TIME ZONE 'UTC') - interval '1 day',
         date_trunc('day', now() AT TIME ZONE 'UTC') + $1 * interval '1 day', interval '1 day') AS day
       WHERE to_regclass('webhook_logs_' || to_char(day, 'YYYYMMDD')) IS NULL`,
      [daysAhead],
    );
    for (const { name, from, to } of rows) {
      // Names and bounds come from the statement above, not from anybody's input.
      await client.query(
        `CREATE TABLE ${name} PARTITION OF webhook_logs FOR VALUES FROM ('${from}+00') TO ('${to}+00')`,
      );
    }
  });
}
