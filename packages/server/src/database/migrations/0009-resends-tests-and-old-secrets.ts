// Resends and test events take the path of live ones: a row of `deliveries`, a claim, one POST, one row of the log. A
// resend goes on counting where the attempts of its event ended. A test has no session and must not be listed as one,
// so its content stands in a table of its own: its event_id is negative, its session_key too, and no row of `events`
// or `sessions` is ever met by them. And the signing secrets that were rotated out and still sign along.
import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  // How many attempts the event has had at this endpoint before this delivery: 0 but for resends.
  await sql`
    ALTER TABLE deliveries
      ADD COLUMN attempts_before smallint NOT NULL DEFAULT 0 CHECK (attempts_before >= 0)`.execute(db);
  // Whatever the trigger: an event is never attempted twice at a time at one endpoint (guarantees, I2).
  await sql`CREATE UNIQUE INDEX deliveries_once ON deliveries (event_id, endpoint_id)`.execute(db);
  await sql`DROP INDEX deliveries_live_once`.execute(db);
  await sql`
    CREATE TABLE test_events (
      event_id bigint GENERATED ALWAYS AS IDENTITY (START WITH -1 INCREMENT BY -1) PRIMARY KEY
        CHECK (event_id < 0),
      project_id uuid NOT NULL,
      -- Recognisable: it begins with sendoff-test-.
      session_id text NOT NULL,
      event text NOT NULL,
      webhook_id text NOT NULL,
      payload text NOT NULL,
      -- A link to this is minted, as for a real recording.
      recording_object_key text,
      emitted_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )`.execute(db);
  await sql`CREATE INDEX test_events_of_project ON test_events (project_id, emitted_at)`.execute(db);
  await sql`
    ALTER TABLE endpoints
      -- Sealed as secret_sealed is, newest first, and until when each signs along.
      ADD COLUMN old_secrets_sealed text[] NOT NULL DEFAULT '{}',
      ADD COLUMN old_secrets_until timestamptz[] NOT NULL DEFAULT '{}',
      ADD CONSTRAINT old_secrets_are_few CHECK (
        cardinality(old_secrets_sealed) = cardinality(old_secrets_until)
        AND cardinality(old_secrets_sealed) <= 2)`.execute(db);
}
