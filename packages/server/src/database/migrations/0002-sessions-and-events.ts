// Sessions with the facts that were reported of them, and the events that these facts made true. No foreign keys on
// these tables: each would take a row lock on its parent with every report, and rows are inserted by two statements
// only (lifecycle/apply.ts), both of which have the parent at hand.
import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    CREATE TABLE sessions (
      session_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      project_id uuid NOT NULL,
      session_id text NOT NULL CHECK (session_id ~ '^[A-Za-z0-9._:-]{1,128}$'),
      version integer NOT NULL CHECK (version > 0),
      channel text CHECK (channel IN ('call', 'text')),
      created_at timestamptz NOT NULL,
      opened_at timestamptz,
      variables text,
      start_node_id text,
      current_node_id text NOT NULL,
      messages_count bigint NOT NULL CHECK (messages_count >= 0),
      extracted_variables text NOT NULL,
      conversation_reported_at timestamptz,
      conversation_ended_at timestamptz,
      conversation_ended_by text CHECK (conversation_ended_by IN ('runtime', 'sendoff')),
      call_reported_at timestamptz,
      call_ended_at timestamptz,
      call_status text,
      call_duration double precision CHECK (call_duration >= 0),
      recording_reported_at timestamptz,
      recording_success boolean,
      recording_object_key text,
      recording_error text,
      finalized_at timestamptz,
      state text NOT NULL GENERATED ALWAYS AS (
        CASE WHEN finalized_at IS NOT NULL THEN 'finalized'
             WHEN conversation_reported_at IS NOT NULL OR call_reported_at IS NOT NULL THEN 'ending'
             ELSE 'open' END) STORED,
      CONSTRAINT one_session_per_id UNIQUE (project_id, session_id),
      CONSTRAINT created_has_channel CHECK (opened_at IS NULL OR channel IS NOT NULL),
      CONSTRAINT conversation_is_whole CHECK (
        (conversation_reported_at IS NULL) = (conversation_ended_by IS NULL)
        AND (conversation_ended_at IS NULL OR conversation_reported_at IS NOT NULL)),
      CONSTRAINT call_is_whole CHECK (
        (call_reported_at IS NULL) = (call_status IS NULL)
        AND (call_reported_at IS NULL) = (call_duration IS NULL)
        AND (call_ended_at IS NULL OR call_reported_at IS NOT NULL)
        AND (call_reported_at IS NULL OR channel = 'call')),
      CONSTRAINT recording_is_whole CHECK (
        (recording_reported_at IS NULL) = (recording_success IS NULL)
        AND (recording_object_key IS NOT NULL) = (recording_success IS TRUE)
        AND (recording_error IS NULL OR recording_success IS FALSE)
        AND (recording_reported_at IS NULL OR channel = 'call')),
      CONSTRAINT finalized_is_complete CHECK (
        finalized_at IS NULL
        OR (conversation_reported_at IS NOT NULL AND channel IS NOT NULL
            AND (channel = 'text' OR call_reported_at IS NOT NULL)))
    ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)`.execute(db);
  await sql`CREATE INDEX sessions_newest ON sessions (project_id, created_at DESC, session_key DESC)`.execute(
    db,
  );

  await sql`
    CREATE TABLE events (
      event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      session_key bigint NOT NULL,
      project_id uuid NOT NULL,
      event text NOT NULL CHECK (event IN
        ('session.started', 'session.ended', 'call.ended', 'session.finalized', 'recording.ready')),
      webhook_id text NOT NULL,
      -- The bytes that are signed and sent. Never jsonb: a database that parses them would change them.
      payload text NOT NULL,
      emitted_at timestamptz NOT NULL,
      deliveries integer NOT NULL CHECK (deliveries >= 0),
      unsent_reason text CHECK (unsent_reason IN ('no_endpoint', 'not_subscribed')),
      CONSTRAINT one_event_of_a_kind_per_session UNIQUE (session_key, event),
      CONSTRAINT unsent_has_reason CHECK ((deliveries = 0) = (unsent_reason IS NOT NULL))
    )`.execute(db);
}
