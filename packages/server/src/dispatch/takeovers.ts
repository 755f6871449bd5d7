import type pg from "pg";
import type { Clock } from "../clock.ts";
import type { Logger } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Hint } from "../outbox/hint.ts";
import { takeOver } from "../outbox/takeover.ts";

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
/**
 * A look is for what has ended since the one before it, and so much longer ago, in milliseconds: a claim that was committed
 * late has less of its lease left.
 */
const overlapMs = 5_000;
/**
 * How often leases are looked at whenever they ended, in milliseconds; a twentieth of the time at most, but once in two
 * minutes in any case.
 */
const allMs = 30_000;
const allShare = 20;
const allMaxMs = 120_000;

/**
 * When PostgreSQL was away, leases of processes that live have ended as well. For so long after it answers again nothing is
 * taken over, in milliseconds: those processes store their outcomes first, and give back what they know was never sent.
 */
const holdOffMs = 3_000;
/** A look that takes this long, in milliseconds, met a PostgreSQL that was away. */
const slowLookMs = 1_000;

/** Begins to look when PostgreSQL has answered for {@link holdOffMs}. */
export function keepTakingOver({ pool, log, clock, metrics, onTaken }: TakeoverParts): Takeovers {
  /** null: PostgreSQL did not answer the last time. */
  let holdOffUntilMs: number | null = null;
  let lookedMs = Number.NEGATIVE_INFINITY;
  let allAtMs = Number.NEGATIVE_INFINITY;
  let stopped = false;
  let looking: Promise<void> | null = null;

  /** @returns whether there may be more. */
  const step = async (withinMs: number | null): Promise<boolean> => {
    const { unknown, again, hints, more } = await takeOver(pool, withinMs);
    if (unknown + again === 0) return false;
    metrics.takenOver.inc({ result: "unknown" }, unknown);
    metrics.takenOver.inc({ result: "again" }, again);
    metrics.settled.inc({ state: "unknown" }, unknown);
    log.warn({ event: "delivery.taken_over", unknown, again });
    onTaken(hints);
    return more;
  };

  /** @returns whether PostgreSQL has answered for long enough. */
  const hasAnsweredForLong = async (): Promise<boolean> => {
    if (holdOffUntilMs === null) {
      await pool.query("SELECT 1");
      holdOffUntilMs = clock.monotonicMs() + holdOffMs;
    }
    return clock.monotonicMs() >= holdOffUntilMs;
  };

  const look = async (): Promise<void> => {
    if (!(await hasAnsweredForLong())) return;
    const nowMs = clock.monotonicMs();
    const all = nowMs >= allAtMs;
    while (!stopped && (await step(all ? null : nowMs - lookedMs + overlapMs)));
    lookedMs = nowMs;
    if (clock.monotonicMs() - nowMs > slowLookMs) holdOffUntilMs = null;
    if (!all) return;
    const pauseMs = Math.max(allMs, (clock.monotonicMs() - nowMs) * allShare);
    allAtMs = nowMs + Math.min(pauseMs, allMaxMs);
  };

  const timer = setInterval(() => {
    looking ??= look()
      .catch((error: unknown) => {
        holdOffUntilMs = null;
        log.error({
          event: "delivery.takeover_failed",
          reason: error instanceof Error ? error.message : String(error),
        });
      })
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
