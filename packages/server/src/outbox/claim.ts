import type { EventName, Trigger } from "@sendoff/contract";
import type pg from "pg";

/** A delivery that this worker may attempt now, with all that the attempt needs. */
export interface Claim {
  readonly deliveryId: number;
  /** 1 for the first. */
  readonly attempt: number;
  readonly trigger: Trigger;
  readonly event: EventName;
  readonly webhookId: string;
  readonly payload: string;
  readonly projectId: string;
  readonly sessionId: string;
  readonly endpointId: string;
  readonly url: string;
  readonly headersSealed: string | null;
  readonly secretSealed: string;
  /** The whole attempt's deadline. */
  readonly timeoutMs: number;
  /** The endpoint was removed: the delivery is to be cancelled, not attempted. */
  readonly endpointRemoved: boolean;
  /** Key of the audio of a successful recording.ready; a link to it is minted for this attempt. */
  readonly recordingObjectKey: string | null;
}

/**
 * How much longer than the attempt's own deadline a claim lasts: time to store the outcome. With the default timeout
 * of 10 s a dead worker's deliveries are taken over within the 15 s of behaviour, section 4.
 */
export const leaseMarginMs = 5_000;

// The claim is committed before the first byte leaves (guarantees, "The protocol", 2). URL, headers and secret are
// those of this moment. In a lane only the earliest unsettled delivery can be claimed: settled ones are gone from the
// table, so an earlier row is an unsettled one, in flight or waiting.
const claimSql = `
  WITH due AS (
    SELECT candidate.delivery_id
    FROM deliveries AS candidate
    WHERE candidate.state = 'pending' AND candidate.due_at <= now()
      AND (NOT candidate.in_lane OR NOT EXISTS (
        SELECT FROM deliveries AS earlier
        WHERE earlier.in_lane AND earlier.session_key = candidate.session_key
          AND earlier.endpoint_id = candidate.endpoint_id AND earlier.delivery_id < candidate.delivery_id))
    ORDER BY candidate.due_at, candidate.delivery_id
    LIMIT $2
    FOR UPDATE OF candidate SKIP LOCKED
  ), claimed AS (
    UPDATE deliveries
    SET state = 'in_flight', attempts = attempts + 1, worker_id = $1, claimed_at = clock_timestamp(),
      lease_until = clock_timestamp() + (endpoints.timeout_ms + $3::int) * interval '1 millisecond'
    FROM due, endpoints
    WHERE deliveries.delivery_id = due.delivery_id AND endpoints.endpoint_id = deliveries.endpoint_id
    RETURNING deliveries.delivery_id, deliveries.event_id, deliveries.session_key, deliveries.attempts,
      deliveries.trigger, endpoints.endpoint_id, endpoints.url, endpoints.headers_sealed,
      endpoints.secret_sealed, endpoints.timeout_ms, endpoints.removed_at
  )
  SELECT claimed.delivery_id AS "deliveryId", claimed.attempts AS attempt,
    CASE WHEN claimed.trigger = 'live' AND claimed.attempts > 1 THEN 'retry' ELSE claimed.trigger END AS trigger,
    events.event, events.webhook_id AS "webhookId", events.payload, events.project_id AS "projectId",
    sessions.session_id AS "sessionId", claimed.endpoint_id AS "endpointId", claimed.url,
    claimed.headers_sealed AS "headersSealed", claimed.secret_sealed AS "secretSealed",
    claimed.timeout_ms AS "timeoutMs", claimed.removed_at IS NOT NULL AS "endpointRemoved",
    CASE WHEN events.event = 'recording.ready' THEN sessions.recording_object_key END AS "recordingObjectKey"
  FROM claimed
  JOIN events ON events.event_id = claimed.event_id
  JOIN sessions ON sessions.session_key = claimed.session_key
  ORDER BY claimed.delivery_id`;

/** Claims up to `limit` deliveries that are due, oldest first. */
export async function claimDue(pool: pg.Pool, workerId: string, limit: number): Promise<Claim[]> {
  const { rows } = await pool.query<Claim>({
    name: "delivery-claim",
    text: claimSql,
    values: [workerId, limit, leaseMarginMs],
  });
  return rows;
}
