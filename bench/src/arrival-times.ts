import type { Project } from "./endpoints.ts";
import { type Emitted, type Load, type LoadOptions, runLoad } from "./load.ts";
import type { Stage } from "./stage.ts";
import { msNs, nowNs, sleep } from "./time.ts";

/** What a phase of load showed. */
export interface Phase {
  readonly load: Load;
  /** From sending the report to the first byte of its event at the sink, in milliseconds. */
  readonly latenciesMs: readonly number[];
  /** Events that had not arrived when the wait for them ended. */
  readonly missing: number;
}

/** How long after the load the last events may arrive. */
const lastArrivalMs = 15_000;

/**
 * Runs a load and waits for what it emitted. Measured are the events that owe nothing to an earlier one, that is all but
 * session.finalized, which waits for the sink's answer to the one before it.
 *
 * @param measured the projects whose events count.
 */
export async function measureArrivals(
  stage: Stage,
  options: LoadOptions,
  measured: ReadonlySet<Project>,
): Promise<Phase> {
  await stage.sink.take();
  const load = await runLoad(stage, options);
  const counted = load.emitted.filter(
    ({ project, event }) => measured.has(project) && event !== "session.finalized",
  );
  const arrivedNs = new Map<string, number>();
  const end = nowNs() + lastArrivalMs * msNs;
  const isMissing = ({ key }: Emitted): boolean => !arrivedNs.has(key);
  for (;;) {
    const { keys, atNs } = await stage.sink.take();
    // The first arrival counts: after a crash there can be two.
    for (const [index, key] of keys.entries()) {
      if (!arrivedNs.has(key)) arrivedNs.set(key, atNs[index] ?? Number.NaN);
    }
    if (!counted.some(isMissing) || nowNs() > end) break;
    await sleep(50);
  }
  return {
    load,
    latenciesMs: counted.flatMap(({ key, sentNs }) => {
      const at = arrivedNs.get(key);
      return at === undefined ? [] : [(at - sentNs) / msNs];
    }),
    missing: counted.filter(isMissing).length,
  };
}
