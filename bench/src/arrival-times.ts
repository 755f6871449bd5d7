import type { Project } from "./endpoints.ts";
import { type Emitted, type Load, type LoadOptions, runLoad } from "./load.ts";
import type { Stage } from "./stage.ts";
import { msNs, nowNs, sleep } from "./time.ts";

/** What a phase of load showed. */
export interface Phase {
  readonly load: Load;
  /** From sending the report to the first byte of its event at the sink, in milliseconds. */
  readonly latenciesMs: readonly number[];
  /** From the answer to the report to that byte; below 0 when the event was quicker. */
  readonly afterAnswerMs: readonly number[];
  /** From the arrival of the last earlier event of a session to that of its session.finalized, where that had to wait. */
  readonly finalizedMs: readonly number[];
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
  const since = (fromNs: (emitted: Emitted) => number): number[] =>
    counted.flatMap((emitted) => {
      const at = arrivedNs.get(emitted.key);
      return at === undefined ? [] : [(at - fromNs(emitted)) / msNs];
    });
  return {
    load,
    latenciesMs: since(({ sentNs }) => sentNs),
    afterAnswerMs: since(({ answeredNs }) => answeredNs),
    finalizedMs: finalizedAfter(load.emitted, measured, arrivedNs),
    missing: counted.filter(isMissing).length,
  };
}

/** session.finalized and the event before it are emitted by one report: it leaves when that one was answered. */
function finalizedAfter(
  emitted: readonly Emitted[],
  measured: ReadonlySet<Project>,
  arrivedNs: ReadonlyMap<string, number>,
): number[] {
  const last = emitted.filter(({ project, event }) => measured.has(project) && event === "session.finalized");
  return last.flatMap(({ key }) => {
    const sessionId = key.slice(0, key.indexOf(" "));
    const before = ["session.ended", "call.ended"].map(
      (event) => arrivedNs.get(`${sessionId} ${event}`) ?? 0,
    );
    const at = arrivedNs.get(key);
    return at === undefined || Math.max(...before) === 0 ? [] : [(at - Math.max(...before)) / msNs];
  });
}
