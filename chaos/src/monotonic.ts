/** Nanoseconds per millisecond and per second: every moment of the rig's logs is in monotonic nanoseconds. */
export const msNs = 1e6;
export const secondNs = 1e9;

/**
 * Now, in nanoseconds of CLOCK_MONOTONIC, which on Linux is one clock for all processes of the machine: that is what
 * makes the logs of driver, sink and nemesis comparable. A double holds it exactly for 104 days after boot.
 */
export function nowNs(): number {
  return Number(process.hrtime.bigint());
}

/** How often the rig's own timer fires, by which the checker sees how late everything is on this machine. */
export const tickMs = 50;

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until something is so; answers whether it became so within the limit. */
export async function becomes(isSo: () => boolean | Promise<boolean>, limitMs: number): Promise<boolean> {
  const end = nowNs() + limitMs * msNs;
  while (!(await isSo())) {
    if (nowNs() > end) return false;
    await sleep(25);
  }
  return true;
}
