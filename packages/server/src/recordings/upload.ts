import { createHash } from "node:crypto";
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
  readUse,
  takeRoom,
  uploadAlive,
  uploadStored,
} from "./table.ts";
import { readBody } from "./upload-body.ts";
import { bytesText, type UploadLimits } from "./upload-limits.ts";

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
/** So much of its project's room an upload takes at a time: each takes a statement. */
const roomStepBytes = 4 * 2 ** 20;

/** The rest of the body is still on its way: the connection cannot carry another request. */
const headers = { connection: "close" };

export function createUploads(parts: UploadParts): Uploads {
  const { pool, log, store, limits } = parts;
  const windowMs = parts.windowMs ?? standardWindowMs;
  const places = new Places(store.uploadsMax, limits.projectMax, limits.rate.most);
  const stopping = new AbortController();
  const running = new Set<Promise<unknown>>();
  let closed = false;

  const admitted = async <Result>(
    projectId: string,
    work: (place: Place) => Promise<Result>,
  ): Promise<Result> => {
    if (closed) {
      throw new Refusal("draining", "This process is shutting down; upload the audio again.", { headers });
    }
    const place = places.take(projectId);
    if (place === null) {
      throw new Refusal(
        "overloaded",
        `This process has no place for one more upload of this project: at most ${limits.projectMax} of a project are taken at a time (SENDOFF_PROJECT_UPLOADS_MAX), ${store.uploadsMax} of all, and fewer while few are free. Try again in a second.`,
        { headers },
      );
    }
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

  const undo = async (place: RecordingPlace): Promise<void> => {
    try {
      await store.remove(place.objectKey);
      await forgetRecording(pool, place);
    } catch (error) {
      // Its row stays, so the round of retention comes to it.
      log.warn({ event: "recording.left_over", ...place, reason: (error as Error).message });
    }
  };

  const storeAudio = async (place: RecordingPlace, type: AudioType, audio: Audio): Promise<Received> => {
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
  };

  /** What is known to have no room is refused before its bytes come. */
  const expectRoom = async (request: IncomingMessage, projectId: string): Promise<void> => {
    const bytes = Number(request.headers["content-length"] ?? 0);
    if (bytes > limits.bytesMax) throw tooLarge(limits.bytesMax);
    const used = await readUse(pool, projectId);
    if (used + bytes > limits.projectBytesMax) throw projectFull(used, limits.projectBytesMax);
    await store.expect(bytes);
  };

  return {
    receive: (request, projectId, sessionId, report) =>
      admitted(projectId, async (held) => {
        await expectRoom(request, projectId);
        const { head, audio } = await begin(bodyOf(request, held));
        const type = audioTypeOf(head);
        if (type === null) throw notAudio(request, head);
        const place = { projectId, sessionId, objectKey: newObjectKey(projectId, sessionId, type.extension) };
        await beginUpload(pool, place);
        let received: Received;
        try {
          received = await storeAudio(place, type, audio);
        } catch (error) {
          await undo(place);
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
          if (error instanceof Refusal && error.code !== "database_unavailable") await undo(place);
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

/** Room of a project for one upload as it grows. */
function createRoom(
  pool: pg.Pool,
  place: RecordingPlace,
  projectBytesMax: number,
): { reach(bytes: number): Promise<void> } {
  let taken = 0;
  return {
    async reach(bytes) {
      if (bytes <= taken) return;
      // Near the end of the room no whole step may be left, but what is needed.
      for (const more of [Math.max(roomStepBytes, bytes - taken), bytes - taken]) {
        if (await takeRoom(pool, place, more, projectBytesMax)) {
          taken += more;
          return;
        }
      }
      throw projectFull(await readUse(pool, place.projectId), projectBytesMax);
    },
  };
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

const tooLarge = (bytesMax: number): Refusal =>
  new Refusal(
    "body_too_large",
    `The audio has more than ${bytesText(bytesMax)} (SENDOFF_UPLOAD_BYTES_MAX); nothing was kept of it. Send it compressed.`,
    { headers },
  );

const projectFull = (used: number, bytesMax: number): Refusal =>
  new Refusal(
    "storage_full",
    `The recordings of this project hold ${bytesText(used)} of the ${bytesText(bytesMax)} that they may (SENDOFF_PROJECT_RECORDINGS_MAX), with those under way; nothing was kept of this upload. Erase sessions or raise the limit, then send it again.`,
    { headers },
  );
