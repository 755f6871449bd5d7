import type { WriteProbe } from "../database/write-probe.ts";
import { Refusal } from "../refusal.ts";

/** What the readiness of a process depends on. */
export interface ReadinessParts {
  /** Whether this process is shutting down. */
  readonly isDraining: () => boolean;
  /** Whether this process has deliveries to make and makes none. */
  readonly isStalled: () => boolean;
  /** Whether PostgreSQL refused most of the last reports. */
  readonly isRefusing: () => boolean;
  /** Whether the tables are those of this version. */
  readonly isMigrated: () => Promise<boolean>;
  readonly writeProbe: WriteProbe;
}

/**
 * Whether this process does its work: production, section 1; guarantees, L6.
 *
 * @returns null when it does, else why not.
 */
export async function readinessOf(parts: ReadinessParts): Promise<Refusal | null> {
  if (parts.isStalled()) {
    return new Refusal(
      "stalled",
      "Deliveries are due and this process begins none, though PostgreSQL answers; it is about to be restarted.",
    );
  }
  if (parts.isDraining()) return new Refusal("draining", "This process is shutting down.");
  const reason = await parts.writeProbe.check();
  if (reason !== null) return new Refusal("database_unavailable", reason);
  if (!(await parts.isMigrated())) {
    return new Refusal("database_unavailable", "PostgreSQL lacks tables of this version of Sendoff.");
  }
  if (parts.isRefusing()) {
    return new Refusal("database_unavailable", "PostgreSQL refused most of the last reports.");
  }
  return null;
}
