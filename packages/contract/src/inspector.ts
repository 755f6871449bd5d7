import { z } from "zod";
import { Timestamp } from "./ids.ts";

/** One request that the built-in inspector endpoint received, as it stood on the wire. */
export const InspectedRequest = z
  .object({
    id: z.string(),
    receivedAt: Timestamp,
    headers: z.record(z.string(), z.string()),
    body: z.string(),
  })
  .meta({ id: "InspectedRequest" });
export type InspectedRequest = z.infer<typeof InspectedRequest>;

/** A request at the built-in endpoint as the dashboard shows it: with what its signature is worth. */
export const ProjectInspectedRequest = InspectedRequest.extend({
  signature: z.enum(["valid", "invalid", "none"]).meta({
    description:
      "Whether webhook-signature was made with a signing secret that one of the project's endpoints has now; none: the header is missing.",
  }),
}).meta({ id: "ProjectInspectedRequest" });
export type ProjectInspectedRequest = z.infer<typeof ProjectInspectedRequest>;

/** Query of GET `.../inspector-requests`: newest first, before a cursor; or all after an id, oldest first. */
export const ProjectInspectorQuery = z
  .strictObject({
    after: z
      .string()
      .regex(/^\d{1,18}$/, { error: "expected the id of a request" })
      .optional(),
    cursor: z.string().min(1).max(512).optional(),
    limit: z.coerce.number<string>().int().min(1).max(200).default(50),
  })
  .refine(({ after, cursor }) => after === undefined || cursor === undefined, {
    error: "expected either after or cursor",
    path: ["after"],
  })
  .meta({ id: "ProjectInspectorQuery" });
export type ProjectInspectorQuery = z.infer<typeof ProjectInspectorQuery>;

/** What the built-in inspector endpoint answers to a webhook. */
export const Received = z.object({ status: z.literal("ok") }).meta({ id: "Received" });
export type Received = z.infer<typeof Received>;

/** Query of GET `/inspect/{token}`: the requests after a cursor, oldest first. */
export const InspectorQuery = z
  .strictObject({
    after: z
      .string()
      .regex(/^\d{1,18}$/)
      .default("0"),
    limit: z.coerce.number<string>().int().min(1).max(1_000).default(100),
  })
  .meta({ id: "InspectorQuery" });
export type InspectorQuery = z.infer<typeof InspectorQuery>;

/**
 * What `sendoff start` and `sendoff api` write to `start.json` (0600) for scripts. Behaviour, section 9.
 *
 * The keys and the inspector's address are known to the start that made them alone: they are null in the file of a
 * further process, and after the file was lost. A key that was revoked is null from the next start on.
 */
export const StartFile = z
  .object({
    apiUrl: z.url(),
    dashboardUrl: z.url().nullable(),
    signInUrl: z.url().nullable(),
    inspectorUrl: z.url().nullable(),
    projectId: z.uuid(),
    projectKey: z.string().nullable(),
    developerKey: z.string().nullable(),
    pid: z.int(),
  })
  .meta({ id: "StartFile" });
export type StartFile = z.infer<typeof StartFile>;
