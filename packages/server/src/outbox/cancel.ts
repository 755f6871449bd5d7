import type pg from "pg";
import { logColumns } from "../logbook/columns.ts";
import { type ClaimKind, waits } from "./claim.ts";
import { content, contentJoins } from "./content.ts";

/** Most deliveries that one statement cancels. */
const batchMax = 5_000;

// What waits for an attempt, with its log row in the same statement. What another statement works on at this moment is
// left to the claim, which finds the endpoint removed. First attempts and retries have an index each, as for claims.
const cancelSql = (kind: ClaimKind): string => `
  WITH waiting AS (
    SELECT delivery_id FROM deliveries
    WHERE endpoint_id = $1 AND ${waits("deliveries", kind)}
    ORDER BY due_at, delivery_id LIMIT $2
    FOR UPDATE SKIP LOCKED
  ), cancelled AS (
    DELETE FROM deliveries USING waiting WHERE deliveries.delivery_id = waiting.delivery_id
    RETURNING deliveries.*
  )
  INSERT INTO webhook_logs (${logColumns.join(", ")})
  SELECT endpoints.project_id, cancelled.session_key, ${content.sessionId}, cancelled.event_id, ${content.event},
    ${content.webhookId}, cancelled.delivery_id, cancelled.endpoint_id, endpoints.url,
    cancelled.attempts_before + cancelled.attempts + 1,
    CASE WHEN cancelled.trigger = 'live' AND cancelled.attempts > 0 THEN 'retry' ELSE cancelled.trigger END,
    'cancelled', 'endpoint_removed', NULL, NULL, NULL, NULL, NULL, clock_timestamp(), 'cancelled'
  FROM cancelled
  JOIN endpoints ON endpoints.endpoint_id = cancelled.endpoint_id ${contentJoins("cancelled")}`;

/**
 * Settles as cancelled what waits for an attempt to an endpoint that was removed. The row of each has the number of the
 * attempt that is not made. What is in flight goes on.
 *
 * @returns how many.
 */
export async function cancelWaiting(pool: pg.Pool, endpointId: string): Promise<number> {
  let cancelled = 0;
  for (const kind of ["first", "again"] as const) {
    for (let found = batchMax; found === batchMax; cancelled += found) {
      const { rowCount } = await pool.query(cancelSql(kind), [endpointId, batchMax]);
      found = rowCount ?? 0;
    }
  }
  return cancelled;
}
