import { createHash } from "node:crypto";

/** A source of random numbers that a seed determines: the same seed makes the same plans and the same faults. */
export interface Random {
  /** From 0 up to, but not including, 1. */
  next(): number;
  /** A whole number of the range, both ends included. */
  int(min: number, max: number): number;
  chance(probability: number): boolean;
  pick<Item>(items: readonly Item[]): Item;
  /** Picks by weight. */
  weighted<Item>(items: ReadonlyArray<readonly [item: Item, weight: number]>): Item;
  /** Another source, which how much was taken from this one does not influence. */
  fork(name: string): Random;
}

/** 32 bits that a text determines. */
function hash32(text: string): number {
  return createHash("sha256").update(text).digest().readUInt32LE(0);
}

export function createRandom(seed: string): Random {
  let state = hash32(seed);
  // mulberry32: short, and good enough to choose victims.
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const pick = <Item>(items: readonly Item[]): Item => {
    if (items.length === 0) throw new RangeError("nothing to pick from");
    return items[Math.floor(next() * items.length)] as Item;
  };
  return {
    next,
    int: (min, max) => min + Math.floor(next() * (max - min + 1)),
    chance: (probability) => next() < probability,
    pick,
    weighted(items) {
      let rest = next() * items.reduce((sum, [, weight]) => sum + weight, 0);
      for (const [item, weight] of items) {
        rest -= weight;
        if (rest < 0) return item;
      }
      return pick(items)[0];
    },
    fork: (name) => createRandom(`${seed}/${name}`),
  };
}
