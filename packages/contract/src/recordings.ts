import { z } from "zod";

/** Query of GET `/recordings/...`: what makes a link work. */
export const RecordingQuery = z
  .strictObject({
    expires: z.string().default("").meta({ description: "Until when it works, in seconds since 1970." }),
    signature: z.string().default(""),
  })
  .meta({ id: "RecordingQuery", description: "Take the whole recordingUrl; do not write it yourself." });
export type RecordingQuery = z.infer<typeof RecordingQuery>;
