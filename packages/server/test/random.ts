/** A whole number from 0 to below a bound. */
export type Random = (below: number) => number;

/** Numbers from a seed (mulberry32): the same seed gives the same ones. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000) * below);
  };
}

/** One of some things. */
export function pick<Item>(random: Random, items: readonly Item[]): Item {
  const item = items[random(items.length)];
  if (item === undefined) throw new Error("nothing to pick from");
  return item;
}

/** How many random inputs a test tries; TEST_FUZZ_RUNS changes it for a quick run. */
export const fuzzRuns = Number(process.env.TEST_FUZZ_RUNS ?? 100_000);
