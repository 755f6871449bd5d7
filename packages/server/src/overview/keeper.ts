import type pg from "pg";
import type { Logger } from "../log.ts";
import { countStep } from "./count.ts";
import { removeOldTallies } from "./store.ts";

/** Counts regularly. */
export interface TallyKeeper {
  /** Ends the step under way. */
  stop(): Promise<void>;
}

/** Pause between two looks for new rows, in milliseconds. */
const pauseMs = 5_000;
/** Pause between two removals of what is old, in milliseconds. */
const removeMs = 3_600_000;

/** Begins to count at once. Each process looks; a lock lets one of them count. */
export function keepTallies(pool: pg.Pool, log: Logger): TallyKeeper {
  const ending = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  let removedMs = Number.NEGATIVE_INFINITY;

  const look = async (): Promise<void> => {
    while (!ending.signal.aborted && (await countStep(pool)) === true);
    if (ending.signal.aborted || performance.now() - removedMs < removeMs) return;
    removedMs = performance.now();
    await removeOldTallies(pool);
  };
  const begin = (): void => {
    running = look()
      .catch((error: Error) => log.error({ event: "overview.count_failed", reason: error.message }))
      .finally(() => {
        if (!ending.signal.aborted) timer = setTimeout(begin, pauseMs);
      });
  };
  begin();

  return {
    async stop() {
      ending.abort();
      clearTimeout(timer);
      await running;
    },
  };
}
