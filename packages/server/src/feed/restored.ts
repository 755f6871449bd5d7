import type pg from "pg";
import { inTransaction } from "../database/transaction.ts";

/** Any number will do, as long as it is this one everywhere. */
const restoredLock = 7_340_016;
/** Numbers grow with ids but for what ran at the same time: the largest is among the last events. */
const lastMax = 1_000;

/**
 * In a database that was dumped and restored into another PostgreSQL, transactions are numbered from a low number again,
 * and new events would come before old ones, where no cursor looks. This sets the numbers of new events behind those
 * that are there. Called at each start, before anything is emitted.
 *
 * @returns whether it was so.
 */
export function numberBehindStored(pool: pg.Pool): Promise<boolean> {
  return inTransaction(pool, async (client) => {
    await client.query("SELECT pg_advisory_xact_lock($1)", [restoredLock]);
    const { rows } = await client.query<{ last: number | null; next: number; raw: number }>(
      `SELECT feed_position(pg_snapshot_xmax(open)) AS next, pg_snapshot_xmax(open)::text::bigint AS raw,
         (SELECT max(transaction_number) FROM (
            SELECT transaction_number FROM events ORDER BY event_id DESC LIMIT ${lastMax}) AS latest) AS last
       FROM pg_current_snapshot() AS open`,
    );
    const { last, next, raw } = rows[0] as { last: number | null; next: number; raw: number };
    if (last === null || last < next) return false;
    // Both are numbers of the statement above, nobody's input.
    await client.query(
      `CREATE OR REPLACE FUNCTION feed_position(transaction_id xid8) RETURNS bigint LANGUAGE sql STABLE
         AS 'SELECT transaction_id::text::bigint + ${last + 1 - raw}'`,
    );
    return true;
  });
}
