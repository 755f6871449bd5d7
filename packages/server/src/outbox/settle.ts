import type pg from "pg";
import { column } from "../database/columns.ts";
import { logColumns } from "../logbook/columns.ts";
import {
  type Claim,
  type ClaimRow,
  claimedColumns,
  claimsOf,
  leaseFromNow,
  leaseMarginMs,
  wholeClaims,
} from "./claim.ts";
import type { AttemptResult } from "./result.ts";
import type { AfterAttempt } from "./retry.ts";

/** An attempt that is over, and how. */
export interface Settlement {
  readonly claim: Claim;
  readonly result: AttemptResult;
  /** What becomes of the delivery now. */
  readonly next: AfterAttempt;
  /** The link that was sent, without its signature; null but for recording.ready. */
  readonly recordingUrl: string | null;
}

/** A settlement on its way into the tables. */
export interface Settling extends Settlement {
  /** A place is reserved: the next delivery of the lane is claimed by the same commit, instead of being made due. */
  readonly claimsNext: boolean;
}

/** SQL: whether the next one of the lane goes with this commit. */
const goes = "mine.claims_next AND deliveries.attempts = 0";

// Outcome and log row are one commit. Worker and attempt guard it: what was taken over meanwhile finds no row here, and
// its log row was written by the takeover. The next delivery of a lane is due with the same commit, so that it goes out
// also when this worker dies right after; or it is in flight with the same commit, which spares the one that claims it
// (ADR 0044): nothing is before it, for its lane's earlier ones are gone and this one was the earliest. Of a session that
// was erased meanwhile the answer is not kept and nothing is tried again; the mark is on the delivery, for its row is the
// one that the erasing and this statement both lock.
const settleSql = `
  WITH input AS (
    SELECT * FROM unnest($2::bigint[], $3::smallint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
      $9::text[], $10::smallint[], $11::bytea[], $12::real[], $13::text[], $14::text[], $15::int[], $16::uuid[], $17::text[],
      $18::text[], $19::boolean[])
    AS input (delivery_id, attempt, session_id, url, trigger, outcome, error_code, failed_step, response_status,
      response_body, duration_ms, recording_url, settled_as, again_after_ms, project_id, event, webhook_id, claims_next)
  ), mine AS (
    SELECT deliveries.*, input.claims_next,
      (SELECT timeout_ms FROM endpoints WHERE endpoints.endpoint_id = deliveries.endpoint_id) AS timeout_ms,
      CASE WHEN NOT deliveries.session_erased THEN input.again_after_ms END AS again_after_ms
    FROM deliveries JOIN input USING (delivery_id)
    WHERE deliveries.attempts = input.attempt AND deliveries.worker_id = $1
    ORDER BY deliveries.delivery_id
    FOR UPDATE OF deliveries
  ), ended AS (
    DELETE FROM deliveries USING mine
    WHERE deliveries.delivery_id = mine.delivery_id AND mine.again_after_ms IS NULL
  ), again AS (
    UPDATE deliveries
    SET state = 'pending', due_at = now() + mine.again_after_ms * interval '1 millisecond', worker_id = NULL,
      claimed_at = NULL, lease_until = NULL
    FROM mine WHERE deliveries.delivery_id = mine.delivery_id AND mine.again_after_ms IS NOT NULL
  ), freed AS (
    UPDATE deliveries SET due_at = now(), state = CASE WHEN ${goes} THEN 'in_flight' ELSE 'pending' END,
      attempts = deliveries.attempts + (${goes})::int, worker_id = CASE WHEN ${goes} THEN $1::uuid END,
      claimed_at = CASE WHEN ${goes} THEN clock_timestamp() END,
      first_claimed_at = CASE WHEN ${goes} THEN clock_timestamp() ELSE deliveries.first_claimed_at END,
      lease_until = CASE WHEN ${goes} THEN ${leaseFromNow("mine.timeout_ms", "$20")} END
    -- No other table here: on empty tables the planner would go from endpoints to all that waits there.
    FROM mine
    WHERE mine.again_after_ms IS NULL AND mine.in_lane AND deliveries.in_lane
      AND deliveries.session_key = mine.session_key AND deliveries.endpoint_id = mine.endpoint_id
      AND deliveries.delivery_id + 0 > mine.delivery_id AND deliveries.state = 'pending'
      AND NOT EXISTS (
        SELECT FROM deliveries AS between_them
        WHERE between_them.in_lane AND between_them.session_key = mine.session_key
          AND between_them.endpoint_id = mine.endpoint_id AND between_them.delivery_id + 0 > mine.delivery_id
          AND between_them.delivery_id + 0 < deliveries.delivery_id)
    RETURNING deliveries.*
  ), claimed AS (
    SELECT ${claimedColumns}
    FROM freed AS deliveries JOIN endpoints ON endpoints.endpoint_id = deliveries.endpoint_id
    WHERE deliveries.state = 'in_flight'
  ), whole AS (${wholeClaims("claimed")}
  ), logged AS (
    INSERT INTO webhook_logs (${logColumns.join(", ")})
    SELECT input.project_id, mine.session_key, input.session_id, mine.event_id, input.event,
      input.webhook_id, mine.delivery_id, mine.endpoint_id, input.url, mine.attempts_before + input.attempt, input.trigger,
      input.outcome, input.error_code, input.failed_step, input.response_status,
      CASE WHEN NOT mine.session_erased THEN input.response_body END, input.duration_ms,
      CASE WHEN NOT mine.session_erased THEN input.recording_url END, mine.claimed_at,
      CASE WHEN mine.session_erased THEN coalesce(input.settled_as, 'cancelled') ELSE input.settled_as END
    FROM mine JOIN input USING (delivery_id)
    RETURNING delivery_id
  )
  -- What is told of the settled ones is in the first row alone, and makes one where nothing was claimed.
  SELECT whole.*, told.stored, told.freed
  FROM (SELECT (SELECT min("deliveryId") FROM whole) AS first, array(SELECT delivery_id FROM logged) AS stored,
    array(SELECT endpoint_id::text FROM freed WHERE state = 'pending') AS freed) AS told
  FULL JOIN whole ON whole."deliveryId" = told.first
  ORDER BY whole."deliveryId"`;

/** What became of a batch of settlements. */
export interface Settled {
  /** The deliveries that were stored; what is missing had been taken over by another worker. */
  readonly stored: ReadonlySet<number>;
  /** Endpoints at which the next delivery of a lane is due now. */
  readonly freed: readonly string[];
  /** The next deliveries of lanes that this commit has claimed. */
  readonly claims: readonly Claim[];
}

/** Settles deliveries or makes them due again, and writes their log rows. */
export async function settle(pool: pg.Pool, workerId: string, batch: readonly Settling[]): Promise<Settled> {
  const of = <Value>(pick: (settlement: Settling) => Value): Value[] => batch.map(pick);
  const { rows } = await pool.query<ClaimRow & { stored: readonly string[]; freed: readonly string[] }>({
    name: "delivery-settle",
    text: settleSql,
    values: [
      workerId,
      column(
        "bigint",
        of(({ claim }) => claim.deliveryId),
      ),
      column(
        "smallint",
        of(({ claim }) => claim.attempt),
      ),
      column(
        "text",
        of(({ claim }) => claim.sessionId),
      ),
      column(
        "text",
        of(({ claim }) => claim.url),
      ),
      column(
        "text",
        of(({ claim }) => claim.trigger),
      ),
      column(
        "text",
        of(({ result }) => result.outcome),
      ),
      column(
        "text",
        of(({ result }) => result.errorCode),
      ),
      column(
        "text",
        of(({ result }) => result.failedStep),
      ),
      column(
        "smallint",
        of(({ result }) => result.responseStatus),
      ),
      column(
        "bytea",
        of(({ result }) => result.responseBody),
      ),
      column(
        "real",
        of(({ result }) => result.durationMs),
      ),
      column(
        "text",
        of(({ recordingUrl }) => recordingUrl),
      ),
      column(
        "text",
        of(({ next }) => (next.kind === "settled" ? next.as : null)),
      ),
      column(
        "int",
        of(({ next }) => (next.kind === "again" ? Math.round(next.afterMs) : null)),
      ),
      column(
        "uuid",
        of(({ claim }) => claim.projectId),
      ),
      column(
        "text",
        of(({ claim }) => claim.event),
      ),
      column(
        "text",
        of(({ claim }) => claim.webhookId),
      ),
      column(
        "boolean",
        of(({ claimsNext }) => claimsNext),
      ),
      leaseMarginMs,
    ],
  });
  // bigint arrays come as text.
  return {
    stored: new Set(rows[0]?.stored.map(Number)),
    freed: [...new Set(rows[0]?.freed)],
    claims: claimsOf(rows),
  };
}
