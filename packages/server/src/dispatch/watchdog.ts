import type pg from "pg";
import type { Clock } from "../clock.ts";
import type { WriteProbe } from "../database/write-probe.ts";
import type { Logger } from "../log.ts";
import type { ClaimKind } from "../outbox/claim.ts";
import { findDue, lowestEndpoint } from "../outbox/find.ts";

/**
 * Watches whether deliveries begin. A dispatcher that has stopped for a reason that nobody thought of must not look
 * healthy for ever: production, section 1.
 */
export interface Watchdog {
  /** An attempt has begun. */
  began(): void;
  /** Whether nothing has begun for half of {@link WatchdogParts.stallMs}, or longer: readiness says so first. */
  isStalled(): boolean;
  stop(): Promise<void>;
}

export interface WatchdogParts {
  readonly pool: pg.Pool;
  readonly log: Logger;
  readonly clock: Clock;
  readonly writeProbe: WriteProbe;
  /** For how long nothing begins before that is a stall, in milliseconds. Default: 10,000. */
  readonly stallMs?: number;
  /** Whether this process may begin one more attempt of this kind, as far as its limits are concerned. */
  readonly hasRoom: (kind: ClaimKind) => boolean;
  /** Whether the circuit breaker of the endpoint is open: nothing begins there for a moment. */
  readonly isPaused: (endpointId: string) => boolean;
  /** Called once. */
  readonly onStalled: () => void;
}

/** How often the watchdog looks, in milliseconds. */
const lookMs = 1_000;

/** Begins to watch at once. */
export function createWatchdog(parts: WatchdogParts): Watchdog {
  const { pool, log, clock, writeProbe, stallMs = 10_000 } = parts;
  let begun = false;
  /** Since when something could have begun and nothing has; null: nothing is known to be wrong. */
  let idleSinceMs: number | null = null;
  let stalled = false;
  let stopped = false;
  let looking: Promise<void> | null = null;

  /**
   * Whether something is due that this process could begin. Only endpoints at which nothing is in flight count, for what
   * others have in flight may use up the room there; they are read anew, without what the dispatcher believes.
   */
  const couldBegin = async (kind: ClaimKind): Promise<boolean> => {
    if (!parts.hasRoom(kind)) return false;
    let after: string | null = lowestEndpoint;
    while (after !== null && !stopped) {
      const { endpoints, last } = await findDue(pool, kind, { perEndpoint: 1, after, beforeMarks: true });
      if (endpoints.some((endpointId) => !parts.isPaused(endpointId))) return true;
      after = last;
    }
    return false;
  };

  const isIdleWithWork = async (): Promise<boolean> => {
    if (!(await couldBegin("first")) && !(await couldBegin("again"))) return false;
    return (await writeProbe.check()) === null && !begun;
  };

  const look = async (): Promise<void> => {
    const beganMs = clock.monotonicMs();
    const isIdle = !begun && (await isIdleWithWork());
    begun = false;
    if (!isIdle) {
      idleSinceMs = null;
      return;
    }
    idleSinceMs ??= beganMs;
    if (stalled || stopped || clock.monotonicMs() - idleSinceMs < stallMs) return;
    stalled = true;
    log.error({ event: "dispatch.stalled", idleMs: Math.round(clock.monotonicMs() - idleSinceMs) });
    parts.onStalled();
  };

  const timer = setInterval(() => {
    looking ??= look()
      .catch(() => {
        // PostgreSQL does not answer: that is another fault, and others tell of it.
        idleSinceMs = null;
      })
      .finally(() => {
        looking = null;
      });
  }, lookMs);

  return {
    began() {
      begun = true;
    },
    isStalled: () => stalled || (idleSinceMs !== null && clock.monotonicMs() - idleSinceMs >= stallMs / 2),
    async stop() {
      stopped = true;
      clearInterval(timer);
      await looking;
    },
  };
}
