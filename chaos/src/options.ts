import { parseArgs } from "node:util";
import { type FaultTarget, type MoveName, moveNames } from "./history.ts";
import type { PostgresPart } from "./postgres.ts";

type Mode = "all" | "split";

/** How a run is set up. */
export interface RunOptions {
  readonly seconds: number;
  readonly seed: string;
  /** auto: split when the command line has `api` and `worker`. */
  readonly mode: Mode | "auto";
  /** How many API processes; in mode `all`, how many that do everything. */
  readonly api: number;
  readonly workers: number;
  /** Commands a second. */
  readonly rate: number;
  readonly killsPerSecond: number;
  readonly stopsPerMinute: number;
  readonly weights: Readonly<Record<FaultTarget, number>>;
  readonly postgresParts: ReadonlyArray<readonly [part: PostgresPart, weight: number]>;
  /** Faults of PostgreSQL that last: by name, once each; null: decks of all of them. */
  readonly moves: readonly MoveName[] | null;
  /** How long after the faults what is owed may still settle. */
  readonly quietSeconds: number;
  /** Features that the server lacks fail the run. */
  readonly strict: boolean;
  /** Too few faults make the run inconclusive. */
  readonly floors: boolean;
  /** Where the logs stay; null: a temporary folder, removed when nothing was found. */
  readonly out: string | null;
}

export const defaultOptions: RunOptions = {
  seconds: 60,
  seed: "1",
  mode: "auto",
  api: 1,
  workers: 1,
  rate: 80,
  killsPerSecond: 1.25,
  stopsPerMinute: 6,
  weights: { worker: 5, api: 3, postgres: 1.2 },
  postgresParts: [
    ["postmaster", 2],
    ["all", 2],
    ["backend", 1],
  ],
  moves: null,
  // Lanes of three, each taken over or retried more than once.
  quietSeconds: 100,
  strict: false,
  floors: true,
  out: null,
};

export const usage = `npm run chaos -- [options]
  --seconds N           how long faults happen (60)
  --seed TEXT           decides plans, faults and the sink's reactions (1)
  --mode all|split|auto processes that do everything, or API and workers apart (auto)
  --api N, --workers N  how many processes of each (1, 1)
  --rate N              commands a second (80)
  --kills N             kills a second (1.25); 0 for none
  --stops N             stops a minute (6); 0 for none
  --moves NAMES         instead of all: these, once each and in this order, however long it takes, of
                        ${moveNames.join(",")}; none for none
  --no-floors           few faults do not make the run inconclusive
  --strict              a feature that the server lacks fails the run
  --out DIR             keep the logs there
Exit status: 0 nothing found, 1 violations, 2 wrong usage or no run, 3 inconclusive.`;

export class UsageError extends Error {}

/** @throws UsageError when an option is wrong. */
export function readOptions(args: readonly string[]): RunOptions {
  const { values } = parse(args);
  const number = (name: "seconds" | "api" | "workers" | "rate" | "kills" | "stops", fallback: number) => {
    const text = values[name];
    if (text === undefined) return fallback;
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value) || value < 0) {
      throw new UsageError(`--${name} is ${JSON.stringify(text)}; expected a number of 0 or more`);
    }
    return value;
  };
  const mode = values.mode ?? defaultOptions.mode;
  if (mode !== "all" && mode !== "split" && mode !== "auto") {
    throw new UsageError(`--mode is ${JSON.stringify(mode)}; expected all, split or auto`);
  }
  return {
    ...defaultOptions,
    seconds: number("seconds", defaultOptions.seconds),
    seed: values.seed ?? defaultOptions.seed,
    mode,
    api: Math.max(1, number("api", defaultOptions.api)),
    workers: Math.max(1, number("workers", defaultOptions.workers)),
    rate: Math.max(1, number("rate", defaultOptions.rate)),
    killsPerSecond: number("kills", defaultOptions.killsPerSecond),
    stopsPerMinute: number("stops", defaultOptions.stopsPerMinute),
    moves: readMoves(values.moves),
    strict: values.strict ?? false,
    floors: !(values["no-floors"] ?? false),
    out: values.out ?? null,
  };
}

function readMoves(text: string | undefined): readonly MoveName[] | null {
  if (text === undefined) return defaultOptions.moves;
  if (text === "none") return [];
  return text.split(",").map((given) => {
    const name = moveNames.find((known) => known === given);
    if (name !== undefined) return name;
    throw new UsageError(
      `--moves has ${JSON.stringify(given)}; expected none, or some of ${moveNames.join(", ")} with commas between them`,
    );
  });
}

function parse(args: readonly string[]) {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  try {
    return parseArgs({
      args: [...args],
      options: {
        seconds: text,
        seed: text,
        mode: text,
        api: text,
        workers: text,
        rate: text,
        kills: text,
        stops: text,
        moves: text,
        out: text,
        strict: flag,
        "no-floors": flag,
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}
