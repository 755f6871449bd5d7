import type { Tick } from "../history.ts";
import { msNs, tickMs } from "../monotonic.ts";

/** Time as a busy machine passes it: a second is over when the rig's own timer has fired as often as in a second. */
export class Patience {
  readonly #ticks: readonly Tick[];

  constructor(ticks: readonly Tick[]) {
    this.#ticks = ticks;
  }

  /** The moment so long after another, and later by as much as the machine was late. */
  after(fromNs: number, lengthNs: number): number {
    const first = this.#firstAfter(fromNs);
    const last = this.#ticks[first + Math.ceil(lengthNs / (tickMs * msNs)) - 1];
    return Math.max(fromNs + lengthNs, last?.ns ?? 0);
  }

  /** The moment so long before another, and earlier by as much as the machine was late. */
  before(toNs: number, lengthNs: number): number {
    const next = this.#firstAfter(toNs);
    const first = this.#ticks[next - Math.ceil(lengthNs / (tickMs * msNs))];
    return Math.min(toNs - lengthNs, first?.ns ?? Number.POSITIVE_INFINITY);
  }

  /** How long a span was, shorter by as much as the machine was late. */
  elapsed(fromNs: number, toNs: number): number {
    const fired = (this.#firstAfter(toNs) - this.#firstAfter(fromNs)) * tickMs * msNs;
    // The first and the last part of it are between two of them.
    return this.#ticks.length === 0 ? toNs - fromNs : Math.min(toNs - fromNs, fired + tickMs * msNs);
  }

  #firstAfter(ns: number): number {
    let low = 0;
    let high = this.#ticks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#ticks[middle]?.ns ?? 0) <= ns) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
