import { z } from "zod";
import { isPlainText, ProjectId, plainTextError, SessionId } from "./ids.ts";
import { Variables } from "./reports.ts";

// The documented text-session calls of existing clients, with their field names (behaviour, section 6).

/** Body of POST `/project/{projectId}/session`. */
export const CreateTextSession = z
  .strictObject({
    session_id: SessionId,
    variables: Variables.optional(),
    provider: z
      .string()
      .max(200)
      .refine(isPlainText, plainTextError)
      .optional()
      .meta({ description: "Existing clients send it. It means nothing to Sendoff and is not kept." }),
  })
  .meta({ id: "CreateTextSession" });
export type CreateTextSession = z.infer<typeof CreateTextSession>;

/** The answer to it. */
export const CreatedTextSession = z
  .object({
    sessionId: SessionId,
    pathwayId: ProjectId.meta({ description: "The project's id: a project owns one agent." }),
  })
  .meta({ id: "CreatedTextSession" });
export type CreatedTextSession = z.infer<typeof CreatedTextSession>;

/** The answer to GET `/project/{projectId}/session/{sessionId}`. */
export const TextSessionState = z
  .object({
    sessionId: SessionId,
    state: z.object({
      variables: Variables.meta({
        description:
          "Those of its creation and those extracted since, merged by key; the later value counts.",
      }),
      messages: z.array(z.never()).max(0).meta({
        description: "Always empty: Sendoff is told how many messages there were, not what they said.",
      }),
    }),
  })
  .meta({ id: "TextSessionState" });
export type TextSessionState = z.infer<typeof TextSessionState>;

/** Body of DELETE `/project/{projectId}/session` and `/project/{projectId}/integration/api/session`. */
export const EndTextSession = z.strictObject({ session_id: SessionId }).meta({ id: "EndTextSession" });
export type EndTextSession = z.infer<typeof EndTextSession>;

/** The answer to it. */
export const EndedTextSession = z
  .object({
    success: z.literal(true),
    sessionId: SessionId,
    message: z.string().meta({ description: "For people: that it has ended now, or had ended before." }),
  })
  .meta({ id: "EndedTextSession" });
export type EndedTextSession = z.infer<typeof EndedTextSession>;
