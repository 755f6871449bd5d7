import type pg from "pg";
import type { Clock } from "../clock.ts";
import { isUnavailable } from "./unavailable.ts";

/** Finds out whether PostgreSQL takes writes. */
export interface WriteProbe {
  /**
   * Writes and commits, or answers with what was found less than {@link freshMs} ago. Several callers share one probe.
   *
   * @returns null when PostgreSQL takes writes, else a sentence that says why not.
   */
  check(): Promise<string | null>;
}

/** In milliseconds. */
const freshMs = 500;
/** How long a probe waits for a lock, in milliseconds. */
const lockMs = 1_000;

// One round trip and one transaction. It meets what a report meets: a server that is read-only, a lock on a table of the
// path of a delivery, a full disk, and a commit that waits for a synchronous standby that is away. No row is locked that
// another process could wait for.
const probeSql = `
  SET LOCAL lock_timeout = ${lockMs};
  LOCK TABLE ONLY sessions, ONLY events, ONLY deliveries, ONLY webhook_logs IN ROW EXCLUSIVE MODE;
  DELETE FROM write_probes WHERE ctid IN (
    SELECT ctid FROM write_probes WHERE probed_at < clock_timestamp() - interval '1 minute' FOR UPDATE SKIP LOCKED);
  INSERT INTO write_probes DEFAULT VALUES`;

/** @param pool its time limits are those of the probe. */
export function createWriteProbe(pool: pg.Pool, clock: Clock): WriteProbe {
  let last: { readonly atMs: number; readonly reason: string | null } | null = null;
  let probing: Promise<string | null> | null = null;

  const probe = async (): Promise<string | null> => {
    let reason: string | null = null;
    try {
      await pool.query(probeSql);
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      reason = reasonOf(error as Error & { code?: string });
    }
    last = { atMs: clock.monotonicMs(), reason };
    return reason;
  };
  return {
    async check() {
      if (last !== null && clock.monotonicMs() - last.atMs < freshMs) return last.reason;
      probing ??= probe().finally(() => {
        probing = null;
      });
      return probing;
    },
  };
}

/** Without PostgreSQL's own words, which may name hosts: anybody may ask whether a process is ready. */
function reasonOf({ code }: { code?: string }): string {
  switch (code) {
    case "25006":
      return "PostgreSQL is read-only: it is a standby, or was made read-only.";
    case "53100":
      return "PostgreSQL's disk is full.";
    case "53300":
      return "PostgreSQL has no connection left for this process.";
    case "55P03":
      return "A table of Sendoff is locked.";
    case "57014":
    case undefined:
      return "PostgreSQL does not answer in time.";
    default:
      return "PostgreSQL cannot be reached, or takes no writes.";
  }
}
