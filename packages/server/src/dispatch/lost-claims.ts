import { setImmediate as turn } from "node:timers/promises";
import type pg from "pg";
import type { Logger } from "../log.ts";
import { readInFlight } from "../outbox/in-flight.ts";
import { release } from "../outbox/release.ts";

/**
 * Gives back claims that were committed but whose answer was lost with the connection, in a failover for example: this
 * process knows that it never sent them, so they must not wait for their lease and become `unknown` (guarantees, L7).
 */
export interface LostClaims {
  /** Follows a statement that may claim deliveries for this process. When it fails, what it claimed is looked for. */
  follow<Result>(statement: Promise<Result>): Promise<Result>;
  /** This process has the claim of the delivery. */
  begun(deliveryId: number): void;
  /** Its outcome is stored, it was given back, or it was taken over. */
  ended(deliveryId: number): void;
  /** It may have been sent, and its outcome will never be stored: the takeover settles it. It is never given back. */
  abandoned(deliveryId: number): void;
  /** A claim could not be given back: the look for lost claims finds it. */
  notReleased(deliveryId: number): void;
  /** Looks a last time if a look was due, and looks no more. */
  stop(): Promise<void>;
}

export interface LostClaimsParts {
  readonly pool: pg.Pool;
  readonly log: Logger;
  readonly workerId: string;
  /** Called when something was given back: it is due. */
  readonly onReleased: () => void;
}

/** How often the table is read after a failure, in milliseconds. */
const lookMs = 500;
/**
 * So many looks are answered after the last failure: 60 s of them. A statement whose answer was lost may commit later: it may
 * wait for a lock, for as long as `statement_timeout` lets it, which is less than SENDOFF_DATABASE_TIMEOUT (60 s at most).
 */
const looksAfterFailure = 120;

export function createLostClaims({ pool, log, workerId, onReleased }: LostClaimsParts): LostClaims {
  const pending = new Set<Promise<unknown>>();
  const held = new Set<number>();
  const abandoned = new Set<number>();
  /** Deliveries that began or ended during the look under way, which has read something older; null: no look. */
  let changed: Set<number> | null = null;
  let looksLeft = 0;
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | null = null;
  let stopped = false;

  const look = async (): Promise<void> => {
    const since = new Set<number>();
    changed = since;
    try {
      await releaseLost(since);
    } finally {
      changed = null;
    }
  };

  /** @param since what begins or ends from now on. */
  const releaseLost = async (since: ReadonlySet<number>): Promise<void> => {
    const before = new Set(held);
    const rows = await readInFlight(pool, workerId);
    // What is being claimed at this moment is in the table, and known here when its answer has come and was acted on.
    await Promise.allSettled([...pending]);
    await turn();
    const isLost = (id: number): boolean =>
      !before.has(id) && !held.has(id) && !since.has(id) && !abandoned.has(id);
    const lost = rows.filter(({ deliveryId }) => isLost(deliveryId));
    const inTable = new Set(rows.map(({ deliveryId }) => deliveryId));
    for (const id of abandoned) if (!inTable.has(id) && !since.has(id)) abandoned.delete(id);
    looksLeft -= 1;
    if (lost.length === 0) return;
    await release(pool, workerId, lost);
    log.warn({ event: "delivery.lost_claims_released", deliveries: lost.length });
    onReleased();
  };

  const schedule = (): void => {
    if (stopped || timer !== undefined || looking !== null || looksLeft === 0) return;
    timer = setTimeout(() => {
      timer = undefined;
      looking = look()
        .catch((error: Error) => {
          log.error({ event: "delivery.lost_claims_unread", reason: error.message });
        })
        .finally(() => {
          looking = null;
          schedule();
        });
    }, lookMs);
  };

  const failed = (): void => {
    looksLeft = looksAfterFailure;
    schedule();
  };

  return {
    async follow(statement) {
      pending.add(statement);
      try {
        return await statement;
      } catch (error) {
        failed();
        throw error;
      } finally {
        pending.delete(statement);
      }
    },
    begun(deliveryId) {
      held.add(deliveryId);
      abandoned.delete(deliveryId);
      changed?.add(deliveryId);
    },
    ended(deliveryId) {
      held.delete(deliveryId);
      changed?.add(deliveryId);
    },
    abandoned(deliveryId) {
      held.delete(deliveryId);
      abandoned.add(deliveryId);
      changed?.add(deliveryId);
      // The looks also forget what the takeover has settled.
      failed();
    },
    notReleased(deliveryId) {
      held.delete(deliveryId);
      changed?.add(deliveryId);
      failed();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await looking;
      if (looksLeft > 0) {
        await look().catch((error: Error) => {
          log.error({ event: "delivery.lost_claims_unread", reason: error.message });
        });
      }
    },
  };
}
