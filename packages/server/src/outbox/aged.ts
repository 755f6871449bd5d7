import type pg from "pg";

/**
 * Removes deliveries whose event is gone. Retention removes no event of which something is owed; but a resend that is
 * asked for at that very moment may not have been seen. Its delivery could never be attempted, and would take one of
 * its endpoint's places for good.
 */
export async function removeOrphans(pool: pg.Pool): Promise<number> {
  const { rowCount } = await pool.query(
    `DELETE FROM deliveries WHERE state = 'in_flight' AND lease_until < now() - interval '1 minute'
       AND NOT EXISTS (SELECT FROM events WHERE events.event_id = deliveries.event_id)`,
  );
  return rowCount ?? 0;
}
