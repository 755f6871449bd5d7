import { z } from "zod";
import { eventNames } from "./events.ts";
import { ProjectId, SessionId, Timestamp } from "./ids.ts";

/** How one attempt ended. Behaviour, section 5. */
export const outcomes = [
  "delivered",
  "rejected",
  "timed_out",
  "unreachable",
  "blocked",
  "unknown",
  "cancelled",
] as const;
export const Outcome = z.enum(outcomes).meta({ id: "Outcome" });
export type Outcome = z.infer<typeof Outcome>;

/** How a delivery ended for good. Behaviour, section 1, "settle". */
export const settledStates = [
  "delivered",
  "rejected",
  "failed",
  "exhausted",
  "unknown",
  "cancelled",
] as const;
export const SettledState = z.enum(settledStates).meta({ id: "SettledState" });
export type SettledState = z.infer<typeof SettledState>;

/** Where a delivery stands: owed, being attempted, or settled. */
export const DeliveryState = z.enum(["pending", "in_flight", ...settledStates]).meta({ id: "DeliveryState" });
export type DeliveryState = z.infer<typeof DeliveryState>;

/** Why an attempt was made. Sent along as `sendoff-trigger`. */
export const triggers = ["live", "retry", "resend", "test"] as const;
export const Trigger = z.enum(triggers).meta({ id: "Trigger" });
export type Trigger = z.infer<typeof Trigger>;

/** The step at which an attempt failed. */
export const attemptSteps = ["dns", "connect", "tls", "request", "response"] as const;
export const AttemptStep = z.enum(attemptSteps).meta({ id: "AttemptStep" });
export type AttemptStep = z.infer<typeof AttemptStep>;

const EventField = z.enum(eventNames);

/** One attempt, as a row of `webhook_logs`. Behaviour, section 5. */
export const WebhookLog = z
  .object({
    id: z.string(),
    projectId: ProjectId,
    sessionId: SessionId,
    event: EventField,
    webhookId: z
      .string()
      .meta({ description: "The webhook-id header: the same for every attempt of an event." }),
    endpointId: z.uuid(),
    url: z.string(),
    attempt: z.int().positive(),
    trigger: Trigger,
    outcome: Outcome,
    errorCode: z
      .string()
      .nullable()
      .meta({ description: "The finer word for what failed, such as dns_error." }),
    failedStep: AttemptStep.nullable(),
    responseStatus: z.int().nullable(),
    durationMs: z.number().nullable().meta({ description: "From the claim's turn to the answer, in ms." }),
    attemptedAt: Timestamp,
    settledAs: SettledState.nullable().meta({
      description: "How the delivery settled by this attempt. null: it is attempted again.",
    }),
  })
  .meta({ id: "WebhookLog" });
export type WebhookLog = z.infer<typeof WebhookLog>;

/** One attempt with what was sent and what came back. */
export const WebhookLogDetail = WebhookLog.extend({
  requestBody: z.string().nullable().meta({
    description: "The body that was sent; a recordingUrl is shown without its signature.",
  }),
  requestBytes: z.int().nullable().meta({ description: "Bytes of requestBody." }),
  requestHeaders: z.array(z.object({ name: z.string(), value: z.string() })).meta({
    description:
      "What the request had beside host and content-length. The endpoint's own headers are those of now, with masked values; webhook-signature is not kept and its value is a placeholder.",
  }),
  responseBody: z.string().nullable().meta({ description: "The first 4 KiB of the answer, as UTF-8." }),
  responseBytes: z.int().nullable().meta({
    description: "Bytes of the answer's body that were kept, 4,096 at most.",
  }),
  finishedAt: Timestamp.nullable().meta({
    description: "attemptedAt + durationMs; null when it is not known how long it took.",
  }),
}).meta({ id: "WebhookLogDetail" });
export type WebhookLogDetail = z.infer<typeof WebhookLogDetail>;

/** Which body of an attempt: GET `.../webhook-logs/{logId}/raw/{part}`. */
export const RawPart = z.enum(["request", "response"]).meta({ id: "RawPart" });
export type RawPart = z.infer<typeof RawPart>;

/** Several values of a query, separated by commas. */
export const commaList = <Item extends z.ZodType<string, string>>(item: Item) =>
  z
    .string()
    .transform((list) => list.split(","))
    .pipe(z.array(item).min(1));

/** An end of a span of time. A Date, for PostgreSQL does not read every moment that ISO 8601 can write. */
export const queryMoment = Timestamp.transform((text) => new Date(text)).optional();

/** How a list is paged. `cursor` is the `nextCursor` of the page before. */
export const pageQuery = {
  limit: z.coerce.number<string>().int().min(1).max(500).default(50),
  cursor: z.string().min(1).max(512).optional(),
};

/** Filters of GET `.../webhook-logs`. `event` and `outcome` take several values, separated by commas. */
export const WebhookLogsQuery = z
  .strictObject({
    ...pageQuery,
    sessionId: SessionId.optional(),
    event: commaList(EventField).optional(),
    endpointId: z.uuid().optional(),
    outcome: commaList(Outcome).optional(),
    from: queryMoment,
    to: queryMoment,
  })
  .meta({ id: "WebhookLogsQuery" });
export type WebhookLogsQuery = z.infer<typeof WebhookLogsQuery>;
