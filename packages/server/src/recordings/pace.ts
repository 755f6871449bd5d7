/**
 * How fast an upload comes, as far as it is its sender who makes us wait: what our store takes of time is not counted.
 * Over each window of such waiting a least rate holds, so that neither pauses nor single bytes keep a place.
 */
export class Pace {
  readonly #windowMs: number;
  readonly #bytesMin: number;
  #waitedMs = 0;
  #bytes = 0;

  /** @param rateMin bytes a second. */
  constructor(windowMs: number, rateMin: number) {
    this.#windowMs = windowMs;
    this.#bytesMin = (windowMs / 1_000) * rateMin;
  }

  /** How much longer the sender may be waited for before {@link over} is asked. */
  get leftMs(): number {
    return Math.max(0, this.#windowMs - this.#waitedMs);
  }

  /** Whether a window has ended with too few bytes. One that has ended with enough is followed by the next. */
  over(): boolean {
    if (this.leftMs > 0) return false;
    if (this.#bytes < this.#bytesMin) return true;
    this.#waitedMs = 0;
    this.#bytes = 0;
    return false;
  }

  waited(ms: number): void {
    this.#waitedMs += ms;
  }

  came(bytes: number): void {
    this.#bytes += bytes;
  }
}
