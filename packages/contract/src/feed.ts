import { z } from "zod";
import { EventPayload, eventNames } from "./events.ts";
import { SessionId, Timestamp } from "./ids.ts";
import { commaList, pageQuery } from "./webhook-logs.ts";

/** One event of the feed: an item of GET `.../events`, and the `data` of its stream. Behaviour, section 6. */
export const FeedEvent = z
  .object({
    id: z.string().meta({ description: "The cursor right behind this event." }),
    event: z.enum(eventNames),
    sessionId: SessionId,
    webhookId: z.string().meta({ description: "The webhook-id header of every attempt of this event." }),
    emittedAt: Timestamp,
    payload: EventPayload.nullable().meta({
      description:
        "The body that endpoints get. The recordingUrl of a recording.ready is minted when the event is read. null: the session was erased.",
    }),
  })
  .meta({ id: "FeedEvent" });
export type FeedEvent = z.infer<typeof FeedEvent>;

/** Query of GET `.../events`. `from`: `now`, or a moment; without it and `cursor` the feed begins with the oldest event. */
export const FeedQuery = z
  .strictObject({
    ...pageQuery,
    from: z
      .string()
      .refine((text) => text === "now" || Timestamp.safeParse(text).success, {
        error: "expected now, or a moment in ISO 8601, such as 2026-05-03T08:42:11.512Z",
      })
      .transform((text) => (text === "now" ? text : new Date(text)))
      .optional(),
    event: commaList(z.enum(eventNames)).optional(),
    sessionId: SessionId.optional(),
  })
  .refine(({ cursor, from }) => cursor === undefined || from === undefined, {
    error: "expected either cursor or from",
    path: ["from"],
  })
  .meta({ id: "FeedQuery" });
export type FeedQuery = z.infer<typeof FeedQuery>;
