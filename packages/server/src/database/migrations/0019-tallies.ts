// The numbers of the overview, counted beside the work: who reports and who delivers writes nothing here. Every few seconds
// one process reads the log rows and events that were written since, and adds them up (overview/count.ts; ADR 0033). A
// tally is a count of one kind in one span of time; three lengths of spans, so that a month is read as fast as an hour.
import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    CREATE TABLE tallies (
      project_id uuid NOT NULL,
      span_seconds integer NOT NULL CHECK (span_seconds IN (60, 600, 3600)),
      began_at timestamptz NOT NULL,
      kind text NOT NULL,
      -- What of the kind: an event, a settled state, an endpoint, a class of durations. Empty: nothing more to say.
      subject text NOT NULL DEFAULT '',
      count bigint NOT NULL,
      PRIMARY KEY (project_id, span_seconds, kind, began_at, subject)
    ) WITH (fillfactor = 80)`.execute(db);
  await sql`
    CREATE TABLE tally_progress (
      -- One row, whatever happens.
      only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
      -- All rows up to these are counted.
      log_id bigint NOT NULL DEFAULT 0,
      event_id bigint NOT NULL DEFAULT 0,
      -- When the last counted attempt was stored, and the last counted event emitted; NULL: none has been counted.
      logged_to timestamptz,
      emitted_to timestamptz
    )`.execute(db);
  await sql`INSERT INTO tally_progress DEFAULT VALUES`.execute(db);
}
