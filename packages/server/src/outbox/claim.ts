import type { EventName, Trigger } from "@sendoff/contract";
import type pg from "pg";
import { content, contentJoins } from "./content.ts";
import { lookAgainAt } from "./lane.ts";
import { lateCommits } from "./low-water.ts";

/** Retries that an endpoint has opted in to. */
export interface RetryTerms {
  /** Most attempts in all. */
  readonly attempts: number;
  /** How long after the first attempt another one may still begin, in milliseconds. */
  readonly windowMs: number;
}

/** A delivery that this worker may attempt now, with all that the attempt needs. */
export interface Claim {
  readonly deliveryId: number;
  /** Of this delivery: 1 for the first. */
  readonly attempt: number;
  /** How many attempts the event had at this endpoint before this delivery: 0 but for resends. */
  readonly attemptsBefore: number;
  readonly trigger: Trigger;
  readonly event: EventName;
  readonly webhookId: string;
  readonly payload: string;
  /** How long ago the first attempt was claimed, in milliseconds, by the database's clock. */
  readonly triedForMs: number;
  readonly projectId: string;
  readonly sessionId: string;
  readonly sessionKey: number;
  readonly inLane: boolean;
  readonly endpointId: string;
  readonly url: string;
  readonly headersSealed: string | null;
  readonly secretSealed: string;
  /** Secrets that were rotated out and still sign along, each until its end, newest first. */
  readonly oldSecrets: readonly SealedOldSecret[];
  /** The whole attempt's deadline. */
  readonly timeoutMs: number;
  /** null: one attempt and no more. */
  readonly retries: RetryTerms | null;
  /** The endpoint was removed: the delivery is to be cancelled, not attempted. */
  readonly endpointRemoved: boolean;
  /** Key of the audio of a successful recording.ready; a link to it is minted for this attempt. */
  readonly recordingObjectKey: string | null;
}

/** What a claim may take. */
export interface ClaimRoom {
  /** Most deliveries in all. */
  readonly limit: number;
  /** Most that may be in flight of one endpoint, over all processes. */
  readonly perEndpoint: number;
  /** The endpoints to take from: what hints name and {@link findDue} finds. */
  readonly endpoints: readonly string[];
  /** From where on deliveries wait there, where that is known (low-water.ts). */
  readonly since?: ReadonlyMap<string, string>;
  /** How many are in flight there, for who knows it; else the table is asked, which goes through all of the last seconds. */
  readonly inFlight?: InFlight | undefined;
}

/** How many deliveries of each kind are in flight to an endpoint. */
export type InFlight = (endpointId: string) => Readonly<Record<ClaimKind, number>>;

/** What a claim found. */
export interface Claimed {
  readonly claims: Claim[];
  /** Endpoints that have nothing more that is due. */
  readonly emptied: readonly string[];
  /** Endpoints that may have more and room for it: the limit came in between, or what was put off. */
  readonly unfinished: readonly string[];
  /** Endpoints that the limit left no deliveries for. */
  readonly untouched: readonly string[];
  /** From where on more may wait, by endpoint. */
  readonly marks: Readonly<Record<string, string>>;
}

/**
 * How much longer than the attempt's own deadline a claim lasts: time to begin it and to store the outcome. With the
 * default timeout of 10 s a dead worker's deliveries are taken over within the 15 s of behaviour, section 4: twice a second
 * somebody looks for them.
 */
export const leaseMarginMs = 4_500;

/**
 * So much of the lease must be left when an attempt ends by its own deadline, in milliseconds: a process that is stopped
 * in the midst of it is killed before its lease ends (supervisor-messages.ts), and its sockets with it.
 */
export const stallAllowanceMs = 3_500;

/** Deliveries that have not been attempted, and those that have; each kind has an index and room of its own. */
export type ClaimKind = "first" | "again";

/** SQL: whether a row of `deliveries` waits for an attempt of this kind. */
export const waits = (table: string, kind: ClaimKind): string =>
  `${table}.state = 'pending' AND ${table}.attempts ${kind === "first" ? "= 0" : "> 0"}`;

// Of an endpoint that has opted in to retries they may take a quarter of what may be in flight, and first attempts the
// rest: neither can keep the other out.
const freeForFirst = `CASE WHEN endpoints.retry_attempts IS NULL THEN $3::int - busy.all
      ELSE $3::int - $3::int / 4 - busy.first END`;
const freeForAgain = "least(greatest($3::int / 4, 1) - busy.again, $3::int - busy.all)";

/** A rotated secret that signs along until its end. */
export interface SealedOldSecret {
  readonly sealed: string;
  /** Milliseconds since 1970. */
  readonly untilMs: number;
}

/** SQL: the {@link SealedOldSecret}s of `endpoints`. The POST is signed later than they are read: who signs looks at the end again. */
export const signingAlong = `coalesce((
        SELECT jsonb_agg(jsonb_build_object('sealed', old.sealed, 'untilMs', extract(epoch FROM old.until) * 1000)
          ORDER BY old.position)
        FROM unnest(endpoints.old_secrets_sealed, endpoints.old_secrets_until)
          WITH ORDINALITY AS old (sealed, until, position)
        WHERE old.until > clock_timestamp()), '[]')`;

/**
 * SQL: when a claim of this moment ends.
 * @param timeout the endpoint's `timeout_ms`.
 * @param margin the parameter with {@link leaseMarginMs}.
 */
export const leaseFromNow = (timeout: string, margin: string): string =>
  `clock_timestamp() + (${timeout} + ${margin}::int) * interval '1 millisecond'`;

/** SQL: what a statement tells that has put `deliveries` in flight, with their `endpoints`, for {@link wholeClaims}. */
export const claimedColumns = `deliveries.delivery_id, deliveries.event_id, deliveries.session_key, deliveries.in_lane,
      deliveries.attempts, deliveries.trigger, deliveries.first_claimed_at, endpoints.endpoint_id, endpoints.url,
      endpoints.headers_sealed, endpoints.secret_sealed, endpoints.timeout_ms, endpoints.retry_attempts,
      endpoints.retry_window_ms, endpoints.removed_at, deliveries.attempts_before, ${signingAlong} AS old_secrets`;

/** SQL: the rows of {@link claimOf}. @param claimed the table expression with {@link claimedColumns}. */
export const wholeClaims = (claimed: string): string => `
    SELECT claimed.delivery_id AS "deliveryId", claimed.attempts AS attempt, claimed.attempts_before AS "attemptsBefore",
      CASE WHEN claimed.trigger = 'live' AND claimed.attempts > 1 THEN 'retry' ELSE claimed.trigger END AS trigger,
      ${content.event} AS event, ${content.webhookId} AS "webhookId", ${content.payload} AS payload,
      ${content.projectId} AS "projectId", ${content.sessionId} AS "sessionId",
      extract(epoch FROM clock_timestamp() - claimed.first_claimed_at)::float8 * 1000 AS "triedForMs",
      claimed.session_key AS "sessionKey", claimed.in_lane AS "inLane",
      claimed.endpoint_id AS "endpointId", claimed.url, claimed.headers_sealed AS "headersSealed",
      claimed.secret_sealed AS "secretSealed", claimed.old_secrets AS "oldSecrets", claimed.timeout_ms AS "timeoutMs",
      -- A test is one attempt, whatever the endpoint wishes.
      CASE WHEN claimed.trigger <> 'test' THEN claimed.retry_attempts END AS "retryAttempts",
      claimed.retry_window_ms AS "retryWindowMs",
      claimed.removed_at IS NOT NULL AS "endpointRemoved",
      ${content.recordingObjectKey} AS "recordingObjectKey"
    FROM ${claimed} AS claimed ${contentJoins("claimed")}`;

/**
 * A claim of first attempts or of retries.
 *
 * The claim is committed before the first byte leaves (guarantees, "The protocol", 2). URL, headers and secret are those
 * of this moment. It takes from the endpoints that it is given and from no other, and from where deliveries wait there, so that its
 * cost grows neither with anybody else's backlog nor with what has settled. A lease in the past belongs to a worker that is
 * dead, and holds no place. In a lane only the earliest unsettled delivery can be claimed: settled ones are gone from the
 * table, so an earlier row is an unsettled one. One that is not the earliest is put off, so that no claim stumbles over it
 * again and again; the settling of the one before it makes it due.
 */
const claimSql = (kind: ClaimKind): string => `
  WITH room AS MATERIALIZED (
    SELECT endpoints.endpoint_id, named.since, ${kind === "first" ? freeForFirst : freeForAgain} AS free
    FROM unnest($4::uuid[], $6::timestamptz[], $7::int[], $8::int[])
      WITH ORDINALITY AS named (endpoint_id, since, first, again, position)
    JOIN endpoints ON endpoints.endpoint_id = named.endpoint_id
    CROSS JOIN LATERAL (
      SELECT coalesce(named.first + named.again, count(*)) AS all,
        coalesce(named.first, count(*) FILTER (WHERE attempts = 1)) AS first,
        coalesce(named.again, count(*) FILTER (WHERE attempts > 1)) AS again
      FROM deliveries
      WHERE named.first IS NULL AND deliveries.endpoint_id = named.endpoint_id AND deliveries.state = 'in_flight'
        AND deliveries.lease_until > now()) AS busy
    ORDER BY named.position
  ), due AS (
    SELECT taken.* FROM room CROSS JOIN LATERAL (
      SELECT pending.delivery_id, pending.session_key, pending.endpoint_id, pending.in_lane, pending.due_at
      FROM deliveries AS pending
      WHERE pending.endpoint_id = room.endpoint_id AND ${waits("pending", kind)}
        AND pending.due_at >= room.since AND pending.due_at <= now()
      ORDER BY pending.due_at, pending.delivery_id LIMIT greatest(room.free, 0)
      FOR UPDATE SKIP LOCKED) AS taken
    LIMIT $2
  ), examined AS (
    SELECT candidate.delivery_id, earlier.deliveries AS blockers, earlier.lease_until, earlier.due_at
    FROM due AS candidate
    CROSS JOIN LATERAL (
      SELECT count(*) AS deliveries, max(before.lease_until) AS lease_until, max(before.due_at) AS due_at
      FROM deliveries AS before
      WHERE candidate.in_lane AND before.in_lane AND before.session_key = candidate.session_key
        -- "+ 0": no plan shall take the primary key for this, whatever it was made for.
        AND before.endpoint_id = candidate.endpoint_id AND before.delivery_id + 0 < candidate.delivery_id) AS earlier
  ), put_off AS (
    UPDATE deliveries SET due_at = ${lookAgainAt("examined")}
    FROM examined WHERE deliveries.delivery_id = examined.delivery_id AND examined.blockers > 0
    RETURNING deliveries.endpoint_id
  ), claimed AS (
    UPDATE deliveries
    SET state = 'in_flight', attempts = attempts + 1, worker_id = $1, claimed_at = clock_timestamp(),
      first_claimed_at = coalesce(first_claimed_at, clock_timestamp()),
      lease_until = ${leaseFromNow("endpoints.timeout_ms", "$5")}
    FROM examined, endpoints
    WHERE deliveries.delivery_id = examined.delivery_id AND examined.blockers = 0
      AND endpoints.endpoint_id = deliveries.endpoint_id
    RETURNING ${claimedColumns}
  ), whole AS (${wholeClaims("claimed")}
  )
  -- What is told of the endpoints is in the first row alone, and makes one where nothing was claimed.
  SELECT whole.*, told.emptied, told.unfinished, told.untouched, told.marks
  FROM (
    SELECT (SELECT min("deliveryId") FROM whole) AS first,
      array_agg(endpoint_id) FILTER (WHERE NOT limited AND taken < free) AS emptied,
      array_agg(endpoint_id) FILTER (WHERE taken > 0 AND (limited OR put_off > 0 AND taken >= free)) AS unfinished,
      array_agg(endpoint_id) FILTER (WHERE limited AND taken = 0) AS untouched,
      json_object_agg(endpoint_id, CASE WHEN NOT limited AND taken < free THEN now() ELSE last END - ${lateCommits})
        FILTER (WHERE taken > 0 OR NOT limited AND free > 0) AS marks
    FROM (
      SELECT room.endpoint_id, room.free, (SELECT count(*) FROM due) >= $2 AS limited,
        (SELECT count(*) FROM due WHERE due.endpoint_id = room.endpoint_id) AS taken,
        (SELECT max(due_at) FROM due WHERE due.endpoint_id = room.endpoint_id) AS last,
        (SELECT count(*) FROM put_off WHERE put_off.endpoint_id = room.endpoint_id) AS put_off
      FROM room) AS counted) AS told
  FULL JOIN whole ON whole."deliveryId" = told.first
  ORDER BY whole."deliveryId"`;

const firstSql = claimSql("first");
const againSql = claimSql("again");

/** A row of {@link wholeClaims}; of an answer that tells of more, one without a claim has nulls. */
export type ClaimRow = Omit<Claim, "retries" | "deliveryId"> & {
  readonly deliveryId: number | null;
  readonly retryAttempts: number | null;
  readonly retryWindowMs: number | null;
};

type Row = ClaimRow & {
  readonly emptied: string[] | null;
  readonly unfinished: string[] | null;
  readonly untouched: string[] | null;
  readonly marks: Record<string, string> | null;
};

/** Claims deliveries that are due, within the room, from one endpoint after the other. */
export async function claimDue(
  pool: pg.Pool,
  workerId: string,
  kind: ClaimKind,
  room: ClaimRoom,
): Promise<Claimed> {
  const { rows } = await pool.query<Row>({
    name: `delivery-claim-${kind}`,
    text: kind === "first" ? firstSql : againSql,
    values: [
      workerId,
      room.limit,
      room.perEndpoint,
      room.endpoints,
      leaseMarginMs,
      room.endpoints.map((endpoint) => room.since?.get(endpoint) ?? "-infinity"),
      room.endpoints.map((endpoint) => room.inFlight?.(endpoint).first ?? null),
      room.endpoints.map((endpoint) => room.inFlight?.(endpoint).again ?? null),
    ],
  });
  return {
    claims: claimsOf(rows),
    emptied: rows[0]?.emptied ?? [],
    unfinished: rows[0]?.unfinished ?? [],
    untouched: rows[0]?.untouched ?? [],
    marks: rows[0]?.marks ?? {},
  };
}

/** The claims in an answer. */
export function claimsOf(rows: readonly ClaimRow[]): Claim[] {
  return rows.flatMap((row) => {
    const { deliveryId, retryAttempts, retryWindowMs, ...claim } = row;
    if (deliveryId === null) return [];
    const retries =
      retryAttempts === null || retryWindowMs === null
        ? null
        : { attempts: retryAttempts, windowMs: retryWindowMs };
    return [
      {
        deliveryId,
        attempt: claim.attempt,
        attemptsBefore: claim.attemptsBefore,
        trigger: claim.trigger,
        event: claim.event,
        webhookId: claim.webhookId,
        payload: claim.payload,
        triedForMs: claim.triedForMs,
        projectId: claim.projectId,
        sessionId: claim.sessionId,
        sessionKey: claim.sessionKey,
        inLane: claim.inLane,
        endpointId: claim.endpointId,
        url: claim.url,
        headersSealed: claim.headersSealed,
        secretSealed: claim.secretSealed,
        oldSecrets: claim.oldSecrets,
        timeoutMs: claim.timeoutMs,
        retries,
        endpointRemoved: claim.endpointRemoved,
        recordingObjectKey: claim.recordingObjectKey,
      },
    ];
  });
}
