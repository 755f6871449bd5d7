import type { Progress } from "./progress.ts";
import type { Scope } from "./scope.ts";
import type { Table } from "./table.ts";

/** What can be set for any benchmark; null is the benchmark's own default. */
export interface Settings {
  /** How often the comparison is made. */
  readonly runs: number | null;
  /** How long each measured phase lasts. */
  readonly seconds: number | null;
  /** Reports per second. */
  readonly rate: number | null;
  /** Size of what the benchmark piles up (deliveries). */
  readonly size: number | null;
  /** Endpoints in all. */
  readonly endpoints: number | null;
  /** Folder for what is too long to print; null: nothing is kept. */
  readonly out: string | null;
}

/** What a benchmark runs with. */
export interface Run {
  readonly settings: Settings;
  /** Ends with the run, however that ends: whatever is started registers here. */
  readonly scope: Scope;
  readonly progress: Progress;
}

/** What a benchmark found. */
export interface Findings {
  readonly tables: readonly Table[];
  /** The same for programs: goes into the JSON line. */
  readonly figures: Readonly<Record<string, unknown>>;
  /** One line per goal. */
  readonly goals: readonly Goal[];
  /** As PostgreSQL tells it. */
  readonly postgres: string;
}

/** A goal, what was measured, and whether it was reached. */
export interface Goal {
  readonly text: string;
  readonly measured: string;
  readonly reached: boolean;
}

export interface Benchmark {
  readonly name: string;
  /** What it measures, in one sentence. */
  readonly sentence: string;
  run(run: Run): Promise<Findings>;
}
