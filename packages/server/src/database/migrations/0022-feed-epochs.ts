// Which PostgreSQL wrote which events. After a failover to a standby that lags, or a restore of a backup, transactions that
// the database does not have any more had numbers that it gives again: a cursor of before would leave out what is written
// now. So each start of PostgreSQL that writes events is an epoch, and the first of its transactions notes from which
// number on events are its own (feed/epochs.ts; ADR 0050). The table gets a row for each start of PostgreSQL.
import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    CREATE TABLE feed_epochs (
      -- In the order in which they wrote.
      epoch integer PRIMARY KEY CHECK (epoch > 0),
      -- When the PostgreSQL was started: no two that write have the same, and anyone may ask for it.
      started_at timestamptz NOT NULL UNIQUE,
      -- Events of this epoch and later ones have this transaction number or a larger one, those of before a smaller one.
      fork bigint NOT NULL CHECK (fork >= 0),
      began_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )`.execute(db);
  // Once a statement, and a look at an index of some rows. Of transactions that run now, which may have a smaller number
  // than this one, none is before the fork; whoever else begins the same epoch waits for this one, and does nothing.
  await sql`
    CREATE FUNCTION begin_feed_epoch() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF NOT EXISTS (SELECT FROM feed_epochs WHERE started_at = pg_postmaster_start_time()) THEN
        INSERT INTO feed_epochs (epoch, started_at, fork)
        SELECT coalesce((SELECT max(epoch) FROM feed_epochs), 0) + 1, pg_postmaster_start_time(),
          feed_position(pg_snapshot_xmin(pg_current_snapshot()))
        ON CONFLICT DO NOTHING;
      END IF;
      RETURN NULL;
    END $$`.execute(db);
  // It waits for those who are writing events.
  await sql`
    CREATE TRIGGER begin_feed_epoch BEFORE INSERT ON events
      FOR EACH STATEMENT EXECUTE FUNCTION begin_feed_epoch()`.execute(db);
  // The first epoch begins here, after the wait: cursors of versions before, which name no epoch, are of before.
  await sql`
    INSERT INTO feed_epochs (epoch, started_at, fork)
    SELECT 1, pg_postmaster_start_time(), feed_position(pg_snapshot_xmin(pg_current_snapshot()))`.execute(db);
  // Retention removes what is oldest, whatever its id is.
  await sql`CREATE INDEX inspector_requests_aged ON inspector_requests (received_at)`.execute(db);
}
