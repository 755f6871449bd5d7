import { Readable } from "node:stream";
import type { HttpBindings } from "@hono/node-server";
import { RecordingPeaks, RecordingQuery, UploadedRecording } from "@sendoff/contract";
import type { Context } from "hono";
import { contradiction } from "../../lifecycle/contradiction.ts";
import { readSession } from "../../lifecycle/read.ts";
import { type Recorded, readRecorded } from "../../lifecycle/recordable.ts";
import type { Session } from "../../lifecycle/session.ts";
import { fileNameOf, isKeyOfProject } from "../../recordings/keys.ts";
import type { RecordingLinks } from "../../recordings/links.ts";
import { readPeaks } from "../../recordings/peaks.ts";
import { rangeOf } from "../../recordings/range.ts";
import { isSampleKey, sampleAudio } from "../../recordings/sample.ts";
import type { RecordingStore, StoredObject } from "../../recordings/store.ts";
import { readRecording } from "../../recordings/table.ts";
import type { Uploads } from "../../recordings/upload.ts";
import { Refusal } from "../../refusal.ts";
import { headerOf } from "../headers.ts";
import { allowLong } from "../long-requests.ts";
import { type RecordedParts, recordedAt } from "../recorded.ts";
import { type Route, route } from "../route.ts";
import { reportAnswer, reportErrors } from "./reports.ts";

export interface RecordingParts extends RecordedParts {
  readonly links: RecordingLinks;
  readonly uploads: Uploads;
}

export function recordingRoutes(parts: RecordingParts): Route[] {
  const ofSession = "/v1/projects/{projectId}/sessions/{sessionId}/recording";
  return [
    route({
      method: "PUT",
      path: ofSession,
      access: "project",
      summary: "The audio of a call itself, as a stream of any length: emits recording.ready. Calls only.",
      bodyMediaTypes: ["audio/ogg", "audio/mpeg", "audio/wav", "audio/webm"],
      admit: (projectId) => parts.intake.admit(projectId),
      answers: [
        {
          status: 200,
          when: "It is stored and the report is committed, or the same audio was there already.",
          data: UploadedRecording,
        },
      ],
      errors: [
        ...reportErrors,
        "not_audio",
        "body_too_large",
        "storage_full",
        "upload_broken",
        "upload_stalled",
        "recording_store_unavailable",
      ],
      handle: ({ path: { projectId = "", sessionId = "" }, context }) =>
        upload(parts, projectId, sessionId, context),
    }),
    route({
      method: "GET",
      path: ofSession,
      access: "project",
      summary: "Leads to the audio of a call by a fresh short-lived link, whenever it is asked for.",
      answers: [{ status: 302, when: "Location is the link." }],
      errors: ["session_not_found", "recording_not_found", "recording_store_unavailable"],
      async handle({ path: { projectId = "", sessionId = "" } }) {
        const { recordingObjectKey } = await recordedSession(parts, projectId, sessionId);
        if ((await parts.store.find(recordingObjectKey)) === null) {
          throw new Refusal("recording_not_found", "The audio of this session is not in the store any more.");
        }
        const { url } = await parts.links.mint(recordingObjectKey);
        return new Response(null, {
          status: 302,
          headers: { location: url, "cache-control": "no-store", "referrer-policy": "no-referrer" },
        });
      },
    }),
    route({
      method: "GET",
      path: `${ofSession}/peaks`,
      access: "project",
      summary: "The waveform of a call: the largest amplitudes of up to 2,000 equal parts of its audio.",
      answers: [{ status: 200, when: "The waveform.", data: RecordingPeaks }],
      errors: [
        "session_not_found",
        "recording_not_found",
        "peaks_pending",
        "peaks_not_found",
        "recording_store_unavailable",
      ],
      async handle({ path: { projectId = "", sessionId = "" } }) {
        const { recordingObjectKey: objectKey } = await recordedSession(parts, projectId, sessionId);
        const recording = await readRecording(parts.pool, { projectId, sessionId, objectKey });
        if (recording?.peaks === "pending") {
          throw new Refusal("peaks_pending", "The waveform is still being computed; ask again in 2 s.", {
            headers: { "retry-after": "2" },
          });
        }
        const peaks = recording?.peaks === "made" ? await readPeaks(parts.store, objectKey) : null;
        if (peaks === null) {
          throw new Refusal(
            "peaks_not_found",
            "There is no waveform of this audio. There is one of Ogg with Opus, MP3 and WAV that can be decoded, up to 6 hours.",
          );
        }
        return { status: 200, data: peaks };
      },
    }),
    audioRoute(parts.links, parts.store),
  ];
}

async function upload(
  parts: RecordingParts,
  projectId: string,
  sessionId: string,
  context: Context,
): Promise<{ status: 200; data: UploadedRecording }> {
  const { incoming } = context.env as HttpBindings;
  const commonLimit = allowLong(incoming);
  try {
    parts.uploads.expectPlace(projectId);
    const recorded = await readRecorded(parts.pool, parts.graces, projectId, sessionId);
    if (recorded !== null) return await repeated(parts, projectId, recorded, incoming);
    const { answer, received } = await parts.uploads.receive(incoming, projectId, sessionId, (objectKey) =>
      parts.intake.apply(projectId, sessionId, recordedAt(objectKey)),
    );
    return { status: 200, data: { ...reportAnswer(answer), recording: received } };
  } catch (error) {
    throw error instanceof Refusal ? closing(error) : error;
  } finally {
    commonLimit();
  }
}

/** The session has a recording: the same audio is a repeat, which happens when an answer was lost. */
async function repeated(
  parts: RecordingParts,
  projectId: string,
  { session, objectKey, audio }: Recorded,
  request: HttpBindings["incoming"],
): Promise<{ status: 200; data: UploadedRecording }> {
  const stands = (): Refusal => {
    const { code, message } = contradiction("recording-processed", {
      success: true,
      objectKey,
      sha256: audio?.sha256,
    });
    return new Refusal(code, message);
  };
  const { sha256 = null, contentType = null, bytes = null, seconds = null } = audio ?? {};
  if (sha256 === null || contentType === null || bytes === null) throw stands();
  // A length that differs needs no reading.
  const length = headerOf(request, "content-length");
  if (length !== undefined && Number(length) !== bytes) throw stands();
  if ((await parts.uploads.digest(request, projectId, bytes)) !== sha256) throw stands();
  return {
    status: 200,
    data: {
      ...reportAnswer({ session, duplicate: true, late: false, events: [] }),
      recording: { objectKey, contentType, bytes, sha256, seconds },
    },
  };
}

/** What is refused before its end is still on its way: the connection cannot carry another request. */
const closing = (refusal: Refusal): Refusal =>
  new Refusal(refusal.code, refusal.message, {
    details: refusal.details,
    headers: { ...refusal.headers, connection: "close" },
  });

/** A session with the key of its audio. @throws Refusal that says why there is none. */
async function recordedSession(
  { pool }: RecordingParts,
  projectId: string,
  sessionId: string,
): Promise<Session & { readonly recordingObjectKey: string }> {
  const found = await readSession(pool, projectId, sessionId);
  if (found === null) {
    throw new Refusal("session_not_found", `This project has no session ${JSON.stringify(sessionId)}.`);
  }
  const { session } = found;
  const { recordingObjectKey } = session;
  if (recordingObjectKey !== null) return { ...session, recordingObjectKey };
  const why =
    session.erasedAt !== null
      ? "it was erased"
      : session.recordingSuccess === false
        ? `its recording failed (${session.recordingError ?? "no reason was given"})`
        : "no recording of it was reported";
  throw new Refusal("recording_not_found", `Session ${sessionId} has no audio: ${why}.`);
}

function audioRoute(links: RecordingLinks, store: RecordingStore): Route {
  return route({
    method: "GET",
    path: "/recordings/{objectKey+}",
    // The signature in the link is what gives access.
    access: "open",
    summary: "The audio of a call, by the short-lived link of a recording.ready. Takes a Range.",
    query: RecordingQuery,
    answers: [
      { status: 200, when: "The audio.", mediaType: "application/octet-stream" },
      { status: 206, when: "The part of it that Range asks for.", mediaType: "application/octet-stream" },
    ],
    errors: [
      "recording_link_invalid",
      "recording_not_found",
      "range_not_satisfiable",
      "recording_store_unavailable",
    ],
    async handle({ path: { objectKey = "" }, query, context }) {
      const reason = await links.refuse(objectKey, query.expires, query.signature);
      if (reason !== null) throw linkRefused(reason, links.lifeMs);
      if (isSampleKey(objectKey)) return sampleAnswer(context, objectKey);
      // Signed keys are keys of a project: they cannot lead out of the store's folder.
      const own = isKeyOfProject(objectKey, objectKey.split("/")[1] ?? "");
      const found = own ? await store.find(objectKey) : null;
      if (found === null) throw new Refusal("recording_not_found", "There is no audio at this key.");
      return audioAnswer(context, objectKey, found, (range) => store.read(objectKey, range));
    },
  });
}

const linkRefused = (reason: "expired" | "changed", lifeMs: number): Refusal =>
  new Refusal(
    "recording_link_invalid",
    reason === "expired"
      ? `This link has expired; links work for ${Math.round(lifeMs / 6_000) / 10} minutes. Ask GET .../sessions/{sessionId}/recording for a fresh one, or have the recording.ready sent again.`
      : "This is not a link as Sendoff made it. Use the whole recordingUrl of a recording.ready.",
  );

function sampleAnswer(context: Context, objectKey: string): Promise<Response> {
  const audio = sampleAudio();
  const found = { bytes: audio.length, contentType: "audio/wav", etag: '"sample"' };
  return audioAnswer(context, objectKey, found, async (range) =>
    Readable.from([range === undefined ? audio : audio.subarray(range.from, range.to + 1)]),
  );
}

/** Answers audio, or the part of it that is asked for: players need Range to know how long it is, and to go to a place. */
async function audioAnswer(
  context: Context,
  objectKey: string,
  { bytes, contentType, etag }: StoredObject,
  read: (range?: { from: number; to: number }) => Promise<Readable>,
): Promise<Response> {
  const { req } = context;
  const ifRange = req.header("if-range");
  const range = ifRange !== undefined && ifRange !== etag ? null : rangeOf(req.header("range"), bytes);
  if (range === "beyond") {
    throw new Refusal(
      "range_not_satisfiable",
      `Range ${req.header("range")} asks for nothing of the ${bytes} bytes that there are.`,
      { headers: { "content-range": `bytes */${bytes}` } },
    );
  }
  const length = range === null ? bytes : range.to - range.from + 1;
  const headers: Record<string, string> = {
    "content-type": contentType,
    "content-length": String(length),
    "accept-ranges": "bytes",
    etag,
    // Saved under its name when it is opened; a player does not mind. And never taken for anything but audio.
    "content-disposition": `attachment; filename="${fileNameOf(objectKey)}"`,
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
    "referrer-policy": "no-referrer",
    "cache-control": "private, no-store",
    ...(range === null ? {} : { "content-range": `bytes ${range.from}-${range.to}/${bytes}` }),
  };
  const status = range === null ? 200 : 206;
  if (req.method === "HEAD" || bytes === 0) return new Response(null, { status, headers });
  const stream = await read(range ?? undefined);
  return new Response(Readable.toWeb(stream) as ReadableStream, { status, headers });
}
