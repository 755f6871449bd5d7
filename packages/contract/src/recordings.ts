import { z } from "zod";

/** Query of GET `/recordings/...`: what makes a link work. */
export const RecordingQuery = z
  .strictObject({
    expires: z.string().default("").meta({ description: "Until when it works, in seconds since 1970." }),
    signature: z.string().default(""),
  })
  .meta({ id: "RecordingQuery", description: "Take the whole recordingUrl; do not write it yourself." });
export type RecordingQuery = z.infer<typeof RecordingQuery>;

/** The answer to GET `.../recording/peaks`: a call's waveform, for showing it without its audio. */
export const RecordingPeaks = z
  .object({
    seconds: z.number().nonnegative().meta({ description: "Length of the audio." }),
    channels: z
      .array(z.array(z.number().min(0).max(1)))
      .min(1)
      .max(2)
      .meta({
        description:
          "One array for each channel, left first: the largest amplitude in each of up to 2,000 equal parts of the audio, from 0 (silence) to 1 (full scale). All have the same length.",
        examples: [
          [
            [0, 0.42, 0.81],
            [0.1, 0, 0.02],
          ],
        ],
      }),
  })
  .meta({ id: "RecordingPeaks" });
export type RecordingPeaks = z.infer<typeof RecordingPeaks>;
