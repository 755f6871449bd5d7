import type pg from "pg";
import { type ClaimKind, type InFlight, waits } from "./claim.ts";
import type { Marks } from "./low-water.ts";

/** Endpoints with something due that have room for it, and how far the search came. */
export interface Found {
  readonly endpoints: string[];
  /** Endpoints where something waits before their mark, and since when. */
  readonly beforeMark: ReadonlyMap<string, string>;
  /** The search goes on behind this endpoint; null when all have been looked at. */
  readonly last: string | null;
  /** How long PostgreSQL has looked, in milliseconds, without any waiting for it. */
  readonly tookMs: number;
}

/** How to look. */
export interface Look {
  /** An endpoint with so many in flight has no room. */
  readonly perEndpoint: number;
  /** Looks behind this one. Default: begins at the first. */
  readonly after?: string;
  /** From where on deliveries wait (low-water.ts), of the next {@link endpointsMax} endpoints where that is known. */
  readonly marks?: Marks;
  /** Whether to look before the marks as well: that goes through all that PostgreSQL cannot forget yet. Default: no. */
  readonly beforeMarks?: boolean;
  /** How many are in flight, for who knows it; else the table is asked. */
  readonly inFlight?: InFlight | undefined;
}

/** Most endpoints that one statement looks at. */
export const endpointsMax = 200;
/** No endpoint has this id: the look begins behind it. */
export const lowestEndpoint = "00000000-0000-0000-0000-000000000000";
const highestEndpoint = "ffffffff-ffff-ffff-ffff-ffffffffffff";

// The next endpoint is one with a mark, or one before that with something pending: between two marks there is nothing to
// wade through.
const nextSql = (kind: ClaimKind, after: string): string => `
  SELECT coalesce((
    SELECT pending.endpoint_id FROM deliveries AS pending
    WHERE ${waits("pending", kind)} AND pending.endpoint_id > ${after}
      AND pending.endpoint_id < coalesce(known.endpoint_id, '${highestEndpoint}')
    ORDER BY pending.endpoint_id LIMIT 1), known.endpoint_id) AS endpoint_id
  FROM (SELECT (
    SELECT marked.endpoint_id FROM marked WHERE marked.endpoint_id > ${after} ORDER BY 1 LIMIT 1) AS endpoint_id) AS known`;

// Endpoints with something pending are found by steps over the index, so that the cost does not grow with anybody's
// backlog. It locks nothing. Whether one is due is asked with LIMIT 1, not with EXISTS: without statistics PostgreSQL
// would hash every due row of the table for that.
const findSql = (kind: ClaimKind): string => `
  WITH RECURSIVE marked AS MATERIALIZED (
    SELECT * FROM unnest($3::uuid[], $4::timestamptz[]) AS marked (endpoint_id, mark)
  ), visited AS (
    SELECT first.endpoint_id, 1 AS number FROM (${nextSql(kind, "$2::uuid")}) AS first
    WHERE first.endpoint_id IS NOT NULL
    UNION ALL
    SELECT next.endpoint_id, visited.number + 1
    FROM visited CROSS JOIN LATERAL (${nextSql(kind, "visited.endpoint_id")}) AS next
    WHERE visited.number < ${endpointsMax} AND next.endpoint_id IS NOT NULL
  )
  SELECT visited.endpoint_id AS "endpointId", due.since IS NOT NULL AND busy.deliveries < $1::int AS due,
    CASE WHEN due.since < marked.mark THEN to_json(due.since) #>> '{}' END AS "beforeMark",
    extract(epoch FROM clock_timestamp() - statement_timestamp())::float8 * 1000 AS "tookMs"
  FROM visited LEFT JOIN marked USING (endpoint_id)
  CROSS JOIN LATERAL (
    SELECT min(one.due_at) AS since FROM (
      SELECT pending.due_at FROM deliveries AS pending
      WHERE pending.endpoint_id = visited.endpoint_id AND ${waits("pending", kind)} AND pending.due_at <= now()
        AND pending.due_at >= CASE WHEN $5::boolean OR marked.mark IS NULL THEN '-infinity' ELSE marked.mark END
      ORDER BY pending.due_at LIMIT 1) AS one) AS due
  CROSS JOIN LATERAL (
    SELECT count(*) AS deliveries FROM deliveries
    WHERE $6::boolean AND deliveries.endpoint_id = visited.endpoint_id AND deliveries.state = 'in_flight'
      AND deliveries.lease_until > now()) AS busy
  ORDER BY visited.endpoint_id`;

const firstSql = findSql("first");
const againSql = findSql("again");

interface Row {
  readonly endpointId: string;
  readonly due: boolean;
  readonly beforeMark: string | null;
  readonly tookMs: number;
}

/** Looks for endpoints with something due, of which no hint told. */
export async function findDue(pool: pg.Pool, kind: ClaimKind, look: Look): Promise<Found> {
  const { perEndpoint, after = lowestEndpoint, marks = new Map(), beforeMarks = false, inFlight } = look;
  const hasRoom = (endpointId: string): boolean => {
    if (inFlight === undefined) return true;
    const { first, again } = inFlight(endpointId);
    return first + again < perEndpoint;
  };
  const { rows } = await pool.query<Row>({
    name: `delivery-find-${kind}`,
    text: kind === "first" ? firstSql : againSql,
    values: [perEndpoint, after, [...marks.keys()], [...marks.values()], beforeMarks, inFlight === undefined],
  });
  return {
    endpoints: rows.flatMap(({ endpointId, due }) => (due && hasRoom(endpointId) ? [endpointId] : [])),
    beforeMark: new Map(
      rows.flatMap(({ endpointId, beforeMark }) => (beforeMark === null ? [] : [[endpointId, beforeMark]])),
    ),
    last: rows.length < endpointsMax ? null : (rows.at(-1)?.endpointId ?? null),
    tookMs: Math.max(0, ...rows.map((row) => row.tookMs)),
  };
}
