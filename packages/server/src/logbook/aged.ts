import type pg from "pg";
import { inTransaction } from "../database/transaction.ts";

/**
 * How long the removal of a partition waits for those that use the table, in milliseconds. Whoever comes meanwhile waits
 * behind it, so it is short; when it does not come to its turn it is tried again.
 */
const lockMs = 200;

/** Days of `webhook_logs` that lie before a moment as a whole, oldest first. */
async function partitionsBefore(client: pg.ClientBase, before: Date): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT relname AS name FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
     WHERE inhparent = 'webhook_logs'::regclass AND relname ~ '^webhook_logs_[0-9]{8}$'
       AND to_date(right(relname, 8), 'YYYYMMDD') + 1 <= ($1::timestamptz AT TIME ZONE 'UTC')
     ORDER BY relname`,
    [before],
  );
  return rows.map((row) => row.name);
}

/** What became of the partitions that are past their age. */
export interface DroppedPartitions {
  readonly dropped: string[];
  /** In use for longer than the removal waits: it is tried again in the next round. */
  readonly busy: string[];
}

/**
 * Drops the days of `webhook_logs` that lie before a moment as a whole. Each takes a lock on the table for an instant,
 * and gives up after 200 ms without it. (DETACH CONCURRENTLY waits, without an end, for every transaction that is open.)
 */
export async function dropLogsBefore(pool: pg.Pool, before: Date): Promise<DroppedPartitions> {
  const client = await pool.connect();
  let names: string[];
  try {
    names = await partitionsBefore(client, before);
  } finally {
    client.release();
  }
  const dropped: string[] = [];
  const busy: string[] = [];
  for (const name of names) (await drop(pool, name)) ? dropped.push(name) : busy.push(name);
  return { dropped, busy };
}

/** @param name of a partition, from the catalogue. */
async function drop(pool: pg.Pool, name: string): Promise<boolean> {
  try {
    await inTransaction(pool, async (client) => {
      await client.query(`SET LOCAL lock_timeout = ${lockMs}`);
      await client.query(`DROP TABLE IF EXISTS ${name}`);
    });
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === "55P03") return false;
    throw error;
  }
}
