// What arrived at the built-in inspector endpoint, so that a newcomer sees deliveries without writing a receiver.
import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    CREATE TABLE inspectors (
      inspector_id uuid PRIMARY KEY,
      project_id uuid NOT NULL REFERENCES projects,
      token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
      created_at timestamptz NOT NULL DEFAULT now()
    )`.execute(db);
  await sql`
    CREATE TABLE inspector_requests (
      request_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      inspector_id uuid NOT NULL REFERENCES inspectors ON DELETE CASCADE,
      received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      -- JSON text of an object; a stranger wrote it.
      headers text NOT NULL,
      body bytea NOT NULL
    )`.execute(db);
  await sql`CREATE INDEX inspector_requests_of ON inspector_requests (inspector_id, request_id)`.execute(db);
}
