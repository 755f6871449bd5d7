// The order of the events feed. Ids are given before the commit and commits happen in any order, so a reader that goes on
// behind the largest id that it has seen loses an event that is committed later with a smaller one. So each event has the
// number of the transaction that wrote it: below the oldest transaction that still runs nothing can appear any more
// (ADR 0024, feed/horizon.ts). Events of before this migration come first, in the order of their ids.
import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  // In a database that was restored elsewhere numbers begin low again; then what is added here changes (feed/restored.ts).
  await sql`
    CREATE FUNCTION feed_position(transaction_id xid8) RETURNS bigint LANGUAGE sql STABLE
      AS 'SELECT transaction_id::text::bigint + 0'`.execute(db);
  // A constant first: it does not write the table anew.
  await sql`ALTER TABLE events ADD COLUMN transaction_number bigint NOT NULL DEFAULT 0`.execute(db);
  await sql`
    ALTER TABLE events ALTER COLUMN transaction_number SET DEFAULT feed_position(pg_current_xact_id())`.execute(
    db,
  );
  await sql`CREATE INDEX events_feed ON events (project_id, transaction_number, event_id)`.execute(db);
}
