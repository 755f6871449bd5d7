import { durationClassSql } from "./durations.ts";

/** What is counted. Each kind has subjects of its own. */
export const tallyKinds = {
  /** subject: accepted, duplicate, late. */
  reports: "reports",
  /** subject: the event. */
  events: "events",
  /** subject: why it went to no endpoint. */
  unsent: "unsent",
  attempts: "attempts",
  /** subject: the settled state. */
  settled: "settled",
  /** subject: the class of the duration (durations.ts). */
  attemptMs: "attempt_ms",
  /** subject: the event and the class, with a space between. */
  hangUpMs: "hang_up_ms",
  /** subject of these: the endpoint. */
  endpointAttempts: "endpoint_attempts",
  endpointDelivered: "endpoint_delivered",
  endpointFailed: "endpoint_failed",
  /** Milliseconds, added up. */
  endpointMs: "endpoint_ms",
} as const;
const kinds = tallyKinds;

/** Some of a kind in one minute. */
export interface Tally {
  readonly projectId: string;
  readonly minute: Date | string;
  readonly kind: string;
  readonly subject: string;
  readonly count: number;
}

const settledBadly = "settled_as IN ('rejected', 'failed', 'exhausted', 'unknown')";
// The end of the call; of a text session, or before the channel is known, that of the conversation.
const hungUp = `CASE WHEN channel = 'call' THEN coalesce(call_ended_at, call_reported_at)
       ELSE coalesce(conversation_ended_at, conversation_reported_at) END`;
const answeredAt = "attempted_at + duration_ms * interval '1 millisecond'";

/**
 * The tallies of some rows of `webhook_logs`, tests aside. Rows that are alike are brought together before they are taken
 * apart by kind: of ten thousand rows hundreds are left then.
 *
 * @param rows a relation with columns of `webhook_logs`.
 */
export const logTalliesSql = (rows: string): string => `
  WITH attempt AS MATERIALIZED (
    SELECT logged.project_id, date_trunc('minute', attempted_at) AS minute, event, settled_as, outcome, duration_ms, endpoint_id,
      CASE WHEN settled_as = 'delivered' AND trigger IN ('live', 'retry') AND attempted_at IS NOT NULL
        THEN greatest(0, extract(epoch FROM ${answeredAt} - (${hungUp})) * 1000) END AS hang_up_ms
    FROM ${rows} AS logged LEFT JOIN LATERAL (
      SELECT channel, call_ended_at, call_reported_at, conversation_ended_at, conversation_reported_at
      FROM sessions WHERE sessions.session_key = logged.session_key AND settled_as = 'delivered'
      -- Without a limit it would be a join, and every session might be read for it.
      LIMIT 1) AS session ON true
    WHERE trigger <> 'test'
  ), alike AS (
    SELECT project_id, minute, outcome, settled_as, endpoint_id, ${durationClassSql("duration_ms")} AS class,
      count(*) AS attempts, sum(round(duration_ms)) AS ms
    FROM attempt GROUP BY 1, 2, 3, 4, 5, 6
  ), hung_up AS (
    SELECT project_id, minute, event, ${durationClassSql("hang_up_ms")} AS class, count(*) AS deliveries
    FROM attempt WHERE hang_up_ms IS NOT NULL GROUP BY 1, 2, 3, 4
  )
  SELECT project_id AS "projectId", minute, kind, subject, sum(number)::bigint AS count
  FROM (
    SELECT project_id, minute, tally.* FROM alike CROSS JOIN LATERAL (VALUES
      ('${kinds.attempts}', CASE WHEN outcome <> 'cancelled' THEN '' END, attempts),
      ('${kinds.settled}', settled_as, attempts),
      ('${kinds.attemptMs}', CASE WHEN outcome NOT IN ('cancelled', 'unknown', 'blocked') THEN class::text END, attempts),
      ('${kinds.endpointAttempts}', CASE WHEN outcome <> 'cancelled' THEN endpoint_id::text END, attempts),
      ('${kinds.endpointDelivered}', CASE WHEN settled_as = 'delivered' THEN endpoint_id::text END, attempts),
      ('${kinds.endpointFailed}', CASE WHEN ${settledBadly} THEN endpoint_id::text END, attempts),
      ('${kinds.endpointMs}', CASE WHEN outcome <> 'cancelled' THEN endpoint_id::text END, ms)
    ) AS tally (kind, subject, number)
    UNION ALL
    SELECT project_id, minute, '${kinds.hangUpMs}', event || ' ' || class, deliveries FROM hung_up
  ) AS told
  WHERE subject IS NOT NULL AND number IS NOT NULL
  GROUP BY project_id, minute, kind, subject`;

/** The tallies of some rows of `events`, brought together in the same way. */
export const eventTalliesSql = (rows: string): string => `
  WITH alike AS (
    SELECT project_id, date_trunc('minute', emitted_at) AS minute, event, unsent_reason, count(*) AS emitted
    FROM ${rows} AS closed GROUP BY 1, 2, 3, 4
  )
  SELECT project_id AS "projectId", minute, kind, subject, sum(emitted)::bigint AS count
  FROM alike
  CROSS JOIN LATERAL (VALUES ('${kinds.events}', event), ('${kinds.unsent}', unsent_reason)) AS tally (kind, subject)
  WHERE subject IS NOT NULL
  GROUP BY project_id, minute, kind, subject`;

/** Columns that {@link logTalliesSql} reads. */
export const logTallyColumns =
  "log_id, project_id, session_key, endpoint_id, event, trigger, outcome, settled_as, duration_ms, attempted_at, logged_at";
/** Columns that {@link eventTalliesSql} reads. */
export const eventTallyColumns = "event_id, project_id, event, unsent_reason, emitted_at";
