import type pg from "pg";
import type { Clock } from "../clock.ts";
import type { Logger } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Hint } from "../outbox/hint.ts";
import { recentLeaseMs, takeOver } from "../outbox/takeover.ts";

/** Takes over what dead workers had claimed, all the time. */
export interface Takeovers {
  /** Looks no more, and waits for the look under way. */
  stop(): Promise<void>;
}

export interface TakeoverParts {
  readonly pool: pg.Pool;
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Told where something may be due now. */
  readonly onTaken: (hints: readonly Hint[]) => void;
}

/** How often dead workers are looked for, in milliseconds. */
const lookMs = 500;
/** How often leases of any age are looked at, in milliseconds; else those that ended a moment ago. */
const allLeasesMs = 30_000;

/** Begins to look at once. */
export function keepTakingOver({ pool, log, clock, metrics, onTaken }: TakeoverParts): Takeovers {
  let lookedMs = Number.NEGATIVE_INFINITY;
  let lookedAtAllMs = Number.NEGATIVE_INFINITY;
  let stopped = false;
  let looking: Promise<void> | null = null;

  /** @returns whether there may be more. */
  const step = async (all: boolean): Promise<boolean> => {
    const { unknown, again, hints, more } = await takeOver(pool, all);
    if (unknown + again === 0) return false;
    metrics.takenOver.inc({ result: "unknown" }, unknown);
    metrics.takenOver.inc({ result: "again" }, again);
    metrics.settled.inc({ state: "unknown" }, unknown);
    log.warn({ event: "delivery.taken_over", unknown, again });
    onTaken(hints);
    return more;
  };

  const look = async (): Promise<void> => {
    const nowMs = clock.monotonicMs();
    // Who has not looked for a while may have missed the moment.
    const all = nowMs - lookedAtAllMs >= allLeasesMs || nowMs - lookedMs >= recentLeaseMs / 2;
    while (!stopped && (await step(all)));
    lookedMs = nowMs;
    if (all) lookedAtAllMs = nowMs;
  };

  const timer = setInterval(() => {
    looking ??= look()
      .catch((error: unknown) =>
        log.error({
          event: "delivery.takeover_failed",
          reason: error instanceof Error ? error.message : String(error),
        }),
      )
      .finally(() => {
        looking = null;
      });
  }, lookMs);

  return {
    async stop() {
      stopped = true;
      clearInterval(timer);
      await looking;
    },
  };
}
