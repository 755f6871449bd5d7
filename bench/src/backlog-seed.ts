import type pg from "pg";
import type { DeadEndpoint } from "./dead-endpoints.ts";

// The shape that the intake makes of a text session's end: the session is finalized and owes session.ended and
// session.finalized. Without retries the backlog is an hour old: the first is due since then, and the second, which is
// behind it in the lane, 10 s later. With retries the first has failed once and is due again in
// the next hour; the second is looked at every 10 s (append.ts, blockedAgain).
const sessionsSql = `
  INSERT INTO sessions (project_id, session_id, version, channel, created_at, current_node_id, messages_count,
    extracted_variables, conversation_reported_at, conversation_ended_by, finalized_at)
  SELECT dead.project_id, $2 || '-' || dead.endpoint_id || '-' || number, 1, 'text', now(), 'closing', 12,
    '{"name":"Anna Berg","intent":"reschedule"}', now(), 'runtime', now()
  FROM unnest($1::uuid[], $3::uuid[]) AS dead (endpoint_id, project_id), generate_series(1, $4::int) AS number
  ORDER BY number, dead.endpoint_id
  RETURNING session_key, project_id, session_id`;

const seedSql = `
  WITH made AS (${sessionsSql}), stored AS (
    INSERT INTO events (session_key, project_id, event, webhook_id, payload, emitted_at, deliveries)
    SELECT made.session_key, made.project_id, kind.event, 'msg_' || replace(gen_random_uuid()::text, '-', ''),
      format('{"event":"%s","sessionId":"%s","timestamp":"2026-03-04T09:30:00.000Z","currentNodeId":"closing","messagesCount":12,"extractedVariables":{"name":"Anna Berg","intent":"reschedule"},"reason":"%s"}',
        kind.event, made.session_id, repeat('x', 150)),
      now(), 1
    FROM made CROSS JOIN (VALUES (1, 'session.ended'), (2, 'session.finalized')) AS kind (position, event)
    ORDER BY made.session_key, kind.position
    RETURNING event_id, session_key, project_id, event
  ), aged AS (
    SELECT stored.*, dead.endpoint_id, dead.retries, stored.event = 'session.ended' AS is_first,
      -- One moment for both of a session.
      (hashint8(stored.session_key)::bigint + 2147483648) / 4294967296.0 * interval '1 hour' AS age
    FROM stored
    JOIN unnest($1::uuid[], $3::uuid[], $5::boolean[]) AS dead (endpoint_id, project_id, retries) USING (project_id)
  )
  INSERT INTO deliveries (event_id, session_key, endpoint_id, in_lane, trigger, attempts, due_at, first_claimed_at)
  SELECT event_id, session_key, endpoint_id, true, 'live',
    CASE WHEN retries AND is_first THEN 1 ELSE 0 END,
    CASE WHEN retries AND is_first THEN now() + age
         WHEN is_first THEN now() - age
         WHEN retries THEN now() + age / 360
         ELSE now() - age + interval '10 seconds' END,
    CASE WHEN retries AND is_first THEN now() END
  FROM aged ORDER BY event_id`;

/** Sessions per endpoint in one statement: each is a commit, so that a million rows are no single long transaction. */
const sessionsPerStatement = 200;

/** Inserts so many deliveries, in equal parts for all endpoints. */
export async function seedBacklog(
  database: pg.Pool,
  dead: readonly DeadEndpoint[],
  deliveries: number,
  onPart: (share: number) => void,
): Promise<void> {
  const sessionsEach = Math.ceil(deliveries / 2 / dead.length);
  for (let done = 0; done < sessionsEach; done += sessionsPerStatement) {
    await database.query(seedSql, [
      dead.map((endpoint) => endpoint.endpointId),
      `backlog-${done}`,
      dead.map((endpoint) => endpoint.projectId),
      Math.min(sessionsPerStatement, sessionsEach - done),
      dead.map((endpoint) => endpoint.retries),
    ]);
    onPart(done / sessionsEach);
  }
}
