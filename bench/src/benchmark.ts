import type { Progress } from "./progress.ts";
import type { Scope } from "./scope.ts";
import type { Table } from "./table.ts";

/** Something stands in the way. The message says what, and what to do. */
export class CannotRun extends Error {}

/** Options that are numbers, and what each means. Units as in the explanation. */
export const numberOptions = {
  runs: "how often the comparison is made; the median counts",
  seconds: "seconds that each measured phase lasts",
  rate: "reports a second",
  size: "how much is piled up: deliveries, or sessions",
  endpoints: "endpoints",
  held: "minutes for which a transaction is held open",
} as const;

export type NumberOption = keyof typeof numberOptions;

/** What was asked for on the command line. An option that was not given is missing: the benchmark's own default counts. */
export type Settings = Readonly<Partial<Record<NumberOption, number>>> & {
  /** Folder for what is too long to print; null: nothing is kept. */
  readonly out: string | null;
};

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
  /** The number options that it takes, with its defaults. Others are refused. */
  readonly defaults: Readonly<Partial<Record<NumberOption, number>>>;
  /** It writes something to `--out`. */
  readonly keepsFiles?: true;
  run(run: Run): Promise<Findings>;
}
