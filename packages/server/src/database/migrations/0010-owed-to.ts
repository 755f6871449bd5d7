// Which endpoints an event was owed to, written with the event. The log tells it too, but only until retention drops
// it, and a question over 10,000 events would ask every day's partition for each. With it reconcile reads one index.
import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`ALTER TABLE events ADD COLUMN owed_to uuid[] NOT NULL DEFAULT '{}'`.execute(db);
  await sql`
    UPDATE events SET owed_to = owed.endpoints
    FROM (
      SELECT event_id, array_agg(DISTINCT endpoint_id) AS endpoints FROM (
        SELECT event_id, endpoint_id FROM webhook_logs UNION SELECT event_id, endpoint_id FROM deliveries) AS known
      GROUP BY event_id) AS owed
    WHERE events.event_id = owed.event_id`.execute(db);
  await sql`CREATE INDEX events_of_project ON events (project_id, emitted_at, event_id)`.execute(db);
}
