/**
 * A session's time from left to right. Its moments lie milliseconds, minutes or hours apart, so the axis is not linear:
 * between two neighbouring moments there is room by the logarithm of the time between them. Order is exact, nothing
 * that happened one after the other falls together, and a longer wait is always wider than a shorter one.
 */
export interface Axis {
  /** Where a moment (ms since 1970) stands: 0 to 1. */
  readonly at: (moment: number) => number;
  readonly stops: readonly Stop[];
  /** Long stretches in which nothing was under way. */
  readonly breaks: readonly Break[];
  /** How many stretches there are; each needs some room to be seen. */
  readonly stretches: number;
}

/** A moment with a label. */
interface Stop {
  readonly moment: number;
  readonly at: number;
  /** Time since the first moment, or since the stop that `follows`. */
  readonly sinceMs: number;
  /** It begins a burst: after a break, or first of all. */
  readonly begins: boolean;
}

interface Break {
  readonly from: number;
  readonly to: number;
  readonly lengthMs: number;
}

interface Busy {
  readonly from: number;
  readonly to: number;
}

/** From this length on a stretch in which nothing was under way is a break. */
const breakMs = 1_000;
/** What every stretch has, so that moments right after each other can be told apart. */
const leastWeight = 0.45;
/** A break is told by its words; its width need not grow with its length as that of other stretches. */
const breakWeight = (ms: number): number => 2.2 + 0.5 * Math.log10(ms / breakMs);
const weight = (ms: number): number => leastWeight + Math.log10(1 + ms);

/**
 * @param moments ms since 1970, in any order; not none.
 * @param busy stretches in which an attempt was under way: no break goes through one.
 */
export function axisOf(moments: readonly number[], busy: readonly Busy[]): Axis {
  const sorted = [...new Set(moments)].sort((one, other) => one - other);
  const [first = 0] = sorted;
  const stretches = sorted.slice(1).map((to, index) => {
    const from = sorted[index] ?? first;
    const lengthMs = to - from;
    const isBreak = lengthMs >= breakMs && !busy.some((span) => span.from < to && span.to > from);
    return { from, to, lengthMs, isBreak, weight: isBreak ? breakWeight(lengthMs) : weight(lengthMs) };
  });
  const total = stretches.reduce((sum, stretch) => sum + stretch.weight, 0);
  const places = new Map<number, number>([[first, 0]]);
  let reached = 0;
  for (const { to, weight: own } of stretches) {
    reached += own;
    places.set(to, total === 0 ? 0 : reached / total);
  }
  const at = (moment: number): number => {
    const known = places.get(moment);
    if (known !== undefined) return known;
    const stretch = stretches.find(({ from, to }) => from <= moment && moment <= to);
    if (stretch === undefined) return moment < first ? 0 : 1;
    const [left, right] = [places.get(stretch.from) ?? 0, places.get(stretch.to) ?? 1];
    return left + ((moment - stretch.from) / stretch.lengthMs) * (right - left);
  };
  let burst = first;
  const stops = sorted.map((moment, index): Stop => {
    const begins = index === 0 || (stretches[index - 1]?.isBreak ?? false);
    if (begins) burst = moment;
    return { moment, at: at(moment), sinceMs: begins ? moment - first : moment - burst, begins };
  });
  return {
    at,
    stops,
    breaks: stretches
      .filter(({ isBreak }) => isBreak)
      .map(({ from, to, lengthMs }) => ({ from: at(from), to: at(to), lengthMs })),
    stretches: stretches.length,
  };
}

/** The stops that have room for their labels, `labelShare` of the width each; the beginnings of bursts go first. */
export function labelled(stops: readonly Stop[], labelShare: number): Stop[] {
  const taken: Stop[] = [];
  for (const begins of [true, false]) {
    for (const stop of stops.filter((one) => one.begins === begins)) {
      if (taken.every((other) => Math.abs(other.at - stop.at) >= labelShare)) taken.push(stop);
    }
  }
  return taken.sort((one, other) => one.at - other.at);
}
