import { z } from "zod";
import { AgentEvent } from "./events.ts";
import { Timestamp } from "./ids.ts";

/** One header that is sent along with each attempt. Source: seed, "Configure". */
export const EndpointHeader = z
  .strictObject({ key: z.string().min(1).max(128), value: z.string().max(4_096) })
  .meta({ id: "EndpointHeader" });
export type EndpointHeader = z.infer<typeof EndpointHeader>;

/** A length of time: a whole number and `ms`, `s`, `m` or `h`. */
export const Duration = z
  .string()
  .regex(/^\d{1,9}(ms|s|m|h)$/, { error: 'expected a whole number and a unit, such as "10s" (ms, s, m, h)' })
  .meta({ id: "Duration" });

const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/** Milliseconds of a {@link Duration}. */
export function durationMs(duration: string): number {
  const [, count, unit] = /^(\d+)(ms|s|m|h)$/.exec(duration) ?? [];
  if (count === undefined) throw new RangeError(`not a duration: ${duration}`);
  return Number(count) * unitMs[unit as keyof typeof unitMs];
}

/** Bounds of an attempt's deadline, in milliseconds. Behaviour, section 4. */
export const timeoutBounds = { minMs: 100, defaultMs: 10_000, maxMs: 30_000 } as const;

const Timeout = Duration.refine(
  (value) => {
    const ms = /^\d{1,9}(ms|s|m|h)$/.test(value) ? durationMs(value) : timeoutBounds.defaultMs;
    return ms >= timeoutBounds.minMs && ms <= timeoutBounds.maxMs;
  },
  { error: "expected from 100ms to 30s" },
).meta({ description: "How long an attempt may take in all. Default 10s, at most 30s." });

/** How deliveries to an endpoint are made. Behaviour, section 4. */
export const DeliveryPolicy = z.strictObject({ timeout: Timeout.optional() }).meta({ id: "DeliveryPolicy" });
export type DeliveryPolicy = z.infer<typeof DeliveryPolicy>;

/** Most bytes of an endpoint's URL. Behaviour, section 7. */
export const urlBytesMax = 2_048;

/**
 * The agent's webhook. Replaced as a whole by each write; `events` omitted means `["session.ended"]`.
 * Sources: seed, "Configure"; behaviour, section 6.
 */
export const PostSessionWebhook = z
  .strictObject({
    url: z.string().min(1).max(urlBytesMax),
    headers: z.array(EndpointHeader).max(20).optional(),
    events: z
      .array(AgentEvent)
      .min(1)
      .refine((events) => new Set(events).size === events.length, { error: "expected each event once" })
      .optional(),
    delivery: DeliveryPolicy.optional(),
  })
  .meta({ id: "PostSessionWebhook" });
export type PostSessionWebhook = z.infer<typeof PostSessionWebhook>;

const kept = z.unknown().optional();

/**
 * Fields of an agent that mean nothing to Sendoff and are kept and returned as given, so that existing clients can
 * read, change and write an agent. Behaviour, section 6.
 */
export const keptAgentFields = [
  "name",
  "type",
  "status",
  "globalPrompt",
  "executionMode",
  "timezone",
  "memoryEnabled",
  "searchKnowledgeBaseEnabled",
  "promptModules",
  "beforeStartConfig",
  "postSessionVariableKeys",
  "postEvaluationConfig",
  "placeholderMessages",
  "variableConfigs",
  "voiceIntelligence",
] as const;
export type KeptAgentField = (typeof keptAgentFields)[number];

const keptShape = Object.fromEntries(keptAgentFields.map((field) => [field, kept])) as Record<
  KeptAgentField,
  typeof kept
>;

/** Body of PUT and PATCH `.../agent`: both change only the fields given. */
export const UpdateAgent = z
  .strictObject({ ...keptShape, postSessionWebhook: PostSessionWebhook.nullable().optional() })
  .meta({ id: "UpdateAgent" });
export type UpdateAgent = z.infer<typeof UpdateAgent>;

/** An agent as it is answered. Header values are masked; `events` is absent when none was given. */
export const Agent = z
  .object({
    projectId: z.uuid(),
    ...keptShape,
    postSessionWebhook: PostSessionWebhook.nullable(),
    updatedAt: Timestamp,
  })
  .meta({ id: "Agent" });
export type Agent = z.infer<typeof Agent>;
