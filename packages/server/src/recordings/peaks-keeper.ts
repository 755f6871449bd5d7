import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import type { Logger } from "../log.ts";
import { createDecoder } from "./decode.ts";
import type { Decoder } from "./decoder.ts";
import { peaksKeyOf } from "./keys.ts";
import { createMeter } from "./meter.ts";
import { Waveform, writePeaks } from "./peaks.ts";
import type { RecordingStore } from "./store.ts";
import {
  claimPeaks,
  type KeptRecording,
  peaksLeaseMs,
  peaksSettled,
  releasePeaks,
  sameAudio,
} from "./table.ts";

/** Computes the waveforms of recordings, one after another, in the background. */
export interface PeaksKeeper {
  /** A recording has come; else they are looked for every few seconds. */
  wake(): void;
  /** Ends what is under way: another process, or this one later, does it again. */
  stop(): Promise<void>;
}

export interface PeaksParts {
  readonly pool: pg.Pool;
  readonly log: Logger;
  readonly store: RecordingStore;
}

const lookMs = 2_000;
/** Audio that is longer has no waveform: nobody sees anything in it. */
const secondsMax = 6 * 3_600;
/** Well within the lease, so that no other process begins the same one meanwhile. */
const timeMaxMs = peaksLeaseMs * 0.8;
/** For each moment of work so much of rest. */
const restShare = 1;
/** Decoded at a time. Of Opus at 24 kbit/s that is 5 s, which are 4 MB of samples. */
const pieceBytes = 16 * 1_024;

export function keepPeaks(parts: PeaksParts): PeaksKeeper {
  const { log } = parts;
  const stopping = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | null = null;
  let again = false;

  const work = async (): Promise<void> => {
    do {
      again = false;
      while (!stopping.signal.aborted && (await makeNext(parts, stopping.signal)));
    } while (again && !stopping.signal.aborted);
  };
  const look = (): void => {
    clearTimeout(timer);
    running ??= work()
      .catch((error: Error) => log.warn({ event: "recordings.peaks_failed", reason: error.message }))
      .finally(() => {
        running = null;
        if (!stopping.signal.aborted) timer = setTimeout(look, lookMs);
      });
  };
  look();

  return {
    wake() {
      again = true;
      if (!stopping.signal.aborted) look();
    },
    async stop() {
      stopping.abort();
      clearTimeout(timer);
      await running;
    },
  };
}

/** @returns whether there was one. */
async function makeNext(parts: PeaksParts, stop: AbortSignal): Promise<boolean> {
  const { pool, log, store } = parts;
  const recording = await claimPeaks(pool);
  if (recording === null) return false;
  if (recording.peaks === "none") return true;
  const begunMs = performance.now();
  const same = await sameAudio(pool, recording);
  // What cannot be read now is tried again when the lease is over.
  const found = same ?? (await examine(store, recording, stop));
  if (found === null) {
    await releasePeaks(pool, recording);
    return true;
  }
  const peaks = found.peaks === "made" ? "made" : "none";
  const kept = await peaksSettled(pool, recording, { ...found, peaks });
  // Erased meanwhile: its erasing may have been over before the waveform was written.
  if (!kept && peaks === "made") await store.remove(peaksKeyOf(recording.objectKey));
  log.info({
    event: "recording.examined",
    projectId: recording.projectId,
    sessionId: recording.sessionId,
    peaks,
    seconds: found.seconds,
    durationMs: performance.now() - begunMs,
  });
  return true;
}

interface Examined {
  readonly peaks: "made" | "none";
  readonly sha256: string | null;
  readonly seconds: number | null;
}

/** Reads all of a recording once: for its hash, its length and its waveform. null: it was stopped. */
async function examine(
  store: RecordingStore,
  recording: KeptRecording,
  stop: AbortSignal,
): Promise<Examined | null> {
  const { objectKey, contentType } = recording;
  if ((await store.find(objectKey)) === null) return { peaks: "none", sha256: null, seconds: null };
  const hash = createHash("sha256");
  const meter = createMeter(contentType ?? "");
  const drawing = new Drawing(await createDecoder(contentType ?? ""));
  const endMs = performance.now() + timeMaxMs;
  const stream = await store.read(objectKey);
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (stop.aborted) return null;
      if (performance.now() > endMs) return { peaks: "none", sha256: null, seconds: null };
      const fromMs = performance.now();
      hash.update(chunk);
      meter.add(chunk);
      await drawing.add(chunk);
      // Deliveries are made by the same process: it has its time first.
      await sleep((performance.now() - fromMs) * restShare);
    }
    const peaks = await drawing.end();
    const seconds = meter.seconds() ?? peaks?.seconds ?? null;
    if (peaks !== null) await writePeaks(store, objectKey, { ...peaks, seconds: seconds ?? peaks.seconds });
    return { peaks: peaks === null ? "none" : "made", sha256: hash.digest("hex"), seconds };
  } finally {
    stream.destroy();
    await drawing.free();
  }
}

/** A waveform as it is drawn. What cannot be decoded has none, which is no failure: strangers made the bytes. */
class Drawing {
  readonly #waveform = new Waveform();
  readonly #decoder: Decoder | null;
  #samplesPerSecond = 0;
  #over = false;

  constructor(decoder: Decoder | null) {
    this.#decoder = decoder;
    this.#over = decoder === null;
  }

  async add(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length && !this.#over; at += pieceBytes) {
      await this.#decode(chunk.subarray(at, at + pieceBytes));
    }
  }

  async end(): Promise<{ seconds: number; channels: number[][] } | null> {
    if (this.#over || this.#waveform.samples === 0) return null;
    const seconds = Math.round((this.#waveform.samples / this.#samplesPerSecond) * 1_000) / 1_000;
    return { seconds, channels: this.#waveform.channels() };
  }

  async free(): Promise<void> {
    await this.#decoder?.free();
  }

  async #decode(piece: Buffer): Promise<void> {
    try {
      // A copy: a thread takes over what it is given.
      const decoded = (await this.#decoder?.decode(Uint8Array.from(piece))) ?? null;
      if (decoded === null) return;
      this.#samplesPerSecond = decoded.samplesPerSecond;
      this.#waveform.add(decoded.channels);
      if (this.#waveform.samples > secondsMax * decoded.samplesPerSecond) this.#over = true;
    } catch {
      this.#over = true;
    }
  }
}
