import { type Kysely, sql } from "kysely";

// A process is ready when it can write. What it writes to find out stands here, for a minute at most.

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    CREATE TABLE write_probes (
      probed_at timestamptz NOT NULL DEFAULT clock_timestamp()
    ) WITH (autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0)`.execute(db);
}
