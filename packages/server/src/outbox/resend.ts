import type { EventName } from "@sendoff/contract";
import type pg from "pg";
import { dueChannel } from "../database/listen.ts";
import { Refusal } from "../refusal.ts";
import { blockedAgain } from "./lane.ts";

/** An event that is owed to an endpoint once more. */
export interface OwedAgain {
  readonly eventId: number;
  /** The `sendoff-attempt` that it begins with. */
  readonly attempt: number;
}

/** Attempts are counted in a smallint; nobody gets there by resends of sense. */
const attemptsBeforeMax = 32_000;

/**
 * The number of the latest attempt of an event at an endpoint, as far as the log still has it. `event` is a row of
 * `events`; the log's partitions before its emission are not looked at.
 */
const triedSql = (endpointId: string): string => `
  SELECT coalesce(max(attempt), 0) AS attempts FROM webhook_logs
  WHERE webhook_logs.session_key = event.session_key AND webhook_logs.event_id = event.event_id
    AND webhook_logs.endpoint_id = ${endpointId} AND webhook_logs.attempted_at >= event.emitted_at
    AND webhook_logs.attempted_at < now() + interval '1 minute'`;

// An erased event has nothing left to send. One that has a delivery already is left alone: two of its attempts must never
// be under way at a time. The look comes first, because what it finds gone has its last log row in the same snapshot, so
// that the count is right; the unique index is for two resends at the same instant. In the lane, deliveries are born in
// the order of emission. The event's row is held, so that neither erasing nor retention takes its body away from under
// the new delivery.
const oweAgainSql = `
  WITH wanted AS (
    SELECT event.event_id, event.session_key, tried.attempts, $3 AND event.event <> 'recording.ready' AS in_lane
    FROM events AS event CROSS JOIN LATERAL (${triedSql("$2::uuid")}) AS tried
    WHERE event.event_id = ANY ($1::bigint[]) AND coalesce(event.payload, '') <> ''
      AND NOT EXISTS (
        SELECT FROM deliveries WHERE deliveries.event_id = event.event_id AND deliveries.endpoint_id = $2::uuid)
    FOR SHARE OF event
  ), owed AS (
    INSERT INTO deliveries (event_id, session_key, endpoint_id, in_lane, trigger, attempts_before, due_at)
    SELECT event_id, session_key, $2::uuid, in_lane, 'resend', least(attempts, ${attemptsBeforeMax}),
      CASE WHEN in_lane AND row_number() OVER (PARTITION BY session_key, in_lane ORDER BY event_id) > 1
           THEN now() + ${blockedAgain} ELSE clock_timestamp() END
    FROM wanted ORDER BY event_id
    ON CONFLICT (event_id, endpoint_id) DO NOTHING
    RETURNING event_id, attempts_before
  ), told AS (
    SELECT pg_notify('${dueChannel}', $2::uuid::text) FROM (SELECT FROM owed LIMIT 1) AS anything
  )
  SELECT owed.event_id AS "eventId", owed.attempts_before + 1 AS attempt, (SELECT count(*) FROM told) AS told
  FROM owed ORDER BY owed.event_id`;

/**
 * Owes events to an endpoint once more, with the same bytes and `webhook-id`. Ordinary claims find them.
 *
 * @param inLane whether those of one session keep the order of emission among each other and with what is live.
 * @returns those that are owed by this call; the others are under way already.
 */
export async function oweAgain(
  db: pg.Pool | pg.PoolClient,
  endpointId: string,
  eventIds: readonly number[],
  inLane: boolean,
): Promise<OwedAgain[]> {
  const { rows } = await db.query<OwedAgain>({
    name: "delivery-owe-again",
    text: oweAgainSql,
    values: [eventIds, endpointId, inLane],
  });
  return rows.map(({ eventId, attempt }) => ({ eventId, attempt }));
}

/** A resend of an event as it stands after the request for it. */
export interface Resent {
  readonly sessionId: string;
  readonly event: EventName;
  readonly webhookId: string;
  readonly endpointId: string;
  readonly attempt: number;
  /** It was under way already. */
  readonly duplicate: boolean;
}

interface LoggedRow extends Omit<Resent, "attempt" | "duplicate"> {
  readonly eventId: number;
  readonly removed: boolean;
  readonly gone: boolean;
}

// An erased session's event has lost its body, or its row.
const loggedSql = `
  SELECT logged.event_id AS "eventId", logged.session_id AS "sessionId", logged.event,
    logged.webhook_id AS "webhookId", logged.endpoint_id AS "endpointId",
    endpoints.endpoint_id IS NULL OR endpoints.removed_at IS NOT NULL AS removed,
    coalesce(events.payload, '') = '' AS gone
  FROM webhook_logs AS logged
  LEFT JOIN endpoints ON endpoints.endpoint_id = logged.endpoint_id
  LEFT JOIN events ON events.event_id = logged.event_id
  WHERE logged.log_id = $1 AND logged.project_id = $2`;

/**
 * Sends the event of a logged attempt again to the endpoint of that attempt. A repeat while that is under way changes
 * nothing and answers the same.
 *
 * @throws Refusal when there is no such attempt, it was a test, its endpoint or its session's content is gone, or the
 * event has not settled yet.
 */
export async function resend(pool: pg.Pool, projectId: string, logId: string): Promise<Resent> {
  const logged = await readLogged(pool, projectId, logId);
  const { eventId, removed: _removed, gone: _gone, ...answer } = logged;
  // What was under way may settle between the two looks; then it can be owed after all.
  for (let look = 0; look < 5; look++) {
    const [owed] = await oweAgain(pool, logged.endpointId, [eventId], false);
    if (owed !== undefined) return { ...answer, attempt: owed.attempt, duplicate: false };
    const { rows } = await pool.query<{ trigger: string; attempt: number }>(
      `SELECT trigger, attempts_before + greatest(attempts, 1) AS attempt FROM deliveries
       WHERE event_id = $1 AND endpoint_id = $2`,
      [eventId, logged.endpointId],
    );
    const there = rows[0];
    if (there?.trigger === "resend") return { ...answer, attempt: there.attempt, duplicate: true };
    if (there !== undefined) break;
  }
  throw new Refusal(
    "delivery_under_way",
    `${logged.event} of session ${logged.sessionId} has not settled at this endpoint: it is due, under way, or waits for its next retry. It will be sent without a resend.`,
  );
}

async function readLogged(pool: pg.Pool, projectId: string, logId: string): Promise<LoggedRow> {
  const { rows } = /^\d{1,18}$/.test(logId)
    ? await pool.query<LoggedRow>(loggedSql, [logId, projectId])
    : { rows: [] };
  const logged = rows[0];
  if (logged === undefined) {
    throw new Refusal(
      "webhook_log_not_found",
      `This project has no attempt ${JSON.stringify(logId.slice(0, 60))}.`,
    );
  }
  // Ids of tests are negative (migration 0009).
  if (logged.eventId < 0) {
    throw new Refusal("test_not_resent", `Attempt ${logId} was a test. Send another test event instead.`);
  }
  if (logged.removed) {
    throw new Refusal(
      "endpoint_removed",
      `The endpoint of attempt ${logId} has been removed, so there is nowhere to send it. Resend an attempt at an endpoint that is there.`,
    );
  }
  if (logged.gone) {
    throw new Refusal(
      "session_erased",
      `Session ${logged.sessionId} was erased: the body of its ${logged.event} is gone and cannot be sent again.`,
    );
  }
  return logged;
}
