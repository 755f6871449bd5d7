import type pg from "pg";
import type { Logger } from "../log.ts";
import { addTallies } from "./store.ts";
import { type Tally, tallyKinds } from "./tally-sql.ts";

/** Counts the reports that this process takes. */
export interface ReportCounter {
  /** One report of a project was answered. */
  count(projectId: string, result: "accepted" | "duplicate" | "late"): void;
  /** Stores what was counted, for the last time. */
  stop(): Promise<void>;
}

/** How often counts are stored, in milliseconds: so much of them is lost when the process dies. */
const storeMs = 5_000;
const minuteMs = 60_000;

/**
 * Reports leave no row of their own (a repeat changes nothing), and one more write with each would be one too many. So they
 * are counted in memory, and a process that dies takes its last seconds with it: these are numbers of a chart.
 */
export function countReports(pool: pg.Pool, log: Logger): ReportCounter {
  let counted = new Map<string, Tally>();
  let storing: Promise<void> = Promise.resolve();

  const store = async (): Promise<void> => {
    const tallies = [...counted.values()];
    counted = new Map();
    await addTallies(pool, tallies).catch((error: Error) => {
      log.warn({ event: "overview.reports_not_counted", reason: error.message });
    });
  };
  const timer = setInterval(() => {
    storing = storing.then(store);
  }, storeMs);
  timer.unref();

  return {
    count(projectId, result) {
      const minute = Math.floor(Date.now() / minuteMs) * minuteMs;
      const key = `${projectId} ${minute} ${result}`;
      const before = counted.get(key)?.count ?? 0;
      counted.set(key, {
        projectId,
        minute: new Date(minute),
        kind: tallyKinds.reports,
        subject: result,
        count: before + 1,
      });
    },
    async stop() {
      clearInterval(timer);
      storing = storing.then(store);
      await storing;
    },
  };
}
