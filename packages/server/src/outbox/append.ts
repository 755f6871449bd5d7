import { randomUUID } from "node:crypto";
import { defaultEvents, type EventName, type PayloadFacts, payloadText } from "@sendoff/contract";
import { dueChannel } from "../database/listen.ts";
import { hintSql } from "./hint.ts";

/** An event whose bytes are made: they are stored, signed and sent just so, on every attempt. */
export interface FrozenEvent {
  readonly projectId: string;
  readonly sessionId: string;
  readonly event: EventName;
  /** The `webhook-id` header of every attempt and replay of this event. */
  readonly webhookId: string;
  readonly payload: string;
  readonly emittedAt: Date;
  /** Whether it waits for the session's earlier events and later ones wait for it (behaviour, section 4). */
  readonly inLane: boolean;
}

/** Makes the bytes of an event that a session's change emits. */
export function freezeEvent(event: EventName, facts: PayloadFacts, emittedAt: Date): FrozenEvent {
  return {
    projectId: facts.projectId,
    sessionId: facts.sessionId,
    event,
    webhookId: `msg_${randomUUID().replaceAll("-", "")}`,
    payload: payloadText(event, facts, emittedAt),
    emittedAt,
    inLane: event !== "recording.ready",
  };
}

/** The arrays of {@link appendSql}, in the order of its parameters. Events come in the order of emission. */
export function appendParameters(events: readonly FrozenEvent[]): unknown[] {
  return [
    events.map((event) => event.projectId),
    events.map((event) => event.sessionId),
    events.map((event) => event.event),
    events.map((event) => event.webhookId),
    events.map((event) => event.payload),
    events.map((event) => event.emittedAt),
    events.map((event) => event.inLane),
  ];
}

const subscribesByDefault = `'{${defaultEvents.join(",")}}'::text[]`;

/** A condition in SQL: an endpoint of a project subscribes to an event by name at this moment. */
export const wantedSql = (event: EventName, projectId: string): string => `
  EXISTS (SELECT FROM endpoints WHERE endpoints.project_id = ${projectId} AND endpoints.removed_at IS NULL
    AND '${event}' = ANY (endpoints.events))`;

/**
 * When a delivery that is not the first of its lane is looked at again, if nothing else brings it up: when the lease of
 * the one before it ends, or after this when that one waits itself. What brings it up is the settling of the one before
 * (settle.ts). This is for the report that was committed at the very moment at which the one before it settled.
 */
export const blockedAgain = "interval '10 seconds'";

/**
 * Common table expressions that store events and owe a delivery to each endpoint that subscribes at this moment.
 * They need one called `saved (session_key, project_id, session_id)` with the sessions whose change was stored: of the
 * others nothing is emitted. `born` has a row per delivery, `hinted` the hints to what is due (hint.ts), and `told` has
 * NOTIFYed them to whoever claims.
 *
 * Ids are given in the order of the rows, so that the order of delivery_id within a lane is the order of emission.
 *
 * @param first number of the first of seven parameters.
 */
export function appendSql(first: number): string {
  const parameter = (offset: number): string => `$${first + offset}`;
  return `
    emitted AS (
      SELECT saved.session_key, input.*
      FROM unnest(${parameter(0)}::uuid[], ${parameter(1)}::text[], ${parameter(2)}::text[], ${parameter(3)}::text[],
                  ${parameter(4)}::text[], ${parameter(5)}::timestamptz[], ${parameter(6)}::boolean[])
        WITH ORDINALITY AS input (project_id, session_id, event, webhook_id, payload, emitted_at, in_lane, position)
      JOIN saved USING (project_id, session_id)
    ), targets AS (
      SELECT emitted.webhook_id, endpoints.endpoint_id, emitted.in_lane AND row_number() OVER (
          PARTITION BY emitted.session_key, endpoints.endpoint_id, emitted.in_lane ORDER BY emitted.position
        ) > 1 AS follows
      FROM emitted
      JOIN endpoints ON endpoints.project_id = emitted.project_id AND endpoints.removed_at IS NULL
        AND emitted.event = ANY (coalesce(endpoints.events, ${subscribesByDefault}))
    ), stored AS (
      INSERT INTO events
        (session_key, project_id, event, webhook_id, payload, emitted_at, deliveries, owed_to, unsent_reason)
      SELECT session_key, project_id, event, webhook_id, payload, emitted_at, cardinality(counted.owed_to), counted.owed_to,
        CASE WHEN counted.owed_to <> '{}' THEN NULL
             WHEN EXISTS (SELECT FROM endpoints
                          WHERE endpoints.project_id = emitted.project_id AND endpoints.removed_at IS NULL)
               THEN 'not_subscribed'
             ELSE 'no_endpoint' END
      FROM emitted
      CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(targets.endpoint_id), '{}') AS owed_to FROM targets
        WHERE targets.webhook_id = emitted.webhook_id) AS counted
      ORDER BY position
      RETURNING event_id, webhook_id, session_key
    ), born AS (
      SELECT stored.event_id, stored.session_key, targets.endpoint_id, emitted.in_lane,
        earlier.deliveries > 0 AS lane_taken,
        CASE WHEN earlier.deliveries > 0 THEN coalesce(earlier.lease_until, now() + ${blockedAgain})
             WHEN targets.follows THEN now() + ${blockedAgain}
             ELSE clock_timestamp() END AS due_at
      FROM stored JOIN targets USING (webhook_id) JOIN emitted USING (webhook_id)
      CROSS JOIN LATERAL (
        SELECT count(*) AS deliveries, max(lease_until) AS lease_until FROM deliveries
        WHERE emitted.in_lane AND deliveries.in_lane AND deliveries.session_key = stored.session_key
          AND deliveries.endpoint_id = targets.endpoint_id) AS earlier
    ), owed AS (
      INSERT INTO deliveries (event_id, session_key, endpoint_id, in_lane, trigger, due_at)
      SELECT event_id, session_key, endpoint_id, in_lane, 'live', due_at FROM born ORDER BY event_id
      RETURNING 1
    ), hinted AS (
      SELECT ${hintSql("endpoint_id::text", "CASE WHEN lane_taken THEN session_key END")} AS hint FROM born GROUP BY 1
    ), told AS (
      -- A payload holds less than 8,000 bytes.
      SELECT pg_notify('${dueChannel}', string_agg(hint, ',')) FROM (
        SELECT hint, (row_number() OVER () - 1) / 100 AS part FROM hinted) AS numbered GROUP BY part
    )`;
}
