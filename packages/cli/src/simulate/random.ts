/**
 * Numbers that look random and repeat with their seed: mulberry32. Good enough to vary sessions, and of no use for
 * secrets.
 */
export class Draw {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** One of many independent draws under one seed, so that a session's plan does not depend on those before it. */
  static nth(seed: number, index: number): Draw {
    const draw = new Draw((seed ^ Math.imul(index + 1, 0x9e3779b1)) >>> 0);
    // Neighbouring seeds begin with similar numbers.
    draw.next();
    draw.next();
    return draw;
  }

  /** From 0 up to but not 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** True in this share of the draws. */
  chance(share: number): boolean {
    return this.next() < share;
  }

  /** From `low` up to but not `high`. */
  between(low: number, high: number): number {
    return low + this.next() * (high - low);
  }

  /** A whole number from `low` to `high`, both included. */
  whole(low: number, high: number): number {
    return Math.floor(this.between(low, high + 1));
  }

  /** One of the keys of a table of weights. */
  weighted<Key extends string>(weights: readonly (readonly [Key, number])[], otherwise: Key): Key {
    const total = weights.reduce((sum, [, weight]) => sum + weight, 0);
    let left = this.next() * total;
    for (const [key, weight] of weights) {
      left -= weight;
      if (left < 0) return key;
    }
    return otherwise;
  }
}
