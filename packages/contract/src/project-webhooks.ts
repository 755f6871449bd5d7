import { z } from "zod";
import { AgentWebhook, PostSessionWebhook, urlBytesMax } from "./agent.ts";
import { eventList, eventNames } from "./events.ts";
import { Timestamp } from "./ids.ts";

/** Name of an event that a project webhook can subscribe to: those of the agent's, and `session.started`. */
const ProjectEvent = z.enum(eventNames).meta({ id: "ProjectEvent" });

/** Most endpoints of a project, the agent's webhook included. Hostile cases, U47. */
export const endpointsPerProjectMax = 50;

const events = eventList(ProjectEvent).optional();

/**
 * Body of POST `/project/{projectId}/webhooks`. Its fields are those of the agent's webhook; `events` may have
 * `session.started` besides, and omitted means `["session.ended"]`. Behaviour, section 6.
 */
export const CreateProjectWebhook = PostSessionWebhook.extend({ events }).meta({
  id: "CreateProjectWebhook",
});
export type CreateProjectWebhook = z.infer<typeof CreateProjectWebhook>;

/** A project webhook as it is answered. Header values are masked; `events` is absent when none was given. */
export const ProjectWebhook = z
  .object({ id: z.uuid(), ...AgentWebhook.shape, events, createdAt: Timestamp })
  .meta({ id: "ProjectWebhook" });
export type ProjectWebhook = z.infer<typeof ProjectWebhook>;

/** The answer to POST `/project/{projectId}/webhooks`: the only time that the signing secret is shown. */
export const CreatedProjectWebhook = ProjectWebhook.extend({
  secret: z.string().meta({ description: "The signing secret, whsec_ and base64. Shown once." }),
}).meta({ id: "CreatedProjectWebhook" });
export type CreatedProjectWebhook = z.infer<typeof CreatedProjectWebhook>;

/** The answer to GET `/project/{projectId}/webhooks`, oldest first. */
export const ProjectWebhooks = z
  .object({ webhooks: z.array(ProjectWebhook).max(endpointsPerProjectMax) })
  .meta({ id: "ProjectWebhooks" });
export type ProjectWebhooks = z.infer<typeof ProjectWebhooks>;

/** Body of POST `/project/{projectId}/webhooks/check`. */
export const CheckProjectWebhook = z
  .strictObject({ url: z.string().min(1).max(urlBytesMax) })
  .meta({ id: "CheckProjectWebhook" });
export type CheckProjectWebhook = z.infer<typeof CheckProjectWebhook>;

/** Whether the project has a webhook of this URL, and which one. */
export const ProjectWebhookCheck = z
  .object({ exists: z.boolean(), id: z.uuid().optional().meta({ description: "Only when it exists." }) })
  .meta({ id: "ProjectWebhookCheck" });
export type ProjectWebhookCheck = z.infer<typeof ProjectWebhookCheck>;

/** The answer to DELETE `/project/{projectId}/webhooks/{id}`. */
export const RemovedProjectWebhook = z
  .object({
    success: z.literal(true),
    id: z.uuid(),
    cancelled: z.int().meta({ description: "Deliveries that waited for an attempt and will have none." }),
  })
  .meta({ id: "RemovedProjectWebhook" });
export type RemovedProjectWebhook = z.infer<typeof RemovedProjectWebhook>;
