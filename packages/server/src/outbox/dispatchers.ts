import type pg from "pg";

/** Two numbers that name an advisory lock: each dispatcher shares it over its LISTEN connection, as long as it lives. */
const lock = { classId: 1_936_483_940, objectId: 1 };

export const shareDispatcherLock = `SELECT pg_advisory_lock_shared(${lock.classId}, ${lock.objectId})`;

/** How many processes dispatch on this database. */
export async function countDispatchers(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ dispatchers: number }>({
    name: "dispatchers-count",
    text: `SELECT count(*) AS dispatchers FROM pg_locks
      WHERE locktype = 'advisory' AND granted AND classid = ${lock.classId} AND objid = ${lock.objectId}
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
  });
  return rows[0]?.dispatchers ?? 0;
}
