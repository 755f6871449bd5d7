import { z } from "zod";
import { AgentEvent, eventList } from "./events.ts";
import { Timestamp } from "./ids.ts";

/** One header that is sent along with each attempt. Source: seed, "Configure". */
export const EndpointHeader = z
  .strictObject({
    key: z
      .string()
      .min(1)
      .max(128)
      .meta({ examples: ["X-Route"] }),
    value: z
      .string()
      .max(4_096)
      .meta({ examples: ["clinic"] }),
  })
  .meta({ id: "EndpointHeader" });
export type EndpointHeader = z.infer<typeof EndpointHeader>;

const durationPattern = /^(\d{1,9})(ms|s|m|h|d)$/;

/** A length of time: a whole number and `ms`, `s`, `m`, `h` or `d`. */
export const Duration = z
  .string()
  .regex(durationPattern, { error: 'expected a whole number and a unit, such as "10s" (ms, s, m, h, d)' })
  .meta({ id: "Duration", examples: ["10s"] });

const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds of a {@link Duration}. */
export function durationMs(duration: string): number {
  const [, count, unit] = durationPattern.exec(duration) ?? [];
  if (count === undefined) throw new RangeError(`not a duration: ${duration}`);
  return Number(count) * unitMs[unit as keyof typeof unitMs];
}

/** Bounds of an attempt's deadline, in milliseconds. Behaviour, section 4. */
export const timeoutBounds = { minMs: 100, defaultMs: 10_000, maxMs: 30_000 } as const;

/** A duration within bounds, both in milliseconds. */
const durationWithin = (minMs: number, maxMs: number, expected: string) =>
  Duration.refine(
    // What is not a duration has been told so already.
    (value) => !durationPattern.test(value) || (durationMs(value) >= minMs && durationMs(value) <= maxMs),
    { error: expected },
  );

const Timeout = durationWithin(timeoutBounds.minMs, timeoutBounds.maxMs, "expected from 100ms to 30s").meta({
  description: "How long an attempt may take in all. Default 10s, at most 30s.",
});

/** Bounds of a retry policy. `windowMinMs` and `windowMaxMs` are milliseconds. */
export const retryBounds = { attemptsMax: 20, windowMinMs: 1_000, windowMaxMs: 7 * 86_400_000 } as const;

/** Attempts that an endpoint opts in to after one that was not answered 2xx. Behaviour, section 4. */
export const RetryPolicy = z
  .strictObject({
    attempts: z.int().min(2).max(retryBounds.attemptsMax).meta({
      description: "Most attempts in all, the first one included: 2 to 20.",
    }),
    window: durationWithin(retryBounds.windowMinMs, retryBounds.windowMaxMs, "expected from 1s to 7d").meta({
      description: "How long after the first attempt another one may still begin.",
      examples: ["24h"],
    }),
  })
  .meta({ id: "RetryPolicy" });
export type RetryPolicy = z.infer<typeof RetryPolicy>;

/** How deliveries to an endpoint are made. Without `retries` there is one attempt. Behaviour, section 4. */
export const DeliveryPolicy = z
  .strictObject({ timeout: Timeout.optional(), retries: RetryPolicy.optional() })
  .meta({ id: "DeliveryPolicy" });
export type DeliveryPolicy = z.infer<typeof DeliveryPolicy>;

/** Most bytes of an endpoint's URL. Behaviour, section 7. */
export const urlBytesMax = 2_048;

/**
 * The agent's webhook. Replaced as a whole by each write; `events` omitted means `["session.ended"]`.
 * Sources: seed, "Configure"; behaviour, section 6.
 */
export const PostSessionWebhook = z
  .strictObject({
    url: z
      .string()
      .min(1)
      .max(urlBytesMax)
      .meta({
        description: "Where the events are POSTed to.",
        examples: ["https://hooks.example.com/sendoff"],
      }),
    headers: z.array(EndpointHeader).max(20).optional(),
    events: eventList(AgentEvent).optional(),
    delivery: DeliveryPolicy.optional(),
  })
  .meta({ id: "PostSessionWebhook" });
export type PostSessionWebhook = z.infer<typeof PostSessionWebhook>;

const kept = z.unknown().optional().meta({ description: "Kept and answered as given." });

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

const { headers: _headers, delivery: _delivery, ...webhookShape } = PostSessionWebhook.shape;

/** The agent's webhook as it is answered: unlike one that is sent, it may have fields that a reader does not know. */
export const AgentWebhook = z
  .object({
    ...webhookShape,
    headers: z.array(z.object(EndpointHeader.shape)).optional().meta({
      description: "Values are masked: four dots and at most the last 4 characters.",
    }),
    delivery: z
      .object({ timeout: Timeout.optional(), retries: z.object(RetryPolicy.shape).optional() })
      .optional(),
  })
  .meta({ id: "AgentWebhook" });
export type AgentWebhook = z.infer<typeof AgentWebhook>;

/** An agent as it is answered. Header values are masked; `events` is absent when none was given. */
export const Agent = z
  .object({
    projectId: z.uuid(),
    ...keptShape,
    postSessionWebhook: AgentWebhook.nullable(),
    signingSecret: z.string().optional().meta({
      description: "Of a webhook that this request has made: answered here and never again.",
    }),
    updatedAt: Timestamp,
  })
  .meta({ id: "Agent" });
export type Agent = z.infer<typeof Agent>;
