import type pg from "pg";
import type { Logger } from "../log.ts";
import type { Findings } from "./examination.ts";
import { createExaminer, type Examiner, HarmfulAudio } from "./examiner.ts";
import { peaksKeyOf } from "./keys.ts";
import { writePeaks } from "./peaks.ts";
import {
  claimPeaks,
  peaksLeaseMs,
  peaksSettled,
  releasePeaks,
  renewPeaks,
  sameAudio,
} from "./peaks-table.ts";
import type { RecordingStore } from "./store.ts";
import type { KeptRecording } from "./table.ts";

/** Reads recordings in the background for their hash, length and waveform. */
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
/** Recordings at a time, each of another project. They share one thread. */
const lanesMax = 4;
/** Audio that takes longer has no waveform. Six hours of MP3 take some minutes, and up to four share the thread. */
const timeMaxMs = 30 * 60_000;

export function keepPeaks(parts: PeaksParts): PeaksKeeper {
  const { log } = parts;
  const stopping = new AbortController();
  const examiner = createExaminer();
  const lanes = new Set<Promise<void>>();
  const busy = new Set<string>();
  let last: string | null = null;
  let timer: NodeJS.Timeout | undefined;

  /** Claims are made one after another: else two lanes could take the same project. */
  let claiming: Promise<unknown> = Promise.resolve();
  const claim = (): Promise<KeptRecording | null> => {
    const next = claiming.then(async () => {
      const recording = await claimPeaks(parts.pool, last, busy);
      last = recording?.projectId ?? null;
      if (recording !== null) busy.add(recording.projectId);
      return recording;
    });
    claiming = next.catch(() => {});
    return next;
  };
  const lane = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const recording = await claim();
      if (recording === null) return;
      beginLane();
      try {
        await settle(parts, examiner, recording, stopping.signal);
      } finally {
        busy.delete(recording.projectId);
      }
    }
  };
  const beginLane = (): void => {
    if (stopping.signal.aborted || lanes.size >= lanesMax) return;
    const running = lane()
      .catch((error: Error) => log.warn({ event: "recordings.peaks_failed", reason: error.message }))
      .finally(async () => {
        lanes.delete(running);
        if (lanes.size === 0) await examiner.rest();
      });
    lanes.add(running);
  };
  const look = (): void => {
    clearTimeout(timer);
    beginLane();
    if (!stopping.signal.aborted) timer = setTimeout(look, lookMs);
  };
  look();

  return {
    wake: look,
    async stop() {
      stopping.abort();
      clearTimeout(timer);
      await Promise.all(lanes);
      await examiner.rest();
    },
  };
}

interface Examined {
  readonly peaks: "made" | "none";
  readonly sha256: string | null;
  readonly seconds: number | null;
}

async function settle(
  parts: PeaksParts,
  examiner: Examiner,
  recording: KeptRecording,
  stop: AbortSignal,
): Promise<void> {
  const { pool, log, store } = parts;
  if (recording.peaks === "none") return;
  const begunMs = performance.now();
  const same = await sameAudio(pool, recording);
  // What cannot be read now is tried again when the lease is over.
  const found = same ?? (await examine(parts, examiner, recording, stop));
  if (found === null) return releasePeaks(pool, recording);
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
}

const unknown: Examined = { peaks: "none", sha256: null, seconds: null };

/** @returns null: it was stopped. */
async function examine(
  { pool, log, store }: PeaksParts,
  examiner: Examiner,
  recording: KeptRecording,
  stop: AbortSignal,
): Promise<Examined | null> {
  const { objectKey, contentType, projectId, sessionId } = recording;
  if ((await store.find(objectKey)) === null) return unknown;
  const tooLong = AbortSignal.timeout(timeMaxMs);
  const stream = await store.read(objectKey);
  const renewing = setInterval(() => {
    renewPeaks(pool, recording).catch((error: Error) =>
      log.warn({ event: "recordings.peaks_failed", reason: error.message }),
    );
  }, peaksLeaseMs / 5);
  let findings: Findings | null;
  try {
    findings = await examiner.examine(contentType ?? "", stream, AbortSignal.any([stop, tooLong]));
  } catch (error) {
    if (!(error instanceof HarmfulAudio)) throw error;
    log.warn({ event: "recording.not_examined", projectId, sessionId, reason: error.message });
    return unknown;
  } finally {
    clearInterval(renewing);
    stream.destroy();
  }
  if (findings === null) return tooLong.aborted && !stop.aborted ? unknown : null;
  const { sha256, seconds, peaks } = findings;
  if (peaks !== null) await writePeaks(store, objectKey, peaks);
  return { peaks: peaks === null ? "none" : "made", sha256, seconds };
}
