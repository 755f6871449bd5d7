import { createHash } from "node:crypto";
import { setMaxListeners } from "node:events";
import type { IncomingMessage } from "node:http";
import type pg from "pg";
import type { Logger } from "../log.ts";
import { Refusal } from "../refusal.ts";
import { newObjectKey } from "./keys.ts";
import { type Place, Places } from "./places.ts";
import { type AudioType, audioTypeOf, sniffBytes } from "./sniff.ts";
import { type RecordingStore, storeUnavailable } from "./store.ts";
import {
  type AudioFacts,
  beginUpload,
  forgetRecording,
  keepRecording,
  type RecordingPlace,
  uploadAlive,
  uploadStored,
} from "./table.ts";
import { readBody } from "./upload-body.ts";
import type { UploadLimits } from "./upload-limits.ts";
import { createRoom, expectRoom, tooLarge } from "./upload-room.ts";

/** What was received. */
interface Received extends AudioFacts {
  readonly objectKey: string;
  readonly sha256: string;
  /** It is not parsed while it comes in: see peaks-keeper.ts. */
  readonly seconds: null;
}

/** Takes the audio of calls as it comes in. Never is more of it in memory than the store's own buffers. */
export interface Uploads {
  /**
   * To be asked before anything else is done for an upload: refusing must cost little.
   *
   * @throws Refusal overloaded, or draining, when there is no place for one more of this project.
   */
  expectPlace(projectId: string): void;
  /**
   * Streams the body of a request into the store, and then reports it. When the report is refused the object goes again.
   *
   * @param report commits the session's report with the object's key.
   * @throws Refusal not_audio, upload_broken, upload_stalled, overloaded, body_too_large, storage_full,
   * recording_store_unavailable, or of the report.
   */
  receive<Answer>(
    request: IncomingMessage,
    projectId: string,
    sessionId: string,
    report: (objectKey: string) => Promise<Answer>,
  ): Promise<{ readonly answer: Answer; readonly received: Received }>;
  /**
   * Reads a body for its hash alone: the same audio again is no other one.
   *
   * @param bytes of the audio that it may be the same as.
   * @returns null: it has more bytes than that.
   */
  digest(request: IncomingMessage, projectId: string, bytes: number): Promise<string | null>;
  /**
   * Takes no more, breaks off what is not done in time, and waits until nothing of that is left.
   *
   * @param graceMs how long what is under way may go on. Default 3 s.
   */
  stop(graceMs?: number): Promise<void>;
}

export interface UploadParts {
  readonly pool: pg.Pool;
  readonly log: Logger;
  readonly store: RecordingStore;
  readonly limits: UploadLimits;
  /** Told when a recording is kept: its peaks are due. */
  readonly onKept: () => void;
  /** Over so long of waiting for it an upload has to come at the least rate. Default 30 s. */
  readonly windowMs?: number;
}

const standardWindowMs = 30_000;
const standardGraceMs = 3_000;
/** How often an upload says that it is alive; well below table.ts, deadUploadMs. */
const aliveEveryMs = 30_000;
/** The rest of the body is still on its way: the connection cannot carry another request. */
const headers = { connection: "close" };

export function createUploads(parts: UploadParts): Uploads {
  const { pool, log, store, limits } = parts;
  const windowMs = parts.windowMs ?? standardWindowMs;
  const places = new Places(store.uploadsMax, limits.projectMax, limits.rate.most);
  const stopping = new AbortController();
  // Each upload listens to it.
  setMaxListeners(0, stopping.signal);
  const running = new Set<Promise<unknown>>();
  let closed = false;

  const takePlace = (projectId: string): Place => {
    if (closed) {
      throw new Refusal("draining", "This process is shutting down; upload the audio again.", { headers });
    }
    const place = places.take(projectId);
    if (place !== null) return place;
    throw new Refusal(
      "overloaded",
      `This process has no place for one more upload of this project: at most ${limits.projectMax} of a project are taken at a time (SENDOFF_PROJECT_UPLOADS_MAX), ${store.uploadsMax} of all, and fewer while few are free. Try again in a second.`,
      { headers },
    );
  };
  const admitted = async <Result>(
    projectId: string,
    work: (place: Place) => Promise<Result>,
  ): Promise<Result> => {
    const place = takePlace(projectId);
    const one = work(place);
    const ended = one.catch(() => {});
    running.add(ended);
    try {
      return await one;
    } finally {
      running.delete(ended);
      place.free();
    }
  };
  const bodyOf = (request: IncomingMessage, place: Place): AsyncGenerator<Buffer> =>
    readBody(request, { limits, windowMs, stop: stopping.signal, place });

  return {
    expectPlace: (projectId) => takePlace(projectId).free(),
    receive: (request, projectId, sessionId, report) =>
      admitted(projectId, async (held) => {
        await expectRoom(parts, projectId, Number(request.headers["content-length"] ?? 0));
        const { head, audio } = await begin(bodyOf(request, held));
        const type = audioTypeOf(head);
        if (type === null) throw notAudio(request, head);
        const place = { projectId, sessionId, objectKey: newObjectKey(projectId, sessionId, type.extension) };
        await beginUpload(pool, place);
        let received: Received;
        try {
          received = await storeAudio(parts, place, type, audio);
        } catch (error) {
          await undo(parts, place);
          throw error;
        }
        try {
          const answer = await report(place.objectKey);
          await keepRecording(pool, place).then(parts.onKept, (error: Error) =>
            // The round of retention sees that the session refers to it.
            log.warn({ event: "recording.not_noted", ...place, reason: error.message }),
          );
          log.info({ event: "recording.received", ...place, ...received });
          return { answer, received };
        } catch (error) {
          // Else nobody knows whether it was committed: the round of retention asks the session later.
          if (error instanceof Refusal && error.code !== "database_unavailable") await undo(parts, place);
          throw error;
        }
      }),
    digest: (request, projectId, bytesMax) =>
      admitted(projectId, async (held) => {
        const hash = createHash("sha256");
        let bytes = 0;
        for await (const chunk of bodyOf(request, held)) {
          hash.update(chunk);
          bytes += chunk.byteLength;
          if (bytes > bytesMax) return null;
        }
        return hash.digest("hex");
      }),
    async stop(graceMs = standardGraceMs) {
      closed = true;
      const breakOff = setTimeout(() => stopping.abort(), graceMs);
      await Promise.all(running);
      clearTimeout(breakOff);
    },
  };
}

type Audio = AsyncIterable<Buffer>;

/** @throws Refusal when it does not come whole, or has no room; the object is not there then, its row still is. */
async function storeAudio(
  { pool, store, log, limits }: UploadParts,
  place: RecordingPlace,
  type: AudioType,
  audio: Audio,
): Promise<Received> {
  const hash = createHash("sha256");
  const room = createRoom(pool, place, limits.projectBytesMax);
  let bytes = 0;
  async function* measured(): AsyncGenerator<Uint8Array> {
    for await (const chunk of audio) {
      bytes += chunk.byteLength;
      if (bytes > limits.bytesMax) throw tooLarge(limits.bytesMax);
      await room.reach(bytes);
      hash.update(chunk);
      yield chunk;
    }
  }
  const alive = setInterval(() => {
    uploadAlive(pool, place).catch((error: Error) =>
      log.warn({ event: "recording.upload_not_noted", reason: error.message }),
    );
  }, aliveEveryMs);
  try {
    await store.write(place.objectKey, measured(), type.contentType);
  } finally {
    clearInterval(alive);
  }
  const found = await store.find(place.objectKey);
  if (found?.bytes !== bytes) throw storeUnavailable("read what was just stored", new Error("other bytes"));
  const received = {
    objectKey: place.objectKey,
    contentType: type.contentType,
    bytes,
    sha256: hash.digest("hex"),
    seconds: null,
  };
  if (!(await uploadStored(pool, place, received))) {
    throw new Refusal("upload_broken", "The upload stood still for too long; send the audio again.");
  }
  return received;
}

async function undo({ pool, store, log }: UploadParts, place: RecordingPlace): Promise<void> {
  try {
    await store.remove(place.objectKey);
    await forgetRecording(pool, place);
  } catch (error) {
    // Its row stays, so the round of retention comes to it.
    log.warn({ event: "recording.left_over", ...place, reason: (error as Error).message });
  }
}

/** The first bytes, and all of them again. */
async function begin(body: AsyncGenerator<Buffer>): Promise<{ head: Buffer; audio: Audio }> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  while (bytes < sniffBytes) {
    const next = await body.next();
    if (next.done === true) break;
    chunks.push(next.value);
    bytes += next.value.length;
  }
  async function* all(): AsyncGenerator<Buffer> {
    yield* chunks.splice(0);
    yield* body;
  }
  return { head: Buffer.concat(chunks), audio: all() };
}

function notAudio(request: IncomingMessage, head: Buffer): Refusal {
  const given =
    head.length === 0
      ? "an empty body"
      : `bytes that begin with ${JSON.stringify(head.toString("latin1", 0, 12))}`;
  const declared = request.headers["content-type"];
  const type = declared === undefined ? "without a content-type" : `as ${JSON.stringify(declared)}`;
  return new Refusal(
    "not_audio",
    `Given ${given} ${type}; expected the audio itself, as it is, in Ogg (Opus, Vorbis, Speex, FLAC), MP3, WAV or WebM.`,
    { headers },
  );
}
