// Ids are drawn before the rows are written, so that one statement can write a session, its events and its deliveries
// without looking up what the one has inserted for the other. A report draws one number; its session's key, if it makes
// one, is that number, its events have the next 8 times it, its deliveries 256 times it. A number that was drawn later is
// greater, so the order of emission stays the order of ids within a session: who writes has read what was written before.
import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`CREATE SEQUENCE drawn_ids`.execute(db);
  await sql`
    SELECT setval('drawn_ids', greatest(
      (SELECT last_value FROM sessions_session_key_seq),
      (SELECT last_value FROM events_event_id_seq) / 8,
      (SELECT last_value FROM deliveries_delivery_id_seq) / 256) + 1)`.execute(db);
  await sql`ALTER TABLE sessions ALTER session_key DROP IDENTITY`.execute(db);
  await sql`ALTER TABLE events ALTER event_id DROP IDENTITY`.execute(db);
  await sql`ALTER TABLE deliveries ALTER delivery_id DROP IDENTITY`.execute(db);
  // For the rows that are not made by a report: resends and tests.
  await sql`ALTER TABLE sessions ALTER session_key SET DEFAULT nextval('drawn_ids')`.execute(db);
  await sql`ALTER TABLE events ALTER event_id SET DEFAULT nextval('drawn_ids') * 8`.execute(db);
  await sql`ALTER TABLE deliveries ALTER delivery_id SET DEFAULT nextval('drawn_ids') * 256`.execute(db);
  // A plan that is made while the tables are empty is kept, and then all indexes cost the same: the one by time was taken
  // to look up a session by its id, and read all of a project's. A condition that only lists name keeps it for them.
  await sql`DROP INDEX sessions_newest`.execute(db);
  await sql`
    CREATE INDEX sessions_newest ON sessions (project_id, created_at DESC, session_key DESC)
      WHERE version > 0`.execute(db);
}
