// Lists that stay fast with a million sessions, whatever they are filtered by, without one more index on the way of a
// report or an attempt: each list's index is replaced by one that has, before the time, a short text of what the filters
// name. A list reads the newest of each text that its filters allow and merges them (database/facets.ts; ADR 0034).
// What is added has only events that went nowhere, and endpoints that were removed.
import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  // Both have a condition that holds for every row and that only lists name (as in 0015): a plan that is made while the
  // tables are empty must not take them to look for one session's rows.
  // With seven characters a facet takes eight bytes; the next column begins at a multiple of eight.
  await sql`
    CREATE INDEX sessions_listed ON sessions (
      project_id,
      (left(state, 1) || coalesce(left(channel, 1), '-') || coalesce(left(call_status, 1) || right(call_status, 4), '')),
      created_at DESC, session_key DESC)
    WHERE version > 0`.execute(db);
  await sql`DROP INDEX sessions_newest`.execute(db);
  await sql`
    CREATE INDEX webhook_logs_listed ON webhook_logs (
      endpoint_id, (left(outcome, 3) || left(event, 1) || right(event, 3)), attempted_at DESC, log_id DESC)
    WHERE attempt >= 0`.execute(db);
  await sql`DROP INDEX webhook_logs_newest`.execute(db);
  await sql`
    CREATE INDEX events_unsent ON events (project_id, event_id DESC) WHERE unsent_reason IS NOT NULL`.execute(
    db,
  );
  await sql`CREATE INDEX endpoints_removed ON endpoints (project_id) WHERE removed_at IS NOT NULL`.execute(
    db,
  );
}
