// How much of a disk or bucket each project's uploads hold, stored and under way, so that one project cannot fill it. The
// sum is a row of its own: adding up a project's recordings at each upload would read all of them. A trigger keeps it, so
// that it holds for every statement that adds, changes or removes recordings (ADR 0054). Waveforms are drawn project by
// project in turn, for which the index begins with the project.
import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    CREATE TABLE recording_use (
      project_id uuid PRIMARY KEY,
      bytes bigint NOT NULL DEFAULT 0 CHECK (bytes >= 0)
    ) WITH (fillfactor = 50)`.execute(db);
  // What an upload may take while it is under way, then what it has; 0 once its audio is gone. Audio that was there before
  // Sendoff knew of it is its owner's, and counts for nothing.
  await sql`ALTER TABLE recordings ADD COLUMN held_bytes bigint NOT NULL DEFAULT 0 CHECK (held_bytes >= 0)`.execute(
    db,
  );
  await sql`
    UPDATE recordings SET held_bytes = bytes WHERE uploaded AND removed_at IS NULL AND bytes IS NOT NULL`.execute(
    db,
  );
  await sql`
    INSERT INTO recording_use (project_id, bytes)
    SELECT project_id, sum(held_bytes) FROM recordings WHERE uploaded GROUP BY project_id`.execute(db);
  await sql`
    CREATE FUNCTION recording_use_changed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF TG_OP = 'DELETE' THEN
        UPDATE recording_use SET bytes = bytes - OLD.held_bytes WHERE project_id = OLD.project_id;
      ELSE
        UPDATE recording_use SET bytes = bytes - OLD.held_bytes + NEW.held_bytes WHERE project_id = NEW.project_id;
      END IF;
      RETURN NULL;
    END $$`.execute(db);
  // Only what changes the sum pays for it.
  await sql`
    CREATE TRIGGER recording_use_deleted AFTER DELETE ON recordings
      FOR EACH ROW WHEN (OLD.held_bytes > 0) EXECUTE FUNCTION recording_use_changed()`.execute(db);
  await sql`
    CREATE TRIGGER recording_use_updated AFTER UPDATE OF held_bytes ON recordings
      FOR EACH ROW WHEN (OLD.held_bytes <> NEW.held_bytes) EXECUTE FUNCTION recording_use_changed()`.execute(
    db,
  );
  await sql`DROP INDEX recordings_without_peaks`.execute(db);
  await sql`
    CREATE INDEX recordings_without_peaks ON recordings (project_id, peaks_due_at)
      WHERE kept AND peaks = 'pending' AND removed_at IS NULL`.execute(db);
}
