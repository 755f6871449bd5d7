import type pg from "pg";

/** A delivery that the table says a process has in flight, and the number of its attempt. */
export interface InFlightRow {
  readonly deliveryId: number;
  readonly attempt: number;
}

// Of an erased session it is left to the takeover, as in release.ts.
const inFlightSql = `
  SELECT delivery_id AS "deliveryId", attempts AS attempt FROM deliveries
  WHERE state = 'in_flight' AND worker_id = $1 AND NOT session_erased`;

/** Everything that the table says this worker has in flight. */
export async function readInFlight(pool: pg.Pool, workerId: string): Promise<InFlightRow[]> {
  const { rows } = await pool.query<InFlightRow>({
    name: "delivery-in-flight",
    text: inFlightSql,
    values: [workerId],
  });
  return rows;
}
