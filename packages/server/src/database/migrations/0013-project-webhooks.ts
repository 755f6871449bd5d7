// A project has several endpoints now, and no two of one URL: one event would be two POSTs to one server. The rule is
// checked before (tenancy/endpoint-quota.ts, which can say whose URL it is); this holds it whoever writes. Until now a
// project had one endpoint at most, so no stored row can break it.
import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    CREATE UNIQUE INDEX endpoints_one_per_url ON endpoints (project_id, url)
      WHERE removed_at IS NULL`.execute(db);
}
