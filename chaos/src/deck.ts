import { type MoveName, moveNames } from "./history.ts";
import type { Random } from "./random.ts";

/** A move that is to be made, and for how long. */
export interface Card {
  readonly name: MoveName;
  readonly ms: number;
}

type Range = readonly [minMs: number, maxMs: number];

/** How long a move lasts at least and at most. Of a promotion: until the standby is promoted. */
const ranges = (leaseMs: number): Readonly<Record<MoveName, Range>> => ({
  outage: [leaseMs + 500, leaseMs + 4_000],
  hang: [leaseMs + 500, leaseMs + 3_000],
  promotion: [0, 2_000],
  "read-only": [2_500, 6_000],
  lock: [2_000, 20_000],
  "full-disk": [3_000, 7_000],
  "no-connections": [2_500, 6_000],
});

/** How long it must last to be worth anything. */
export const shortestMs = ({ name }: Card, leaseMs: number): number => ranges(leaseMs)[name][0];

/** Beside the outages that are a little longer than a lease: one that is shorter, and one that is much longer. */
const shortOutageMs = 5_000;
const longOutage: Range = [12_000, 40_000];
const outages = 7;

/** Every other move once, and those once more that break most. */
const others: readonly MoveName[] = [
  ...moveNames.filter((name) => name !== "outage"),
  "promotion",
  "read-only",
  "lock",
];

/**
 * The moves of a run, by seed, one after the other: those that are named, once each, or without names one shuffled deck
 * after the other. Outages are every other move, so that a short run has some, too.
 */
export function* deal(
  random: Random,
  leaseMs: number,
  names: readonly MoveName[] | null,
): Generator<Card, void> {
  const draw = (name: MoveName): Card => ({ name, ms: length(random, name, ranges(leaseMs)[name]) });
  if (names !== null) {
    yield* names.map(draw);
    return;
  }
  for (;;) {
    const away = shuffled(random, [
      ...Array.from({ length: outages - 1 }, () => draw("outage")),
      { name: "outage" as const, ms: random.int(...longOutage) },
      { name: "outage" as const, ms: random.int(shortOutageMs, leaseMs) },
    ]);
    const rest = shuffled(random, others).map(draw);
    while (away.length + rest.length > 0)
      yield* [away.pop(), rest.pop()].filter((card) => card !== undefined);
  }
}

/** Locks are mostly short, as a migration's, and some are long. */
function length(random: Random, name: MoveName, [minMs, maxMs]: Range): number {
  if (name !== "lock") return random.int(minMs, maxMs);
  return Math.round(minMs + (maxMs - minMs) * random.next() ** 3);
}

function shuffled<Item>(random: Random, items: readonly Item[]): Item[] {
  return items
    .map((item) => ({ item, at: random.next() }))
    .sort((one, other) => one.at - other.at)
    .map(({ item }) => item);
}
