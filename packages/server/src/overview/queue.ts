import type { Overview } from "@sendoff/contract";
import type pg from "pg";

/** Most deliveries of one endpoint that are counted, so that the answer takes no longer with a million of them. */
const countedMax = 10_000;

// First attempts and retries have an index each, by endpoint and due time; what waits for its lane is due later or never.
const oldest = (attempts: string): string => `
  (SELECT due_at FROM deliveries WHERE deliveries.endpoint_id = endpoints.endpoint_id
     AND state = 'pending' AND ${attempts} ORDER BY due_at, delivery_id LIMIT ${countedMax})`;

/** What waits for an attempt in a project, at this moment. */
export async function readQueue(pool: pg.Pool, projectId: string): Promise<Overview["queue"]> {
  const { rows } = await pool.query<Overview["queue"]>(
    `SELECT least(count(due_at), ${countedMax}) AS pending,
       coalesce(extract(epoch FROM now() - min(due_at) FILTER (WHERE due_at <= now())), 0)::float8 AS "ageSeconds"
     FROM endpoints CROSS JOIN LATERAL (${oldest("attempts = 0")} UNION ALL ${oldest("attempts > 0")}) AS waiting
     WHERE project_id = $1 AND removed_at IS NULL`,
    [projectId],
  );
  return rows[0] ?? { pending: 0, ageSeconds: 0 };
}
