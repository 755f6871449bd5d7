// What is known of the audio itself, beside the session that refers to it by its key: a report writes one row of
// `sessions` in a statement that is as narrow as it can be, and few sessions have audio. The row comes before the first
// byte of an upload, so that whatever dies, somebody knows which object has to go (ADR 0031).
import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    CREATE TABLE recordings (
      object_key text NOT NULL,
      project_id uuid NOT NULL,
      session_id text NOT NULL,
      -- Sendoff wrote the object: it goes when no session comes to refer to it. One that was there before stays.
      uploaded boolean NOT NULL,
      -- The session refers to it. Noted after the report's commit; until then the session itself is the truth.
      kept boolean NOT NULL DEFAULT false,
      -- Renewed while an upload is under way.
      alive_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      content_type text,
      bytes bigint CHECK (bytes > 0),
      sha256 bytea CHECK (octet_length(sha256) = 32),
      seconds double precision CHECK (seconds >= 0),
      peaks text NOT NULL DEFAULT 'pending' CHECK (peaks IN ('pending', 'made', 'none')),
      peaks_tries integer NOT NULL DEFAULT 0,
      peaks_due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      -- Audio and peaks are gone, because the session was erased. Counts and the hash stay; a key may tell of a person.
      removed_at timestamptz,
      PRIMARY KEY (project_id, session_id, object_key),
      CONSTRAINT removed_has_no_key CHECK ((removed_at IS NOT NULL) = (object_key = '')),
      CONSTRAINT upload_is_known CHECK (NOT (kept AND uploaded) OR (bytes IS NOT NULL AND sha256 IS NOT NULL))
    ) WITH (fillfactor = 70)`.execute(db);
  await sql`CREATE INDEX recordings_by_key ON recordings (object_key)`.execute(db);
  await sql`CREATE INDEX recordings_unkept ON recordings (alive_at) WHERE NOT kept`.execute(db);
  await sql`
    CREATE INDEX recordings_without_peaks ON recordings (peaks_due_at)
      WHERE kept AND peaks = 'pending' AND removed_at IS NULL`.execute(db);
}
