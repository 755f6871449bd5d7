import type { Findings, Goal } from "./benchmark.ts";
import { round, type Spread } from "./figures.ts";
import { totalCpu, type Window } from "./saturation.ts";

/** Goals: performance, P4. */
const ratioMin = 0.85;
const claimMsMax = 20;

/** What was seen in one state of the tables. */
export interface GrowthState {
  readonly referencePerSecond: number;
  /** Requests at the sink that were bare POSTs. */
  readonly referenceRequests: number;
  readonly windows: ReadonlyArray<Window<"server" | "postgres">>;
  readonly claims: { readonly named: Spread; readonly look: Spread; readonly found: Spread };
}

/** An empty system, and one that has grown, with a transaction held open. */
export interface Outcome {
  readonly size: number;
  readonly heldMinutes: number;
  readonly empty: GrowthState;
  readonly held: GrowthState;
  /** Attempts that the log does not have, or has twice. */
  readonly logDifference: number;
  /** Rows of the log by outcome. */
  readonly outcomes: string;
}

export function findingsOf(outcome: Outcome, postgres: string): Findings {
  const { empty, held, heldMinutes, size } = outcome;
  const emptyRate = empty.windows[0]?.deliveredPerSecond ?? Number.NaN;
  const row = (
    name: string,
    { referencePerSecond }: GrowthState,
    window: GrowthState["windows"][number],
  ): Array<string | number> => [
    name,
    referencePerSecond,
    window.acceptedPerSecond,
    window.deliveredPerSecond,
    (window.deliveredPerSecond / emptyRate).toFixed(2),
    window.cpuUs.server,
    window.cpuUs.postgres,
    totalCpu(window.cpuUs),
  ];
  const minutes = (index: number): string => String(round((heldMinutes * (index + 1)) / held.windows.length));
  const claimRow = (name: string, { claims }: GrowthState): Array<string | number> => [
    name,
    claims.named.count,
    claims.named.p50,
    claims.named.p99,
    claims.look.p99,
    claims.found.p99,
  ];
  return {
    tables: [
      {
        title: `At saturation, empty and with ${size} deliveries pending (a second; ratio to the empty system; processor time in us per delivery; held: a transaction has been open for so many minutes)`,
        columns: ["", "bare POSTs", "accepted", "delivered", "ratio", "server", "PostgreSQL", "cpu"],
        rows: [
          ...empty.windows.map((window) => row("empty", empty, window)),
          ...held.windows.map((window, index) => row(`held ${minutes(index)} min`, held, window)),
        ],
      },
      {
        title:
          "Claims beside a quiet load (ms; look and found: the search for what no hint told of, and a claim from what it found)",
        columns: ["", "claims", "p50", "p99", "look p99", "found p99"],
        rows: [claimRow("empty", empty), claimRow("held", held)],
      },
    ],
    figures: { ...outcome, ratio: ratioOf(outcome) },
    goals: goalsOf(outcome),
    postgres,
  };
}

/** Of the last window, which the transaction has been held the longest in, to the empty system. */
const ratioOf = ({ empty, held }: Outcome): number =>
  round(
    (held.windows.at(-1)?.deliveredPerSecond ?? 0) / (empty.windows[0]?.deliveredPerSecond ?? Number.NaN),
  );

function goalsOf(outcome: Outcome): Goal[] {
  const { held, logDifference, outcomes } = outcome;
  const ratio = ratioOf(outcome);
  return [
    {
      text: `at the end at least ${ratioMin} of the empty system's throughput`,
      measured: String(ratio),
      reached: ratio >= ratioMin,
    },
    {
      text: `claims under ${claimMsMax} ms (p99)`,
      measured: `${held.claims.named.p99} ms`,
      reached: held.claims.named.p99 < claimMsMax,
    },
    {
      text: "one row of webhook_logs per request",
      measured: `${logDifference} rows off (${outcomes})`,
      reached: logDifference === 0,
    },
  ];
}
