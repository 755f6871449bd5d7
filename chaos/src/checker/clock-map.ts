import type { ClockSample } from "../history.ts";
import { msNs } from "../monotonic.ts";

/** How far a clock may wander from a sample, per unit of time: NTP slews by at most 500 in a million. */
const drift = 500e-6;

/** Translates the database's wall clock into monotonic nanoseconds, by the samples that were taken during the run. */
export class ClockMap {
  readonly #samples: readonly ClockSample[];

  constructor(samples: readonly ClockSample[]) {
    if (samples.length === 0) throw new Error("a run without a look at the database's clock decides nothing");
    this.#samples = samples;
  }

  /** The moment, and by how much it may be wrong. */
  at(databaseMs: number): { ns: number; errorNs: number } {
    let best = { ns: 0, errorNs: Number.POSITIVE_INFINITY };
    for (const { beforeNs, afterNs, databaseMs: sampleMs } of this.#nearest(databaseMs)) {
      const awayNs = (databaseMs - sampleMs) * msNs;
      const errorNs = (afterNs - beforeNs) / 2 + Math.abs(awayNs) * drift;
      if (errorNs < best.errorNs) best = { ns: (beforeNs + afterNs) / 2 + awayNs, errorNs };
    }
    return best;
  }

  ns(databaseMs: number): number {
    return this.at(databaseMs).ns;
  }

  #nearest(databaseMs: number): readonly ClockSample[] {
    const samples = this.#samples;
    let low = 0;
    let high = samples.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((samples[middle]?.databaseMs ?? 0) < databaseMs) low = middle + 1;
      else high = middle;
    }
    return samples.slice(Math.max(0, low - 4), low + 4);
  }
}
