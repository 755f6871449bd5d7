// When Sendoff stops waiting for a fact of a session (behaviour, section 3). A deadline is a column, not a timer: it
// survives whatever dies, and the compare-and-set of the session lets exactly one process act on it. The CHECK holds
// what matters: a session is finalized, or has a moment at which it will be.
import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    ALTER TABLE sessions
      ADD COLUMN deadline_at timestamptz,
      ADD COLUMN call_ended_by text CHECK (call_ended_by IN ('runtime', 'deadline')),
      -- The channel was never stated, and a deadline took it for text.
      ADD COLUMN channel_assumed boolean NOT NULL DEFAULT false,
      -- JSON text: facts that came after their deadline.
      ADD COLUMN late_conversation text,
      ADD COLUMN late_call text`.execute(db);
  await sql`
    UPDATE sessions SET
      call_ended_by = CASE WHEN call_reported_at IS NOT NULL THEN 'runtime' END,
      deadline_at = CASE WHEN finalized_at IS NULL THEN now() + interval '6 hours' END`.execute(db);
  await sql`
    ALTER TABLE sessions
      DROP CONSTRAINT recording_is_whole,
      ADD CONSTRAINT recording_is_whole CHECK (
        (recording_reported_at IS NULL) = (recording_success IS NULL)
        AND (recording_object_key IS NOT NULL) = (recording_success IS TRUE)
        AND (recording_error IS NULL OR recording_success IS FALSE)
        AND (recording_reported_at IS NULL OR channel = 'call' OR channel_assumed)),
      DROP CONSTRAINT sessions_conversation_ended_by_check,
      ADD CONSTRAINT sessions_conversation_ended_by_check
        CHECK (conversation_ended_by IN ('runtime', 'sendoff', 'deadline')),
      ADD CONSTRAINT call_has_reporter CHECK ((call_reported_at IS NULL) = (call_ended_by IS NULL)),
      ADD CONSTRAINT finalized_or_has_deadline CHECK ((finalized_at IS NULL) = (deadline_at IS NOT NULL)),
      ADD CONSTRAINT late_conversation_has_deadline
        CHECK (late_conversation IS NULL OR conversation_ended_by IS NOT DISTINCT FROM 'deadline'),
      ADD CONSTRAINT late_call_has_deadline
        CHECK (late_call IS NULL OR call_ended_by IS NOT DISTINCT FROM 'deadline' OR channel_assumed)`.execute(
    db,
  );
  await sql`CREATE INDEX sessions_deadline ON sessions (deadline_at) WHERE deadline_at IS NOT NULL`.execute(
    db,
  );
}
