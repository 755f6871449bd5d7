// Projects and what belongs to them: keys, the agent, endpoints. Rows here are few and change seldom, so they carry
// every foreign key. Secrets are sealed before they come here (see secrets/), keys are stored as hashes alone.
import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    CREATE TABLE installation (
      -- One row, whatever happens.
      only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
      -- Which SENDOFF_SECRET_KEY the sealed values of this database need; not the key itself.
      secret_key_id text NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now()
    )`.execute(db);

  await sql`
    CREATE TABLE projects (
      project_id uuid PRIMARY KEY,
      name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
      created_at timestamptz NOT NULL DEFAULT now()
    )`.execute(db);

  await sql`
    CREATE TABLE api_keys (
      key_id uuid PRIMARY KEY,
      kind text NOT NULL CHECK (kind IN ('developer', 'project')),
      project_id uuid REFERENCES projects,
      key_hash bytea NOT NULL UNIQUE CHECK (octet_length(key_hash) = 32),
      created_at timestamptz NOT NULL DEFAULT now(),
      revoked_at timestamptz,
      CONSTRAINT project_key_has_project CHECK ((kind = 'project') = (project_id IS NOT NULL))
    )`.execute(db);

  await sql`
    CREATE TABLE agents (
      project_id uuid PRIMARY KEY REFERENCES projects,
      -- JSON text of an object: fields that mean nothing to Sendoff and are returned as given.
      kept_fields text NOT NULL DEFAULT '{}',
      updated_at timestamptz NOT NULL DEFAULT now()
    )`.execute(db);

  await sql`
    CREATE TABLE endpoints (
      endpoint_id uuid PRIMARY KEY,
      project_id uuid NOT NULL REFERENCES projects,
      kind text NOT NULL CHECK (kind IN ('agent', 'project')),
      url text NOT NULL CHECK (octet_length(url) BETWEEN 1 AND 2048),
      headers_sealed text,
      secret_sealed text NOT NULL,
      -- NULL: none was given, which means session.ended alone.
      events text[] CHECK (cardinality(events) > 0),
      -- NULL: none was given, which means the default.
      timeout_text text,
      timeout_ms integer NOT NULL CHECK (timeout_ms BETWEEN 100 AND 30000),
      created_at timestamptz NOT NULL DEFAULT now(),
      updated_at timestamptz NOT NULL DEFAULT now(),
      removed_at timestamptz
    )`.execute(db);
  await sql`
    CREATE UNIQUE INDEX endpoints_one_agent_webhook ON endpoints (project_id)
      WHERE kind = 'agent' AND removed_at IS NULL`.execute(db);
  await sql`CREATE INDEX endpoints_of_project ON endpoints (project_id) WHERE removed_at IS NULL`.execute(db);
}
