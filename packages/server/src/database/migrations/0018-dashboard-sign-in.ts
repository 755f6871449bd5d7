// Who is signed in to the dashboard, and the links by which the first one signs in. Tokens are 256 random bits and stored
// as hashes alone, as keys are: who reads this table can sign in as nobody. A session lives no longer than its key.
import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    CREATE TABLE sign_in_links (
      token_hash bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
      expires_at timestamptz NOT NULL
    )`.execute(db);
  await sql`
    CREATE TABLE dashboard_sessions (
      dashboard_session_id uuid PRIMARY KEY,
      token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
      -- The key that was signed in with; NULL: a sign-in link.
      key_id uuid REFERENCES api_keys ON DELETE CASCADE,
      -- NULL: sees every project, as a developer key does.
      only_project_id uuid REFERENCES projects,
      created_at timestamptz NOT NULL DEFAULT now(),
      expires_at timestamptz NOT NULL,
      CONSTRAINT one_project_by_its_key CHECK (only_project_id IS NULL OR key_id IS NOT NULL)
    )`.execute(db);
}
