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
 * The tallies of some rows of `webhook_logs`, tests aside.
 *
 * @param rows a relation with columns of `webhook_logs`.
 */
export const logTalliesSql = (rows: string): string => `
  SELECT project_id AS "projectId", minute, kind, subject, sum(number)::bigint AS count
  FROM (
    SELECT logged.project_id, date_trunc('minute', attempted_at) AS minute, event, settled_as, outcome, duration_ms, endpoint_id,
      CASE WHEN settled_as = 'delivered' AND trigger IN ('live', 'retry') AND attempted_at IS NOT NULL
        THEN greatest(0, extract(epoch FROM ${answeredAt} - (${hungUp})) * 1000) END AS hang_up_ms
    FROM ${rows} AS logged LEFT JOIN LATERAL (
      SELECT channel, call_ended_at, call_reported_at, conversation_ended_at, conversation_reported_at
      FROM sessions WHERE sessions.session_key = logged.session_key AND settled_as = 'delivered') AS session ON true
    WHERE trigger <> 'test'
  ) AS attempt CROSS JOIN LATERAL (VALUES
    ('${kinds.attempts}', CASE WHEN outcome <> 'cancelled' THEN '' END, 1),
    ('${kinds.settled}', settled_as, 1),
    ('${kinds.attemptMs}', CASE WHEN outcome NOT IN ('cancelled', 'unknown', 'blocked')
      THEN ${durationClassSql("duration_ms")} END, 1),
    ('${kinds.hangUpMs}', event || ' ' || ${durationClassSql("hang_up_ms")}, CASE WHEN hang_up_ms IS NOT NULL THEN 1 END),
    ('${kinds.endpointAttempts}', CASE WHEN outcome <> 'cancelled' THEN endpoint_id::text END, 1),
    ('${kinds.endpointDelivered}', CASE WHEN settled_as = 'delivered' THEN endpoint_id::text END, 1),
    ('${kinds.endpointFailed}', CASE WHEN ${settledBadly} THEN endpoint_id::text END, 1),
    ('${kinds.endpointMs}', CASE WHEN outcome <> 'cancelled' THEN endpoint_id::text END, round(duration_ms)::int)
  ) AS tally (kind, subject, number)
  WHERE subject IS NOT NULL AND number IS NOT NULL
  GROUP BY project_id, minute, kind, subject`;

/** The tallies of some rows of `events`. */
export const eventTalliesSql = (rows: string): string => `
  SELECT project_id AS "projectId", date_trunc('minute', emitted_at) AS minute, kind, subject, count(*) AS count
  FROM ${rows} AS emitted
  CROSS JOIN LATERAL (VALUES ('${kinds.events}', event), ('${kinds.unsent}', unsent_reason)) AS tally (kind, subject)
  WHERE subject IS NOT NULL
  GROUP BY project_id, minute, kind, subject`;

/** Columns that {@link logTalliesSql} reads. */
export const logTallyColumns =
  "log_id, project_id, session_key, endpoint_id, event, trigger, outcome, settled_as, duration_ms, attempted_at, logged_at";
/** Columns that {@link eventTalliesSql} reads. */
export const eventTallyColumns = "event_id, project_id, event, unsent_reason, emitted_at";
