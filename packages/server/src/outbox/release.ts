import type pg from "pg";

// The attempt was counted when it was claimed; it has not been made, so it does not count. Of an erased session it is left
// to the takeover, which settles it.
const releaseSql = `
  UPDATE deliveries
  SET state = 'pending', attempts = deliveries.attempts - 1, due_at = now(), worker_id = NULL, claimed_at = NULL,
    lease_until = NULL
  FROM unnest($2::bigint[], $3::smallint[]) AS input (delivery_id, attempt)
  WHERE deliveries.delivery_id = input.delivery_id AND deliveries.worker_id = $1
    AND deliveries.attempts = input.attempt AND NOT deliveries.session_erased`;

/** Gives claims back of which no byte was written: they are due at once, for anybody. */
export async function release(
  pool: pg.Pool,
  workerId: string,
  claims: ReadonlyArray<{ readonly deliveryId: number; readonly attempt: number }>,
): Promise<void> {
  await pool.query({
    name: "delivery-release",
    text: releaseSql,
    values: [workerId, claims.map((claim) => claim.deliveryId), claims.map((claim) => claim.attempt)],
  });
}
