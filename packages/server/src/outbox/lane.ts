import type pg from "pg";

/** The deliveries of one session to one endpoint, in order. Behaviour, section 1. */
export interface Lane {
  readonly sessionKey: number;
  readonly endpointId: string;
}

/** How long after the one before it a delivery of a lane is looked at, if nothing else brings it up. */
export const blockedAgain = "interval '10 seconds'";

/**
 * SQL: when a delivery that is not the first of its lane is looked at again: when the lease of the one before it ends, or
 * a while after that one is due, which may be a retry in an hour. What brings it up is the settling of the one before
 * (settle.ts). This is for the report that was committed at the very moment at which the one before it settled.
 *
 * @param before has the latest `lease_until` and `due_at` of those before it.
 */
export const lookAgainAt = (before: string): string =>
  `coalesce(${before}.lease_until, greatest(${before}.due_at, now()) + ${blockedAgain})`;

// The settling of a delivery makes the next of its lane due. A report that is committed at that very moment is seen by
// neither: it saw the delivery before it under way, and the settling did not see it. So whoever commits a report that
// found its lane taken looks once more afterwards, and so does, a moment later, whoever commits a settling: of the two
// commits one is the later, and the look that follows it sees both.
const bringUpSql = `
  UPDATE deliveries SET due_at = now()
  FROM (
    SELECT earliest.delivery_id
    FROM unnest($1::bigint[], $2::uuid[]) AS lane (session_key, endpoint_id)
    CROSS JOIN LATERAL (
      SELECT * FROM deliveries
      WHERE deliveries.in_lane AND deliveries.session_key = lane.session_key
        AND deliveries.endpoint_id = lane.endpoint_id
      ORDER BY deliveries.delivery_id LIMIT 1) AS earliest
    WHERE earliest.state = 'pending' AND earliest.attempts = 0 AND earliest.due_at > now()) AS free
  WHERE deliveries.delivery_id = free.delivery_id AND deliveries.state = 'pending'
  RETURNING deliveries.endpoint_id AS "endpointId"`;

/**
 * Makes the earliest delivery of each lane due, where nothing is before it any more.
 *
 * @returns the endpoints at which it has made something due.
 */
export async function bringUp(pool: pg.Pool, lanes: readonly Lane[]): Promise<string[]> {
  const { rows } = await pool.query<{ endpointId: string }>({
    name: "lane-bring-up",
    text: bringUpSql,
    values: [lanes.map((lane) => lane.sessionKey), lanes.map((lane) => lane.endpointId)],
  });
  return rows.map(({ endpointId }) => endpointId);
}
