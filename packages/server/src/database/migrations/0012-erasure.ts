// What remains of a session whose data was erased: its row, its events with the hash of their bytes, its outcomes. The
// CHECKs hold that nothing else does, and that nothing can be written back (ADR 0025).
import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    ALTER TABLE sessions
      ADD COLUMN erased_at timestamptz,
      -- Key of audio that has to go; NULL once it is gone. Outside of the transaction, so it is noted in it.
      ADD COLUMN recording_to_remove text,
      DROP CONSTRAINT recording_is_whole,
      ADD CONSTRAINT recording_is_whole CHECK (
        (recording_reported_at IS NULL) = (recording_success IS NULL)
        AND (erased_at IS NOT NULL OR (recording_object_key IS NOT NULL) = (recording_success IS TRUE))
        AND (recording_error IS NULL OR recording_success IS FALSE)
        AND (recording_reported_at IS NULL OR channel = 'call' OR channel_assumed)),
      DROP CONSTRAINT finalized_or_has_deadline,
      ADD CONSTRAINT finalized_or_has_deadline
        CHECK ((finalized_at IS NULL AND erased_at IS NULL) = (deadline_at IS NOT NULL)),
      ADD CONSTRAINT erased_is_empty CHECK (erased_at IS NULL OR (
        variables IS NULL AND extracted_variables = '{}' AND start_node_id IS NULL AND current_node_id = ''
        AND recording_object_key IS NULL AND recording_error IS NULL
        AND late_conversation IS NULL AND late_call IS NULL)),
      ADD CONSTRAINT recording_to_remove_is_erased CHECK (recording_to_remove IS NULL OR erased_at IS NOT NULL)`.execute(
    db,
  );
  await sql`
    CREATE INDEX sessions_recording_to_remove ON sessions (session_key) WHERE recording_to_remove IS NOT NULL`.execute(
    db,
  );
  await sql`
    ALTER TABLE events
      ALTER COLUMN payload DROP NOT NULL,
      -- SHA-256 of the bytes that were sent, instead of them.
      ADD COLUMN payload_sha256 bytea CHECK (octet_length(payload_sha256) = 32),
      ADD CONSTRAINT payload_or_its_hash CHECK ((payload IS NULL) = (payload_sha256 IS NOT NULL))`.execute(
    db,
  );
  // For the inspector, which must not keep what arrives of an erased session (inspector.ts).
  await sql`CREATE INDEX events_erased ON events (webhook_id) WHERE payload IS NULL`.execute(db);
  // An attempt that was under way when its session was erased: its answer is not kept and it is not retried.
  await sql`ALTER TABLE deliveries ADD COLUMN session_erased boolean NOT NULL DEFAULT false`.execute(db);
}
