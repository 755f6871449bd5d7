/**
 * Durations are counted in classes, each a fifth longer than the one before: 57 of them reach from a millisecond to 30 s, and
 * a percentile that is read from them is off by a tenth at most.
 */
const growth = 1.2;

/** The class of a duration in milliseconds, as SQL. A logarithm of PostgreSQL's numeric takes a hundred times as long. */
export const durationClassSql = (ms: string): string =>
  `ceil(ln(greatest(${ms}, 1)::float8) / ${Math.log(growth)})::int`;

/** How often each class came. */
export type Durations = Map<number, number>;

/** A percentile in milliseconds, or null when nothing was counted. */
export function percentile(durations: Durations, share: number): number | null {
  const classes = [...durations].sort(([left], [right]) => left - right);
  const total = classes.reduce((sum, [, count]) => sum + count, 0);
  let left = total * share;
  for (const [index, count] of classes) {
    left -= count;
    if (left <= 0 && count > 0) return middle(index);
  }
  return null;
}

/** The middle of a class: of the first one a millisecond. */
const middle = (index: number): number => (index === 0 ? 1 : Math.round(growth ** (index - 0.5) * 100) / 100);
