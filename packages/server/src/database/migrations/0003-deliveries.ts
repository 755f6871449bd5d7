// What is owed and not settled yet. A delivery that settles leaves this table in the statement that writes its last row
// of webhook_logs: so the table stays as small as the backlog, however many deliveries were made, and "exactly one
// settling row" is the DELETE that found its delivery. The payload stays in events, so rows are thin.
import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    CREATE TABLE deliveries (
      delivery_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      event_id bigint NOT NULL,
      session_key bigint NOT NULL,
      endpoint_id uuid NOT NULL,
      -- recording.ready, resends and tests are outside the lane: they wait for nothing and nothing waits for them.
      in_lane boolean NOT NULL,
      trigger text NOT NULL CHECK (trigger IN ('live', 'resend', 'test')),
      state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'in_flight')),
      -- Attempts begun so far, the current one included.
      attempts smallint NOT NULL DEFAULT 0 CHECK (attempts >= 0),
      due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      claimed_at timestamptz,
      lease_until timestamptz,
      worker_id uuid,
      CONSTRAINT in_flight_is_claimed CHECK (
        (state = 'in_flight') = (worker_id IS NOT NULL)
        AND (state = 'in_flight') = (claimed_at IS NOT NULL)
        AND (state = 'in_flight') = (lease_until IS NOT NULL)
        AND (state = 'pending' OR attempts > 0))
    ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
            autovacuum_vacuum_cost_delay = 0)`.execute(db);
  await sql`CREATE INDEX deliveries_due ON deliveries (due_at, delivery_id) WHERE state = 'pending'`.execute(
    db,
  );
  await sql`
    CREATE INDEX deliveries_lane ON deliveries (session_key, endpoint_id, delivery_id) WHERE in_lane`.execute(
    db,
  );
  await sql`CREATE INDEX deliveries_lease ON deliveries (lease_until) WHERE state = 'in_flight'`.execute(db);
  await sql`
    CREATE UNIQUE INDEX deliveries_live_once ON deliveries (event_id, endpoint_id)
      WHERE trigger = 'live'`.execute(db);
}
