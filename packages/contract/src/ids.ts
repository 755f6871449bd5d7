import { z } from "zod";

/**
 * A session's id as the runtime chose it: 1 to 128 characters of `A-Z a-z 0-9 . _ : -`.
 * Unique within a project. Source: behaviour, section 7.
 */
export const SessionId = z
  .string()
  .regex(/^[A-Za-z0-9._:-]{1,128}$/, {
    error: "expected 1 to 128 characters of A-Z a-z 0-9 . _ : -",
  })
  .meta({
    id: "SessionId",
    description: "The runtime's own id of the session, unique within its project.",
    examples: ["2c4f9a13-7e6b-4d8a-9f25-c81e3a7b6d04"],
  });
export type SessionId = z.infer<typeof SessionId>;

/**
 * Whether a text is stored and sent as it is: a NUL cannot be stored, and half of a surrogate pair would come out as
 * another character. For names; variables are JSON text and may have both.
 */
export const isPlainText = (text: string): boolean => !text.includes("\0") && !/\p{Cs}/u.test(text);

/** What a field says that breaks {@link isPlainText}. */
export const plainTextError = { error: "expected text without NUL and without halves of surrogate pairs" };

/** A project's id: a UUID that Sendoff made. */
export const ProjectId = z.uuid({ error: "expected a UUID" }).meta({
  id: "ProjectId",
  description: "The project that owns the agent.",
  examples: ["8f3e2c91-4a7b-4d6e-a23c-9b1f5e8d4c20"],
});
export type ProjectId = z.infer<typeof ProjectId>;

/** A moment, ISO 8601 with milliseconds and `Z` in what Sendoff writes; any offset in what it reads. */
export const Timestamp = z.iso
  .datetime({ offset: true, error: "expected a moment in ISO 8601, such as 2026-05-03T08:42:11.512Z" })
  .meta({ id: "Timestamp", description: "A moment in ISO 8601.", examples: ["2026-05-03T08:42:11.512Z"] });
export type Timestamp = z.infer<typeof Timestamp>;
