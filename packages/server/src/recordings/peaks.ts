import { text } from "node:stream/consumers";
import { RecordingPeaks } from "@sendoff/contract";
import { peaksKeyOf } from "./keys.ts";
import type { RecordingStore } from "./store.ts";

/** Most parts that a waveform is told in. There are at least half as many, if there are so many samples. */
const partsMax = 2_000;

/** Largest amplitudes of equal parts of audio whose length nobody knows before its end, in memory that does not grow. */
export class Waveform {
  #channels: number[][] = [];
  #samplesPerPart = 1;
  /** Samples of the last part so far. */
  #begun = 0;
  #samples = 0;

  /** @param channels as many samples of each, from -1 to 1. Only the first two count. */
  add(channels: readonly Float32Array[]): void {
    const [first] = channels;
    if (first === undefined || first.length === 0) return;
    if (this.#channels.length === 0) this.#channels = channels.slice(0, 2).map(() => []);
    this.#samples += first.length;
    for (let from = 0; from < first.length; ) {
      const to = Math.min(first.length, from + this.#samplesPerPart - this.#begun);
      for (const [index, parts] of this.#channels.entries()) {
        const largest = largestOf(channels[index] ?? first, from, to);
        if (this.#begun === 0) parts.push(largest);
        else parts[parts.length - 1] = Math.max(parts[parts.length - 1] ?? 0, largest);
      }
      this.#begun = (this.#begun + to - from) % this.#samplesPerPart;
      from = to;
      if (this.#begun === 0 && this.#channels[0]?.length === partsMax) this.#halve();
    }
  }

  /** How many samples of each channel there were. */
  get samples(): number {
    return this.#samples;
  }

  /** One array for each channel. Two that are alike are one: decoders make two of mono. */
  channels(): number[][] {
    const [left, right] = this.#channels.map((parts) =>
      parts.map((part) => Math.round(Math.min(1, part) * 1_000) / 1_000),
    );
    if (left === undefined) return [];
    return right === undefined || right.every((part, at) => part === left[at]) ? [left] : [left, right];
  }

  /** Two parts become one. */
  #halve(): void {
    this.#samplesPerPart *= 2;
    this.#channels = this.#channels.map((parts) =>
      Array.from({ length: parts.length / 2 }, (_, at) =>
        Math.max(parts[2 * at] as number, parts[2 * at + 1] as number),
      ),
    );
  }
}

function largestOf(samples: Float32Array, from: number, to: number): number {
  let largest = 0;
  for (let at = from; at < to; at++) {
    const amplitude = Math.abs(samples[at] as number);
    // False for what is not a number, too.
    if (amplitude > largest) largest = amplitude;
  }
  return largest;
}

/** Stores a waveform beside its audio. */
export async function writePeaks(
  store: RecordingStore,
  objectKey: string,
  peaks: RecordingPeaks,
): Promise<void> {
  async function* content(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(JSON.stringify(peaks));
  }
  await store.write(peaksKeyOf(objectKey), content(), "application/json");
}

/** The waveform of an object; null when there is none. */
export async function readPeaks(store: RecordingStore, objectKey: string): Promise<RecordingPeaks | null> {
  const key = peaksKeyOf(objectKey);
  if ((await store.find(key)) === null) return null;
  const parsed = RecordingPeaks.safeParse(JSON.parse(await text(await store.read(key))));
  return parsed.success ? parsed.data : null;
}
