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

/** What `sendoff start` writes to `start.json` (0600) for scripts. Behaviour, section 9. */
export const StartFile = z
  .object({
    apiUrl: z.url(),
    dashboardUrl: z.url().nullable(),
    signInUrl: z.url().nullable(),
    inspectorUrl: z.url(),
    projectId: z.uuid(),
    projectKey: z.string(),
    developerKey: z.string(),
    pid: z.int(),
  })
  .meta({ id: "StartFile" });
export type StartFile = z.infer<typeof StartFile>;
