import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { RecordingQuery } from "@sendoff/contract";
import type { RecordingLinks } from "../../recordings/links.ts";
import { isSampleKey, sampleAudio } from "../../recordings/sample.ts";
import { Refusal } from "../../refusal.ts";
import { type Route, route } from "../route.ts";

const audioResponse = (
  body: ConstructorParameters<typeof Response>[0],
  bytes: number,
  type: string,
): Response =>
  new Response(body, {
    headers: {
      "content-type": type,
      "content-length": String(bytes),
      "x-content-type-options": "nosniff",
      "cache-control": "private, no-store",
    },
  });

/** @param folder where the audio lies, by object key. */
export function recordingRoutes(links: RecordingLinks, folder: string): Route[] {
  return [
    route({
      method: "GET",
      path: "/recordings/{objectKey+}",
      // The signature in the link is what gives access.
      access: "open",
      summary: "The audio of a call, by the short-lived link of a recording.ready.",
      query: RecordingQuery,
      answers: [{ status: 200, when: "The audio.", mediaType: "application/octet-stream" }],
      errors: ["recording_link_invalid", "recording_not_found"],
      async handle({ path: { objectKey = "" }, query }) {
        const reason = links.refuse(objectKey, query.expires, query.signature);
        if (reason !== null) {
          throw new Refusal(
            "recording_link_invalid",
            reason === "expired"
              ? "This link has expired; links work for 15 minutes. Have the recording.ready sent again, or ask for a fresh one."
              : "This is not a link as Sendoff made it. Use the whole recordingUrl of a recording.ready.",
          );
        }
        if (isSampleKey(objectKey)) {
          const audio = sampleAudio();
          return audioResponse(new Uint8Array(audio), audio.length, "audio/wav");
        }
        // Signed keys are keys of a project: they cannot lead out of the folder (recordings/links.ts).
        const file = join(folder, objectKey);
        const found = await stat(file).catch(() => null);
        if (!found?.isFile()) throw new Refusal("recording_not_found", "There is no audio at this key yet.");
        const stream = Readable.toWeb(createReadStream(file)) as ReadableStream;
        return audioResponse(stream, found.size, "application/octet-stream");
      },
    }),
  ];
}
