import type pg from "pg";
import { logColumns } from "../logbook/columns.ts";
import type { Claim } from "./claim.ts";
import { type AttemptResult, settledBy } from "./result.ts";

/** An attempt that is over, and how. */
export interface Settlement {
  readonly claim: Claim;
  readonly result: AttemptResult;
  /** The link that was sent, without its signature; null but for recording.ready. */
  readonly recordingUrl: string | null;
}

// Outcome and log row are one commit. Worker and attempt guard it: what was taken over meanwhile finds no row here, and
// its log row was written by the takeover.
const settleSql = `
  WITH input AS (
    SELECT * FROM unnest($2::bigint[], $3::smallint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
      $9::text[], $10::smallint[], $11::bytea[], $12::real[], $13::text[], $14::text[])
    AS input (delivery_id, attempt, session_id, url, trigger, outcome, error_code, failed_step, response_status,
      response_body, duration_ms, recording_url, settled_as)
  ), settled AS (
    DELETE FROM deliveries USING input
    WHERE deliveries.delivery_id = input.delivery_id AND deliveries.attempts = input.attempt
      AND deliveries.worker_id = $1
    RETURNING deliveries.delivery_id, deliveries.event_id, deliveries.session_key, deliveries.endpoint_id,
      deliveries.claimed_at
  )
  INSERT INTO webhook_logs (${logColumns.join(", ")})
  SELECT events.project_id, settled.session_key, input.session_id, settled.event_id, events.event,
    events.webhook_id, settled.delivery_id, settled.endpoint_id, input.url, input.attempt, input.trigger,
    input.outcome, input.error_code, input.failed_step, input.response_status, input.response_body,
    input.duration_ms, input.recording_url, settled.claimed_at, input.settled_as
  FROM settled JOIN input USING (delivery_id) JOIN events ON events.event_id = settled.event_id
  RETURNING delivery_id`;

/**
 * Settles deliveries and writes their log rows.
 *
 * @returns the ids that were settled; what is missing had been taken over by another worker.
 */
export async function settle(
  pool: pg.Pool,
  workerId: string,
  batch: readonly Settlement[],
): Promise<Set<number>> {
  const column = <Value>(pick: (settlement: Settlement) => Value): Value[] => batch.map(pick);
  const { rows } = await pool.query<{ delivery_id: number }>({
    name: "delivery-settle",
    text: settleSql,
    values: [
      workerId,
      column(({ claim }) => claim.deliveryId),
      column(({ claim }) => claim.attempt),
      column(({ claim }) => claim.sessionId),
      column(({ claim }) => claim.url),
      column(({ claim }) => claim.trigger),
      column(({ result }) => result.outcome),
      column(({ result }) => result.errorCode),
      column(({ result }) => result.failedStep),
      column(({ result }) => result.responseStatus),
      column(({ result }) => result.responseBody),
      column(({ result }) => result.durationMs),
      column(({ recordingUrl }) => recordingUrl),
      column(({ result }) => settledBy[result.outcome]),
    ],
  });
  return new Set(rows.map((row) => row.delivery_id));
}
