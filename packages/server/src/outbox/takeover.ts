import type pg from "pg";
import { logColumns } from "../logbook/columns.ts";
import { content, contentJoins } from "./content.ts";
import type { Hint } from "./hint.ts";

/** What became of the deliveries that dead workers had claimed. */
export interface TakenOver {
  /** Settled as `unknown`: they are not sent again. */
  readonly unknown: number;
  /** Due again. */
  readonly again: number;
  /** Where something may be due now: what was lost itself, and the next of a lane. */
  readonly hints: Hint[];
  /** There may be more than one statement takes over. */
  readonly more: boolean;
}

/** Most deliveries that one statement takes over. */
const batchMax = 500;

// Nobody can know whether the receiver got an attempt whose worker died (behaviour, section 4). Without retries
// session.finalized is sent at most once, so it settles; any other event is sent a second time, after a crash only, and
// never a third. With retries every event is sent again, up to the endpoint's number (guarantees, I2). A resend without
// retries is sent once, whatever the event: who asked for it sees `unknown` and may ask again. A test is never sent again,
// and of an erased session there is nothing left that could be. Either way the lost attempt gets its log row here.
const takeoverSql = `
  WITH lost AS MATERIALIZED (
    -- Of this table alone: with others joined to it PostgreSQL may go through all events before it takes the first ones.
    SELECT delivery_id FROM deliveries
    WHERE state = 'in_flight' AND lease_until < now()
      AND lease_until >= coalesce(now() - $1::float8 * interval '1 millisecond', '-infinity')
    ORDER BY lease_until
    LIMIT ${batchMax}
    FOR UPDATE SKIP LOCKED
  ), before AS MATERIALIZED (
    SELECT deliveries.*, deliveries.session_erased OR deliveries.attempts >= CASE
        WHEN deliveries.trigger = 'test' THEN 1
        WHEN endpoints.retry_attempts IS NOT NULL THEN endpoints.retry_attempts
        WHEN deliveries.trigger = 'live' AND (
          SELECT event FROM events WHERE events.event_id = deliveries.event_id) <> 'session.finalized' THEN 2
        ELSE 1 END AS ends
    FROM lost JOIN deliveries USING (delivery_id) JOIN endpoints ON endpoints.endpoint_id = deliveries.endpoint_id
  ), ended AS (
    DELETE FROM deliveries USING before WHERE deliveries.delivery_id = before.delivery_id AND before.ends
  ), again AS (
    UPDATE deliveries
    SET state = 'pending', due_at = now(), worker_id = NULL, claimed_at = NULL, lease_until = NULL
    FROM before WHERE deliveries.delivery_id = before.delivery_id AND NOT before.ends
  )
  INSERT INTO webhook_logs (${logColumns.join(", ")})
  SELECT ${content.projectId}, before.session_key, ${content.sessionId}, before.event_id, ${content.event},
    ${content.webhookId}, before.delivery_id, before.endpoint_id, endpoints.url, before.attempts_before + before.attempts,
    CASE WHEN before.trigger = 'live' AND before.attempts > 1 THEN 'retry' ELSE before.trigger END,
    'unknown', 'worker_lost', NULL, NULL, NULL, NULL, NULL, before.claimed_at,
    CASE WHEN before.ends THEN 'unknown' END
  FROM before ${contentJoins("before")}
  JOIN endpoints ON endpoints.endpoint_id = before.endpoint_id
  RETURNING settled_as, session_key AS "sessionKey", endpoint_id AS "endpointId"`;

/**
 * Takes over deliveries whose lease is in the past by the database's clock.
 *
 * @param withinMs those alone that ended so long ago at most, in milliseconds: that spares what a transaction that is held
 * open keeps of all the deliveries that were in flight since it began. Default: whenever they ended.
 */
export async function takeOver(pool: pg.Pool, withinMs: number | null = null): Promise<TakenOver> {
  const { rows } = await pool.query<{ settled_as: string | null; sessionKey: number; endpointId: string }>({
    name: "delivery-takeover",
    text: takeoverSql,
    values: [withinMs],
  });
  const unknown = rows.filter((row) => row.settled_as !== null).length;
  return {
    unknown,
    again: rows.length - unknown,
    more: rows.length === batchMax,
    hints: rows.map(({ sessionKey, endpointId }) => ({ sessionKey, endpointId })),
  };
}
