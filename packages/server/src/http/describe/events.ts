import { type EventName, eventNames, goldenExamples, payloadSchemas, Trigger } from "@sendoff/contract";
import { z } from "zod";

/** A header of every webhook. */
interface EventHeader {
  readonly name: string;
  readonly description: string;
  readonly schema: z.ZodType;
  readonly example: string;
}

/** Headers of every attempt beside those of the endpoint's own. Source: behaviour, section 4. */
export const eventHeaders: readonly EventHeader[] = [
  {
    name: "webhook-id",
    description: "Names the event: the same on every attempt and every resend of it.",
    schema: z.string(),
    example: "msg_5873db97c8d74d7aaad33dcaeb6f2ddd",
  },
  {
    name: "webhook-timestamp",
    description:
      "When the attempt was made, in seconds since 1970. Refuse one that is 5 minutes off or more.",
    schema: z.string().regex(/^\d+$/),
    example: "1777797731",
  },
  {
    name: "webhook-signature",
    description:
      "One signature or several, separated by spaces. Each is v1, and then the base64 of HMAC-SHA256 over webhook-id, a full stop, webhook-timestamp, a full stop and the body's bytes. The key is the signing secret without whsec_, decoded from base64. One that fits is enough.",
    schema: z.string(),
    example: "v1,StlgJ+1vbG/TJWywwIUY8lHx7wZUO3X8cjO+PEO432U=",
  },
  {
    name: "sendoff-attempt",
    description: "Which attempt of the delivery it is: 1, 2 and so on.",
    schema: z.string().regex(/^\d+$/),
    example: "1",
  },
  { name: "sendoff-trigger", description: "Why the attempt was made.", schema: Trigger, example: "live" },
];

/** When each event is emitted. Source: seed, "Event types". */
const triggers: Record<EventName, string> = {
  "session.started": "A session has started. Goes to project webhooks only.",
  "session.ended": "The conversation has ended. What a webhook gets when it names no events.",
  "call.ended": "The call has ended. Calls only.",
  "session.finalized":
    "Everything is done for this session: one body with the data of the others. Once, and after them. A text session has no callStatus and no callDuration.",
  "recording.ready":
    "The call's recording was processed, either way. Calls only, before or after session.finalized. Its recordingUrl works for 15 minutes.",
};

/** An event as it is described. */
export interface DescribedEvent {
  readonly name: EventName;
  readonly trigger: string;
  readonly payload: z.ZodType;
  /** Example bodies by their name. */
  readonly examples: Record<string, unknown>;
}

/** Every event with its body and with the golden examples that are its own. */
export function describedEvents(): DescribedEvent[] {
  const golden = Object.entries(goldenExamples());
  return eventNames.map((name) => ({
    name,
    trigger: triggers[name],
    payload: payloadSchemas[name],
    examples: Object.fromEntries(
      golden
        .filter(([example]) => example === name || example.startsWith(`${name}.`))
        .map(([example, body]) => [example, JSON.parse(body) as unknown]),
    ),
  }));
}
