import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type pg from "pg";
import type { Logger } from "../log.ts";
import { Refusal } from "../refusal.ts";
import { newObjectKey } from "./keys.ts";
import { createMeter } from "./meter.ts";
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

/** What was received. */
interface Received extends AudioFacts {
  readonly objectKey: string;
  readonly sha256: string;
}

/** Takes the audio of calls as it comes in. Never is more of it in memory than the store's own buffers. */
export interface Uploads {
  /**
   * Streams the body of a request into the store, and then reports it. When the report is refused the object goes again.
   *
   * @param report commits the session's report with the object's key.
   * @throws Refusal not_audio, upload_broken, upload_stalled, overloaded, recording_store_unavailable, or of the report.
   */
  receive<Answer>(
    request: IncomingMessage,
    projectId: string,
    sessionId: string,
    report: (objectKey: string) => Promise<Answer>,
  ): Promise<{ readonly answer: Answer; readonly received: Received }>;
  /** Reads a body for its hash alone: the same audio again is no other one. */
  digest(request: IncomingMessage): Promise<{ readonly bytes: number; readonly sha256: string }>;
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
  /** Told when a recording is kept: its peaks are due. */
  readonly onKept: () => void;
  /** How long no byte may come. Default 30 s. */
  readonly idleMs?: number;
}

const standardIdleMs = 30_000;
const standardGraceMs = 3_000;
/** How often an upload says that it is alive; well below table.ts, deadUploadMs. */
const aliveEveryMs = 30_000;

/** The rest of the body is still on its way: the connection cannot carry another request. */
const headers = { connection: "close" };

export function createUploads(parts: UploadParts): Uploads {
  const { pool, log, store } = parts;
  const idleMs = parts.idleMs ?? standardIdleMs;
  const stopping = new AbortController();
  const running = new Set<Promise<unknown>>();
  let closed = false;

  const admitted = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    if (closed) {
      throw new Refusal("draining", "This process is shutting down; upload the audio again.", { headers });
    }
    if (running.size >= store.uploadsMax) {
      throw new Refusal(
        "overloaded",
        `${store.uploadsMax} uploads are under way in this process already; try again in a second.`,
        { headers },
      );
    }
    const one = work();
    const ended = one.catch(() => {});
    running.add(ended);
    try {
      return await one;
    } finally {
      running.delete(ended);
    }
  };

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
    const meter = createMeter(type.contentType);
    let bytes = 0;
    async function* measured(): AsyncGenerator<Uint8Array> {
      for await (const chunk of audio) {
        hash.update(chunk);
        meter.add(chunk);
        bytes += chunk.byteLength;
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
      seconds: meter.seconds(),
    };
    if (!(await uploadStored(pool, place, received))) {
      throw new Refusal("upload_broken", "The upload stood still for too long; send the audio again.");
    }
    return received;
  };

  return {
    receive: (request, projectId, sessionId, report) =>
      admitted(async () => {
        const { head, audio } = await begin(bodyOf(request, idleMs, stopping.signal));
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
    digest: (request) =>
      admitted(async () => {
        const hash = createHash("sha256");
        let bytes = 0;
        for await (const chunk of bodyOf(request, idleMs, stopping.signal)) {
          hash.update(chunk);
          bytes += chunk.byteLength;
        }
        return { bytes, sha256: hash.digest("hex") };
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

/** The bytes of a request as they come. @throws Refusal when they stop coming before the end. */
async function* bodyOf(request: IncomingMessage, idleMs: number, stop: AbortSignal): AsyncGenerator<Buffer> {
  // A destroyed request could not be answered.
  const chunks = request.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  let bytes = 0;
  for (;;) {
    const next = await nextOf(chunks, idleMs, stop, () => bytes);
    if (next.done === true) return;
    bytes += next.value.length;
    yield next.value;
  }
}

async function nextOf(
  chunks: AsyncIterator<Buffer>,
  idleMs: number,
  stop: AbortSignal,
  bytes: () => number,
): Promise<IteratorResult<Buffer>> {
  let timer: NodeJS.Timeout | undefined;
  let onStop: (() => void) | undefined;
  const broken = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(stalled(idleMs, bytes())), idleMs);
    onStop = () =>
      reject(new Refusal("draining", "This process is shutting down; upload the audio again.", { headers }));
    if (stop.aborted) onStop();
    else stop.addEventListener("abort", onStop, { once: true });
  });
  try {
    return await Promise.race([chunks.next(), broken]);
  } catch (error) {
    if (error instanceof Refusal) throw error;
    // The sender went away: the answer reaches nobody, and it is no failure of ours to log.
    throw new Refusal("upload_broken", `The upload broke off after ${bytes()} bytes; send the audio again.`, {
      headers,
    });
  } finally {
    clearTimeout(timer);
    if (onStop !== undefined) stop.removeEventListener("abort", onStop);
  }
}

const stalled = (idleMs: number, bytes: number): Refusal =>
  new Refusal(
    "upload_stalled",
    `No byte came for ${idleMs / 1_000} s after ${bytes} bytes; nothing was kept. Send the audio again, without such pauses.`,
    { headers },
  );

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
