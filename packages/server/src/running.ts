import type { StartFile } from "@sendoff/contract";

/** What a process does: takes reports, delivers, or both. Any number of each may run on one PostgreSQL. */
export type Role = "all" | "api" | "worker";

export interface Running {
  /** What was written to start.json; null for a worker alone, which writes none. */
  readonly start: StartFile | null;
  /** Path of start.json. */
  readonly startPath: string;
  /**
   * Drains and ends: no report is lost, no attempt is cut. Lasts as long as the longest attempt under way (its
   * timeout, at most 30 s).
   */
  stop(): Promise<void>;
}
