import { z } from "zod";
import { eventNames } from "./events.ts";
import { SessionId, Timestamp } from "./ids.ts";
import { pageQuery } from "./webhook-logs.ts";

/** One endpoint of a project, also one that was removed: what a log row's `endpointId` names. */
export const Endpoint = z
  .object({
    endpointId: z.uuid(),
    kind: z.enum(["agent", "project"]).meta({
      description: "The agent's webhook, or a project webhook.",
    }),
    url: z.string(),
    events: z.array(z.enum(eventNames)).meta({ description: "What it subscribes to." }),
    createdAt: Timestamp,
    removedAt: Timestamp.nullable(),
  })
  .meta({ id: "Endpoint" });
export type Endpoint = z.infer<typeof Endpoint>;

/** Why an event went to no endpoint. Behaviour, section 5. */
export const UnsentReason = z.enum(["no_endpoint", "not_subscribed"]).meta({ id: "UnsentReason" });
export type UnsentReason = z.infer<typeof UnsentReason>;

/** An event that went to no endpoint. */
export const UnsentEvent = z
  .object({
    event: z.enum(eventNames),
    sessionId: SessionId,
    webhookId: z.string(),
    emittedAt: Timestamp,
    reason: UnsentReason.meta({
      description:
        "no_endpoint: the project had no webhook at all; not_subscribed: none of its webhooks subscribed to the event.",
    }),
  })
  .meta({ id: "UnsentEvent" });
export type UnsentEvent = z.infer<typeof UnsentEvent>;

/** Query of GET `.../unsent-events`. */
export const UnsentEventsQuery = z.strictObject({ ...pageQuery }).meta({ id: "UnsentEventsQuery" });
export type UnsentEventsQuery = z.infer<typeof UnsentEventsQuery>;
