import { z } from "zod";
import { ProjectId, Timestamp } from "./ids.ts";
import { Project } from "./projects.ts";

/**
 * The header that each request of the dashboard has which changes something, with the value `1`. A form of another site
 * cannot send it. See docs/api.md, "The dashboard".
 */
export const dashboardHeader = "sendoff-dashboard";

/** Body of POST `/dashboard/session`: the token of a sign-in link, or a key. */
export const SignIn = z
  .strictObject({
    token: z
      .string()
      .min(1)
      .max(200)
      .optional()
      .meta({ description: "What stands behind #token= in the sign-in link. It works once, for an hour." }),
    key: z.string().min(1).max(200).optional().meta({ description: "A developer key or a project's key." }),
  })
  .refine(({ token, key }) => (token === undefined) !== (key === undefined), {
    error: "expected either token or key",
  })
  .meta({ id: "SignIn" });
export type SignIn = z.infer<typeof SignIn>;

/** Who is signed in to the dashboard. */
export const DashboardSession = z
  .object({
    kind: z.enum(["developer", "project"]).meta({
      description: "developer: sees every project and may make one; project: sees one.",
    }),
    projectId: ProjectId.nullable().meta({ description: "Of kind project: which. Else null." }),
    projects: z.array(Project).meta({ description: "What may be seen, oldest first." }),
    expiresAt: Timestamp.nullable().meta({
      description: "When the session ends and one has to sign in again; null for who asks with a key.",
    }),
    version: z.string().meta({ description: "The version of the server." }),
  })
  .meta({ id: "DashboardSession" });
export type DashboardSession = z.infer<typeof DashboardSession>;
