import { randomUUID } from "node:crypto";
import { type EventName, type PayloadFacts, payloadText } from "@sendoff/contract";
import { column } from "../database/columns.ts";
import { dueChannel } from "../database/listen.ts";
import { type Claim, leaseMarginMs } from "./claim.ts";
import type { Handover } from "./handover.ts";
import { hintSql } from "./hint.ts";
import { blockedAgain, lookAgainAt } from "./lane.ts";
import { type Subscriber, subscribes } from "./subscribers.ts";

/** An event whose bytes are made: they are stored, signed and sent just so, on every attempt. */
export interface FrozenEvent {
  readonly eventId: number;
  readonly projectId: string;
  readonly sessionId: string;
  readonly sessionKey: number;
  readonly event: EventName;
  /** The `webhook-id` header of every attempt and replay of this event. */
  readonly webhookId: string;
  readonly payload: string;
  readonly emittedAt: Date;
  /** Whether it waits for the session's earlier events and later ones wait for it (behaviour, section 4). */
  readonly inLane: boolean;
  /** Of a session that is made by the same commit: nothing of its lanes can be there yet. */
  readonly ofNewSession: boolean;
  readonly recordingObjectKey: string | null;
}

/** What the events of one commit need of their session. */
export interface Emitter extends PayloadFacts {
  readonly sessionKey: number;
  readonly isNew: boolean;
  readonly recordingObjectKey: string | null;
}

/** Most events that one commit emits of a session, and most deliveries: ids are drawn for so many (migration 0015). */
const eventsPerDraw = 8;
const deliveriesPerDraw = 256;

/**
 * Makes the bytes of an event that a session's change emits.
 *
 * @param drawn the number that was drawn for the change.
 * @param position of the event among those of the change.
 */
export function freezeEvent(
  event: EventName,
  emitter: Emitter,
  emittedAt: Date,
  drawn: number,
  position: number,
): FrozenEvent {
  return {
    eventId: drawn * eventsPerDraw + position,
    projectId: emitter.projectId,
    sessionId: emitter.sessionId,
    sessionKey: emitter.sessionKey,
    event,
    webhookId: `msg_${randomUUID().replaceAll("-", "")}`,
    payload: payloadText(event, emitter, emittedAt),
    emittedAt,
    inLane: event !== "recording.ready",
    ofNewSession: emitter.isNew,
    recordingObjectKey: event === "recording.ready" ? emitter.recordingObjectKey : null,
  };
}

/** A delivery that a commit owes. */
interface OwedDelivery {
  readonly deliveryId: number;
  readonly event: FrozenEvent;
  readonly subscriber: Subscriber;
  /** Another one of its lane is owed by the same commit, before it. */
  readonly follows: boolean;
  /** A place is reserved: the commit claims it, if nothing of its lane is before it and the endpoint has not changed. */
  readonly claim: boolean;
}

/** Events of one commit with what they owe to whom. */
export interface Owed {
  readonly events: ReadonlyArray<{ readonly event: FrozenEvent; readonly owedTo: readonly string[] }>;
  readonly unsentReasons: ReadonlyArray<"no_endpoint" | "not_subscribed" | null>;
  readonly deliveries: readonly OwedDelivery[];
}

/** Decides to whom events are owed. Places are reserved for those that may be claimed by the commit. */
export function owe(
  events: readonly FrozenEvent[],
  subscribersOf: ReadonlyMap<string, readonly Subscriber[]>,
  handover: Handover,
): Owed {
  const lanes = new Set<string>();
  const countOf = new Map<number, number>();
  const deliveries: OwedDelivery[] = [];
  const owed = events.map((event) => {
    const all = subscribersOf.get(event.projectId) ?? [];
    const wanting = all.filter((subscriber) => subscribes(subscriber, event.event));
    for (const subscriber of wanting) {
      const lane = `${event.sessionKey} ${subscriber.endpointId}`;
      const follows = event.inLane && lanes.has(lane);
      if (event.inLane) lanes.add(lane);
      const drawn = Math.floor(event.eventId / eventsPerDraw);
      const position = countOf.get(drawn) ?? 0;
      countOf.set(drawn, position + 1);
      if (position >= deliveriesPerDraw)
        throw new Error(`a session owes more than ${deliveriesPerDraw} deliveries`);
      deliveries.push({
        deliveryId: drawn * deliveriesPerDraw + position,
        event,
        subscriber,
        follows,
        claim: !follows && handover.reserve(subscriber),
      });
    }
    return { event, owedTo: wanting.map(({ endpointId }) => endpointId), endpoints: all.length };
  });
  return {
    events: owed,
    unsentReasons: owed.map(({ owedTo, endpoints }) =>
      owedTo.length > 0 ? null : endpoints > 0 ? "not_subscribed" : "no_endpoint",
    ),
    deliveries,
  };
}

/** The claim of a delivery that its commit has claimed. */
export function claimOf({ deliveryId, event, subscriber }: OwedDelivery): Claim {
  return {
    deliveryId,
    attempt: 1,
    attemptsBefore: 0,
    trigger: "live",
    event: event.event,
    webhookId: event.webhookId,
    payload: event.payload,
    triedForMs: 0,
    projectId: event.projectId,
    sessionId: event.sessionId,
    sessionKey: event.sessionKey,
    inLane: event.inLane,
    endpointId: subscriber.endpointId,
    url: subscriber.url,
    headersSealed: subscriber.headersSealed,
    secretSealed: subscriber.secretSealed,
    oldSecrets: subscriber.oldSecrets,
    timeoutMs: subscriber.timeoutMs,
    retries: subscriber.retries,
    endpointRemoved: false,
    recordingObjectKey: event.recordingObjectKey,
  };
}

/** The parameters of {@link appendSql}, in their order. Events come in the order of emission. */
export function appendParameters({ events, unsentReasons, deliveries }: Owed, workerId: string): unknown[] {
  const ofEvents = <Value>(pick: (event: FrozenEvent) => Value): Value[] =>
    events.map(({ event }) => pick(event));
  const ofDeliveries = <Value>(pick: (delivery: OwedDelivery) => Value): Value[] => deliveries.map(pick);
  const flags = (pick: (delivery: OwedDelivery) => boolean): Buffer => column("boolean", ofDeliveries(pick));
  return [
    column(
      "bigint",
      ofEvents(({ eventId }) => eventId),
    ),
    column(
      "bigint",
      ofEvents(({ sessionKey }) => sessionKey),
    ),
    column(
      "uuid",
      ofEvents(({ projectId }) => projectId),
    ),
    column(
      "text",
      ofEvents(({ event }) => event),
    ),
    column(
      "text",
      ofEvents(({ webhookId }) => webhookId),
    ),
    column(
      "text",
      ofEvents(({ payload }) => payload),
    ),
    column(
      "timestamptz",
      ofEvents(({ emittedAt }) => emittedAt),
    ),
    column(
      "text",
      events.map(({ owedTo }) => `{${owedTo.join(",")}}`),
    ),
    column(
      "int",
      events.map(({ owedTo }) => owedTo.length),
    ),
    column("text", unsentReasons),
    column(
      "bigint",
      ofDeliveries(({ deliveryId }) => deliveryId),
    ),
    column(
      "bigint",
      ofDeliveries(({ event }) => event.eventId),
    ),
    column(
      "bigint",
      ofDeliveries(({ event }) => event.sessionKey),
    ),
    column(
      "uuid",
      ofDeliveries(({ subscriber }) => subscriber.endpointId),
    ),
    flags(({ event }) => event.inLane),
    flags(({ follows }) => follows),
    flags(({ event }) => event.inLane && !event.ofNewSession),
    flags(({ claim }) => claim),
    column(
      "text",
      ofDeliveries(({ subscriber }) => subscriber.changedAt),
    ),
    workerId,
    leaseMarginMs,
  ];
}

/**
 * Common table expressions that store events and what they owe. They need one called `saved (session_key)` with the
 * sessions whose change was stored: of the others nothing is emitted. `born` has a row per delivery, of which `claimed`
 * are in flight; `hinted` has the hints to the others (hint.ts), and `told` has NOTIFYed them to the other processes that claim.
 *
 * @param first number of the first of twenty-one parameters.
 */
export function appendSql(first: number): string {
  const parameter = (offset: number): string => `$${first + offset}`;
  return `
    stored AS (
      INSERT INTO events
        (event_id, session_key, project_id, event, webhook_id, payload, emitted_at, owed_to, deliveries, unsent_reason)
      SELECT event_id, session_key, project_id, event, webhook_id, payload, emitted_at, owed_to::uuid[], owed_count,
        unsent_reason
      FROM unnest(${parameter(0)}::bigint[], ${parameter(1)}::bigint[], ${parameter(2)}::uuid[],
          ${parameter(3)}::text[], ${parameter(4)}::text[], ${parameter(5)}::text[], ${parameter(6)}::timestamptz[],
          ${parameter(7)}::text[], ${parameter(8)}::int[], ${parameter(9)}::text[])
        AS input (event_id, session_key, project_id, event, webhook_id, payload, emitted_at, owed_to, owed_count,
          unsent_reason)
      WHERE session_key IN (SELECT session_key FROM saved)
    ), born AS MATERIALIZED (
      SELECT input.delivery_id, input.event_id, input.session_key, input.endpoint_id, input.in_lane, endpoints.timeout_ms,
        input.follows, earlier.deliveries > 0 AS lane_taken,
        -- An endpoint that was changed since it was read gets an ordinary claim, which reads it anew.
        input.claim AND earlier.deliveries = 0 AND endpoints.removed_at IS NULL
          AND endpoints.updated_at = input.changed_at::timestamptz AS claimed,
        CASE WHEN earlier.deliveries > 0 THEN ${lookAgainAt("earlier")}
             WHEN input.follows THEN now() + ${blockedAgain}
             ELSE clock_timestamp() END AS due_at
      FROM unnest(${parameter(10)}::bigint[], ${parameter(11)}::bigint[], ${parameter(12)}::bigint[],
          ${parameter(13)}::uuid[], ${parameter(14)}::boolean[], ${parameter(15)}::boolean[],
          ${parameter(16)}::boolean[], ${parameter(17)}::boolean[], ${parameter(18)}::text[])
        AS input (delivery_id, event_id, session_key, endpoint_id, in_lane, follows, look, claim, changed_at)
      JOIN endpoints ON endpoints.endpoint_id = input.endpoint_id
      CROSS JOIN LATERAL (
        SELECT count(*) AS deliveries, max(lease_until) AS lease_until, max(due_at) AS due_at FROM deliveries
        WHERE input.look AND deliveries.in_lane AND deliveries.session_key = input.session_key
          AND deliveries.endpoint_id = input.endpoint_id) AS earlier
      WHERE input.session_key IN (SELECT session_key FROM saved)
    ), owed AS (
      INSERT INTO deliveries (delivery_id, event_id, session_key, endpoint_id, in_lane, trigger, due_at, state, attempts,
        worker_id, claimed_at, first_claimed_at, lease_until)
      SELECT delivery_id, event_id, session_key, endpoint_id, in_lane, 'live', due_at,
        CASE WHEN claimed THEN 'in_flight' ELSE 'pending' END, claimed::int,
        CASE WHEN claimed THEN ${parameter(19)}::uuid END, CASE WHEN claimed THEN due_at END,
        CASE WHEN claimed THEN due_at END,
        CASE WHEN claimed THEN due_at + (timeout_ms + ${parameter(20)}::int) * interval '1 millisecond' END
      FROM born
    ), hinted AS (
      SELECT ${hintSql("endpoint_id::text", "CASE WHEN lane_taken THEN session_key END")} AS hint
      -- What follows another one of this commit is told of by the settling of that one.
      FROM born WHERE NOT claimed AND NOT follows GROUP BY 1
    ), told AS (
      -- A payload holds less than 8,000 bytes.
      SELECT pg_notify('${dueChannel}', ${parameter(19)} || ':' || string_agg(hint, ',')) FROM (
        SELECT hint, (row_number() OVER () - 1) / 100 AS part FROM hinted) AS numbered GROUP BY part
    )`;
}
