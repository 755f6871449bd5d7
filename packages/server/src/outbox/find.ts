import type pg from "pg";
import { type ClaimKind, waits } from "./claim.ts";

/** Endpoints with something due that have room for it, and how far the search came. */
export interface Found {
  readonly endpoints: string[];
  /** The search goes on behind this endpoint; null when all have been looked at. */
  readonly last: string | null;
}

/** Most endpoints that one statement looks at. */
const endpointsMax = 200;
const beforeAll = "00000000-0000-0000-0000-000000000000";

// Endpoints with something pending are found by steps over the index, so that the cost does not grow with anybody's
// backlog. It locks nothing. Whether one is due is asked with LIMIT 1, not with EXISTS: without statistics PostgreSQL
// would hash every due row of the table for that.
const findSql = (kind: ClaimKind): string => `
  WITH RECURSIVE visited AS (
    (SELECT pending.endpoint_id, 1 AS number FROM deliveries AS pending
     WHERE ${waits("pending", kind)} AND pending.endpoint_id > $2::uuid ORDER BY pending.endpoint_id LIMIT 1)
    UNION ALL
    SELECT next.endpoint_id, visited.number + 1 FROM visited CROSS JOIN LATERAL (
      SELECT pending.endpoint_id FROM deliveries AS pending
      WHERE ${waits("pending", kind)} AND pending.endpoint_id > visited.endpoint_id
      ORDER BY pending.endpoint_id LIMIT 1) AS next
    WHERE visited.number < ${endpointsMax}
  )
  SELECT visited.endpoint_id AS "endpointId", due.deliveries > 0 AND busy.deliveries < $1::int AS due
  FROM visited
  CROSS JOIN LATERAL (
    SELECT count(*) AS deliveries FROM (
      SELECT FROM deliveries AS pending
      WHERE pending.endpoint_id = visited.endpoint_id AND ${waits("pending", kind)} AND pending.due_at <= now()
      ORDER BY pending.due_at LIMIT 1) AS one) AS due
  CROSS JOIN LATERAL (
    SELECT count(*) AS deliveries FROM deliveries
    WHERE deliveries.endpoint_id = visited.endpoint_id AND deliveries.state = 'in_flight'
      AND deliveries.lease_until > now()) AS busy
  ORDER BY visited.endpoint_id`;

const firstSql = findSql("first");
const againSql = findSql("again");

/**
 * Looks for endpoints with something due, of which no hint told.
 *
 * @param perEndpoint an endpoint with so many in flight has no room.
 * @param afterEndpoint looks behind this one; "" begins at the first.
 */
export async function findDue(
  pool: pg.Pool,
  kind: ClaimKind,
  perEndpoint: number,
  afterEndpoint: string,
): Promise<Found> {
  const { rows } = await pool.query<{ endpointId: string; due: boolean }>({
    name: `delivery-find-${kind}`,
    text: kind === "first" ? firstSql : againSql,
    values: [perEndpoint, afterEndpoint || beforeAll],
  });
  return {
    endpoints: rows.filter((row) => row.due).map((row) => row.endpointId),
    last: rows.length < endpointsMax ? null : (rows.at(-1)?.endpointId ?? null),
  };
}
