import type pg from "pg";

/** What waits for an attempt, over all processes. */
export interface Backlog {
  /** Exact up to 10,000; above that PostgreSQL's estimate. */
  readonly pending: number;
  /** For how long the delivery that is due the longest has been due; 0 when nothing is. */
  readonly oldestDueSeconds: number;
}

const countedMax = 10_000;

// Bounded, so that asking for metrics costs no more with a million deliveries than with ten thousand. By far the most
// of a large backlog is due by the order of its rows, so the oldest rows have the oldest due time.
const backlogSql = `
  WITH oldest AS (
    SELECT due_at FROM deliveries WHERE state = 'pending' ORDER BY delivery_id LIMIT ${countedMax}
  ), counted AS (
    SELECT count(*) AS pending, min(due_at) FILTER (WHERE due_at <= now()) AS due FROM oldest
  )
  SELECT CASE WHEN pending < ${countedMax} THEN pending
              ELSE greatest(pending, (SELECT reltuples::bigint FROM pg_class WHERE oid = 'deliveries'::regclass))
         END AS pending,
    coalesce(extract(epoch FROM now() - due), 0)::float8 AS "oldestDueSeconds"
  FROM counted`;

export async function readBacklog(pool: pg.Pool): Promise<Backlog> {
  const { rows } = await pool.query<Backlog>(backlogSql);
  return rows[0] ?? { pending: 0, oldestDueSeconds: 0 };
}
