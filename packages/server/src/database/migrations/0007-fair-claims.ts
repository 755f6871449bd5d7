// Retries per endpoint, and what is due by endpoint: a claim visits the endpoints that have something due in turn and
// takes from each what its cap leaves, so that nobody's backlog stands before another's fresh deliveries. First
// attempts and retries have an index each, because each has room of its own.
import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    ALTER TABLE endpoints
      -- NULL in both: no retries, one attempt.
      ADD COLUMN retry_attempts smallint CHECK (retry_attempts BETWEEN 2 AND 20),
      ADD COLUMN retry_window_text text,
      ADD COLUMN retry_window_ms bigint CHECK (retry_window_ms BETWEEN 1000 AND 604800000),
      ADD CONSTRAINT retries_are_whole CHECK (
        (retry_attempts IS NULL) = (retry_window_ms IS NULL)
        AND (retry_attempts IS NULL) = (retry_window_text IS NULL))`.execute(db);
  // The window of the retries begins with the first attempt: before it the delivery may have waited for its lane.
  await sql`ALTER TABLE deliveries ADD COLUMN first_claimed_at timestamptz`.execute(db);
  await sql`DROP INDEX deliveries_due`.execute(db);
  await sql`
    CREATE INDEX deliveries_due_first ON deliveries (endpoint_id, due_at, delivery_id)
      WHERE state = 'pending' AND attempts = 0`.execute(db);
  await sql`
    CREATE INDEX deliveries_due_again ON deliveries (endpoint_id, due_at, delivery_id)
      WHERE state = 'pending' AND attempts > 0`.execute(db);
  await sql`DROP INDEX deliveries_lease`.execute(db);
  await sql`
    CREATE INDEX deliveries_in_flight ON deliveries (endpoint_id, lease_until)
      WHERE state = 'in_flight'`.execute(db);
}
