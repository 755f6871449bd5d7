import type pg from "pg";

/** How the rows are spread, as the filters find them. Of `rare` values there is one in so many rows. */
const pagesShape = { days: 30, rareEach: 50_000 } as const;

const sessionsSql = `
  INSERT INTO sessions (project_id, session_id, version, channel, created_at, opened_at, current_node_id, messages_count,
    extracted_variables, conversation_reported_at, conversation_ended_by, call_reported_at, call_ended_by, call_status,
    call_duration, finalized_at, deadline_at)
  SELECT $1, 'call-' || lpad(number::text, 8, '0'), CASE WHEN open THEN 1 ELSE 3 END, channel, at, at, 'closing', 12,
    format('{"name":"Caller %s","intent":"reschedule","note":"%s"}', number, repeat('x', 80)),
    CASE WHEN NOT open THEN at + interval '80 seconds' END, CASE WHEN NOT open THEN 'runtime' END,
    CASE WHEN called THEN at + interval '81 seconds' END, CASE WHEN called THEN 'runtime' END,
    CASE WHEN called THEN status END, CASE WHEN called THEN 78 END,
    CASE WHEN NOT open THEN at + interval '81 seconds' END, CASE WHEN open THEN now() + interval '1 hour' END
  FROM (
    SELECT *, channel = 'call' AND NOT open AS called FROM (
      SELECT number, number % 7 = 0 AND number > $4::int - 100 AS open,
        CASE WHEN number % 6 = 0 THEN 'text' ELSE 'call' END AS channel,
        CASE WHEN number % $5::int = 1 THEN 'sipTrunkFailure' WHEN number % 20 = 3 THEN 'voicemail'
             WHEN number % 20 = 7 THEN 'agentHangup' ELSE 'userHangup' END AS status,
        now() - interval '2 minutes' - ($4::int - number)::float8 / $4::int * ($6::int - 1) * interval '1 day' AS at
      FROM generate_series($2::int, $3::int) AS number) AS numbered) AS drawn
  ORDER BY number
  RETURNING session_key, session_id, right(session_id, 8)::int AS number, created_at`;

// Four attempts a session. Of the events there are rows for one session in twenty, which is enough for their pages.
const seedSql = `
  WITH made AS (${sessionsSql}), emitted AS (
    INSERT INTO events (session_key, project_id, event, webhook_id, payload, emitted_at, deliveries, unsent_reason)
    SELECT session_key, $1, event, 'msg_' || session_key || '_' || position, '{}', created_at + interval '81 seconds',
      CASE WHEN event = 'recording.ready' THEN 0 ELSE 1 END,
      CASE WHEN event = 'recording.ready' THEN 'not_subscribed' END
    FROM made CROSS JOIN (VALUES (1, 'session.ended'), (2, 'call.ended'), (3, 'session.finalized'), (4, 'recording.ready'))
      AS kind (position, event) WHERE number % 20 = 0 ORDER BY session_key, position
  )
  INSERT INTO webhook_logs (project_id, session_key, session_id, event_id, event, webhook_id, delivery_id, endpoint_id, url,
    attempt, trigger, outcome, error_code, failed_step, response_status, response_body, duration_ms, attempted_at, logged_at,
    settled_as)
  SELECT $1, session_key, session_id, 1, event, 'msg_' || session_key || '_' || position, session_key * 4 + position,
    ($7::uuid[])[CASE WHEN number % $5::int = 2 THEN 3 WHEN number % 10 = 4 THEN 2 ELSE 1 END],
    'https://example.com/hooks/sendoff', 1, 'live', outcome, NULL, NULL,
    CASE outcome WHEN 'delivered' THEN 200 WHEN 'rejected' THEN 500 END,
    CASE WHEN outcome IN ('delivered', 'rejected') THEN '\\x7b22737461747573223a226f6b227d'::bytea END,
    20 + number % 200, at, at + interval '1 second', CASE outcome WHEN 'delivered' THEN 'delivered' ELSE 'rejected' END
  FROM (
    SELECT made.*, position, event, created_at + (81 + position) * interval '1 second' AS at,
      CASE WHEN number % $5::int = 1 AND position = 2 THEN 'blocked' WHEN number % 50 = 9 THEN 'rejected'
           WHEN number % 100 = 17 THEN 'timed_out' ELSE 'delivered' END AS outcome
    FROM made CROSS JOIN (VALUES (1, 'session.ended'), (2, 'call.ended'), (3, 'session.finalized'), (4, 'session.finalized'))
      AS kind (position, event)) AS attempted
  ORDER BY session_key, position`;

const partitionsSql = `
  SELECT 'webhook_logs_' || to_char(day, 'YYYYMMDD') AS name, day::text AS from, (day + interval '1 day')::text AS to
  FROM generate_series(date_trunc('day', now() AT TIME ZONE 'UTC') - $1::int * interval '1 day',
    date_trunc('day', now() AT TIME ZONE 'UTC'), interval '1 day') AS day
  WHERE to_regclass('webhook_logs_' || to_char(day, 'YYYYMMDD')) IS NULL`;

/** Sessions per statement. */
const step = 10_000;

/**
 * Fills a project with sessions of 30 days, and four attempts for each, at its three endpoints: most at the first, a
 * tenth at the second, and few at the third.
 */
export async function seedPages(
  database: pg.Pool,
  projectId: string,
  endpointIds: readonly string[],
  sessions: number,
  onPart: (share: number) => void = () => {},
): Promise<void> {
  const { rows } = await database.query<{ name: string; from: string; to: string }>(partitionsSql, [
    pagesShape.days,
  ]);
  for (const { name, from, to } of rows) {
    await database.query(
      `CREATE TABLE ${name} PARTITION OF webhook_logs FOR VALUES FROM ('${from}+00') TO ('${to}+00')`,
    );
  }
  for (let first = 1; first <= sessions; first += step) {
    await database.query(seedSql, [
      projectId,
      first,
      Math.min(first + step - 1, sessions),
      sessions,
      pagesShape.rareEach,
      pagesShape.days,
      endpointIds,
    ]);
    onPart(first / sessions);
  }
}
