import type pg from "pg";
import type { DeadEndpoint } from "./dead-endpoints.ts";

/** Days over which the rows are spread, the last of them today. */
const days = 10;
/** Each statement is a commit, so that ten million rows are no single long transaction. */
const rowsPerStatement = 50_000;

// The past days' partitions are there on a system that has run for so long; here they are made as partitions.ts makes
// today's.
const missingSql = `
  SELECT 'webhook_logs_' || to_char(day, 'YYYYMMDD') AS name, day::text AS from, (day + interval '1 day')::text AS to
  FROM generate_series(date_trunc('day', now() AT TIME ZONE 'UTC') - $1 * interval '1 day',
    date_trunc('day', now() AT TIME ZONE 'UTC'), interval '1 day') AS day
  WHERE to_regclass('webhook_logs_' || to_char(day, 'YYYYMMDD')) IS NULL`;

// What an attempt at a dead endpoint leaves. Sessions, events and deliveries have negative keys: they are nobody's.
const logsSql = `
  INSERT INTO webhook_logs (project_id, session_key, session_id, event_id, event, webhook_id, delivery_id, endpoint_id,
    url, attempt, trigger, outcome, error_code, failed_step, duration_ms, attempted_at, logged_at, settled_as)
  SELECT dead.project_id, -number, 'past-' || number, -number, 'session.ended',
    'msg_' || replace(gen_random_uuid()::text, '-', ''), -number, dead.endpoint_id,
    'https://receiver.example/hooks/post-session', 1, 'live', 'unreachable', 'ECONNREFUSED', 'connect', 1.5,
    moment, moment, 'failed'
  FROM generate_series($3::bigint, $4::bigint) AS number
  -- From the oldest to the newest, but never after now.
  CROSS JOIN LATERAL (SELECT now() - ($5::bigint - number) * (now() - $6::timestamptz) / $5::bigint AS moment) AS at
  JOIN unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS dead (endpoint_id, project_id, position)
    ON dead.position = 1 + number % cardinality($1::uuid[])`;

/** Inserts so many rows of webhook_logs, spread over the past days and all endpoints. */
export async function seedLogs(
  database: pg.Pool,
  dead: readonly DeadEndpoint[],
  count: number,
  onPart: (share: number) => void,
): Promise<void> {
  const { rows } = await database.query<{ name: string; from: string; to: string }>(missingSql, [days - 1]);
  for (const { name, from, to } of rows) {
    await database.query(
      `CREATE TABLE ${name} PARTITION OF webhook_logs FOR VALUES FROM ('${from}+00') TO ('${to}+00')`,
    );
  }
  const oldest = await database.query<{ oldest: Date }>(
    "SELECT (date_trunc('day', now() AT TIME ZONE 'UTC') - $1 * interval '1 day') AT TIME ZONE 'UTC' AS oldest",
    [days - 1],
  );
  for (let done = 0; done < count; done += rowsPerStatement) {
    await database.query(logsSql, [
      dead.map(({ endpointId }) => endpointId),
      dead.map(({ projectId }) => projectId),
      done + 1,
      Math.min(done + rowsPerStatement, count),
      count,
      oldest.rows[0]?.oldest,
    ]);
    onPart(done / count);
  }
}
