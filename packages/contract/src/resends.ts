import { z } from "zod";
import { Duration, durationMs } from "./agent.ts";
import { AgentEvent, Channel, eventNames } from "./events.ts";
import { SessionId, Timestamp } from "./ids.ts";
import { DeliveryState } from "./webhook-logs.ts";

const EventField = z.enum(eventNames);

/** Answer of POST `.../webhook-logs/{logId}/resend`: what is owed now. Behaviour, section 6. */
export const Resend = z
  .object({
    sessionId: SessionId,
    event: EventField,
    webhookId: z.string().meta({ description: "The same as on every attempt of this event." }),
    endpointId: z.uuid(),
    attempt: z.int().positive().meta({
      description: "The sendoff-attempt that this resend begins with; its row in webhook_logs has it.",
    }),
    duplicate: z.boolean().meta({ description: "A resend of it was under way already; no other is made." }),
  })
  .meta({ id: "Resend" });
export type Resend = z.infer<typeof Resend>;

/** Body of POST `.../agent/webhook/test`. `channel` is `call` when it is missing. */
export const TestEvent = z
  .strictObject({ event: AgentEvent, channel: Channel.optional() })
  .refine(
    ({ event, channel }) => channel !== "text" || event === "session.ended" || event === "session.finalized",
    { path: ["channel"], error: "expected call: a text session has no such event" },
  )
  .meta({ id: "TestEvent" });
export type TestEvent = z.infer<typeof TestEvent>;

/** How long old signing secrets may sign along after a rotation, in milliseconds. Behaviour, section 6. */
export const overlapBounds = { default: "24h", maxMs: 7 * 86_400_000 } as const;

/** Body of POST `.../agent/webhook/secret`; none at all is fine. */
export const RotateSecret = z
  .strictObject({
    overlap: Duration.refine(
      // What is not a duration has been told so already.
      (value) => !Duration.safeParse(value).success || durationMs(value) <= overlapBounds.maxMs,
      { error: "expected at most 7d" },
    )
      .optional()
      .meta({
        description:
          'For how long the secrets so far sign along: 0s to 7d, default 24h. "0s" ends them at once.',
      }),
  })
  .meta({ id: "RotateSecret" });
export type RotateSecret = z.infer<typeof RotateSecret>;

/** A rotated signing secret. It is answered here and never again. */
export const RotatedSecret = z
  .object({
    signingSecret: z.string().meta({ description: "whsec_ and 32 bytes in base64 (Standard Webhooks)." }),
    oldSecretEndsAt: Timestamp.nullable().meta({
      description: "Until when the secret before it signs along. null: it signs no more.",
    }),
  })
  .meta({ id: "RotatedSecret" });
export type RotatedSecret = z.infer<typeof RotatedSecret>;

/** Most pairs of one body, and most events of a page. */
export const reconcileBounds = { heldMax: 10_000, limitDefault: 500, limitMax: 1_000 } as const;

const moment = Timestamp.transform((text) => new Date(text));

/** Body of POST `.../reconcile`: what the receiver holds of a window. Behaviour, section 6. */
export const Reconcile = z
  .strictObject({
    from: moment.meta({ description: "Events whose timestamp is this or later." }),
    to: moment.meta({ description: "Events whose timestamp is before this." }),
    held: z
      .array(z.tuple([SessionId, EventField]))
      .max(reconcileBounds.heldMax, { error: `expected at most ${reconcileBounds.heldMax} pairs` })
      .meta({ description: "[sessionId, event] of every event of the window that the receiver holds." }),
    endpointId: z.uuid().optional().meta({ description: "The agent's webhook when it is missing." }),
    resend: z.boolean().default(false).meta({ description: "true: what is missing is sent again." }),
    limit: z.int().min(1).max(reconcileBounds.limitMax).default(reconcileBounds.limitDefault),
    cursor: z.string().min(1).max(512).optional(),
  })
  .refine(({ from, to }) => from < to, { path: ["to"], error: "expected a moment after from" })
  .meta({ id: "Reconcile" });
export type Reconcile = z.infer<typeof Reconcile>;

/** An event that was owed to the endpoint and that the receiver does not hold. */
export const MissingEvent = z
  .object({
    sessionId: SessionId,
    event: EventField,
    webhookId: z.string(),
    timestamp: Timestamp.meta({ description: "The moment of emission, as in the event's body." }),
    state: DeliveryState.nullable().meta({
      description:
        "Where its latest delivery stands. null: it has settled, and its log rows are past their retention.",
    }),
    resent: z.boolean().meta({ description: "It is sent again by this request." }),
  })
  .meta({ id: "MissingEvent" });
export type MissingEvent = z.infer<typeof MissingEvent>;
