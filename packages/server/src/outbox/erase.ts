import type pg from "pg";
import { logColumns } from "../logbook/columns.ts";

/** What was done to the events and deliveries of a session. */
export interface ErasedOutbox {
  /** Bodies that were replaced by their hash. */
  readonly payloads: number;
  /** Deliveries that were cancelled. */
  readonly cancelled: number;
  /** Attempts under way: they end, their answers are not kept, and none is retried. */
  readonly inFlight: number;
}

// By the events: there is an index on events of `deliveries`, but none on all of its sessions.
const ofSession = "event_id = ANY (array(SELECT event_id FROM events WHERE session_key = $1))";

// Waits for claims and outcomes that are being written; what these have written the next statements see.
const holdSql = `SELECT FROM deliveries WHERE ${ofSession} ORDER BY delivery_id FOR UPDATE`;

const markSql = `UPDATE deliveries SET session_erased = true WHERE ${ofSession} AND state = 'in_flight'`;

const cancelSql = `
  WITH ended AS (
    DELETE FROM deliveries WHERE ${ofSession} AND state = 'pending' RETURNING *
  )
  INSERT INTO webhook_logs (${logColumns.join(", ")})
  SELECT events.project_id, ended.session_key, sessions.session_id, ended.event_id, events.event,
    events.webhook_id, ended.delivery_id, ended.endpoint_id, endpoints.url, ended.attempts_before + ended.attempts + 1,
    CASE WHEN ended.trigger = 'live' AND ended.attempts > 0 THEN 'retry' ELSE ended.trigger END,
    'cancelled', 'session_erased', NULL, NULL, NULL, NULL, NULL, now(), 'cancelled'
  FROM ended
  JOIN events ON events.event_id = ended.event_id
  JOIN sessions ON sessions.session_key = ended.session_key
  JOIN endpoints ON endpoints.endpoint_id = ended.endpoint_id`;

const emptySql = `
  UPDATE events SET payload_sha256 = sha256(convert_to(payload, 'UTF8')), payload = NULL
  WHERE session_key = $1 AND payload IS NOT NULL`;

/**
 * Cancels what is owed of a session and replaces the bodies of its events by their hashes. The session's row is held by
 * the same transaction, so no report adds an event meanwhile; and its events from the first statement on, so no resend
 * (resend.ts) adds a delivery that the later ones do not see.
 */
export async function eraseOutbox(client: pg.ClientBase, sessionKey: number): Promise<ErasedOutbox> {
  const emptied = await client.query(emptySql, [sessionKey]);
  await client.query(holdSql, [sessionKey]);
  const marked = await client.query(markSql, [sessionKey]);
  const cancelled = await client.query(cancelSql, [sessionKey]);
  return {
    payloads: emptied.rowCount ?? 0,
    cancelled: cancelled.rowCount ?? 0,
    inFlight: marked.rowCount ?? 0,
  };
}

/** The `webhook-id` of each event of a session. */
export async function webhookIdsOf(pool: pg.Pool, sessionKey: number): Promise<string[]> {
  const { rows } = await pool.query<{ id: string }>(
    "SELECT webhook_id AS id FROM events WHERE session_key = $1",
    [sessionKey],
  );
  return rows.map((row) => row.id);
}
