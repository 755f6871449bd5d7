/** Nanoseconds in a millisecond: moments are monotonic nanoseconds, durations that are printed are milliseconds. */
export const msNs = 1e6;

/**
 * Now, in nanoseconds of CLOCK_MONOTONIC, which on Linux is one clock for all processes of the machine: a moment noted in
 * the sink can be compared with one noted here. A double holds it exactly for 104 days after boot.
 */
export function nowNs(): number {
  return Number(process.hrtime.bigint());
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Waits until something is so.
 *
 * @throws Error when it is not so within the limit.
 */
export async function until(
  what: string,
  limitMs: number,
  isSo: () => boolean | Promise<boolean>,
): Promise<void> {
  const end = nowNs() + limitMs * msNs;
  while (!(await isSo())) {
    if (nowNs() > end) throw new Error(`Waited ${limitMs / 1_000} s in vain until ${what}.`);
    await sleep(25);
  }
}
