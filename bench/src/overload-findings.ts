import type { Findings, Goal } from "./benchmark.ts";
import { round } from "./figures.ts";
import type { OpenLoopOutcome } from "./open-loop-messages.ts";
import type { Window } from "./saturation.ts";

/** Goals: performance, P6. */
const memoryMiBMax = 250;
const refusedMsMax = 100;
const goodputMin = 0.8;
/** Flat is what grows by less than this between the first and the last minute. */
const growthMax = 1.1;

/** Resident memory of the server at saturation, in MiB: medians of two stretches, and the most that it ever was. */
export interface Memory {
  readonly firstMiB: number;
  readonly lastMiB: number;
  readonly mostMiB: number;
}

export interface Outcome {
  readonly saturation: Window<"server">;
  readonly memory: Memory & { readonly mostInOverloadMiB: number };
  readonly overload: OpenLoopOutcome & {
    readonly offeredPerSecond: number;
    readonly deliveredPerSecond: number;
  };
  /** Over both loads. */
  readonly counts: {
    readonly accepted: number;
    /** Reports of which the load cannot know whether they were accepted. */
    readonly unanswered: number;
    /** Requests at the sink. */
    readonly arrived: number;
    /** Rows of webhook_logs. */
    readonly logged: number;
    /** Those rows by outcome. */
    readonly outcomes: string;
  };
}

export function findingsOf(outcome: Outcome, postgres: string): Findings {
  const { saturation, memory, overload, counts } = outcome;
  const { acceptedMs, refusedMs } = overload;
  return {
    tables: [
      {
        title: "At saturation (a second; MiB of the server, in the first and the last minute, and the most)",
        columns: ["accepted", "delivered", "first MiB", "last MiB", "most MiB"],
        rows: [
          [
            saturation.acceptedPerSecond,
            saturation.deliveredPerSecond,
            memory.firstMiB,
            memory.lastMiB,
            memory.mostMiB,
          ],
        ],
      },
      {
        title: `Overload (a second offered and delivered; reports; ms from writing a report to its answer; the load was late by p99 ${overload.latenessMs.p99} ms and had ${overload.mostConnections} connections)`,
        columns: [
          "offered",
          "delivered",
          "accepted",
          "refused",
          "unanswered",
          "unsent",
          "accepted p99",
          "refused p50",
          "refused p99",
          "no Retry-After",
          "most MiB",
        ],
        rows: [
          [
            overload.offeredPerSecond,
            overload.deliveredPerSecond,
            overload.accepted,
            overload.refused,
            overload.unanswered,
            overload.unsent,
            acceptedMs.p99,
            refusedMs.p50,
            refusedMs.p99,
            overload.withoutRetryAfter,
            memory.mostInOverloadMiB,
          ],
        ],
      },
      {
        title: "Both loads together (reports; requests at the sink; rows)",
        columns: ["accepted", "unanswered", "arrived", "logged"],
        rows: [[counts.accepted, counts.unanswered, counts.arrived, counts.logged]],
      },
    ],
    figures: { ...outcome, goodput: goodputOf(outcome) },
    goals: goalsOf(outcome),
    postgres,
  };
}

const goodputOf = ({ overload, saturation }: Outcome): number =>
  round(overload.deliveredPerSecond / saturation.deliveredPerSecond);

function goalsOf(outcome: Outcome): Goal[] {
  const { memory, overload, counts } = outcome;
  const growth = round(memory.lastMiB / memory.firstMiB);
  const goodput = goodputOf(outcome);
  const statuses = Object.keys(overload.statuses).filter((status) => !/^(2..|429|503)$/.test(status));
  // What was not answered may have been accepted: nobody else can account for what is above the accepted ones.
  const notLost =
    counts.logged === counts.arrived &&
    counts.logged >= counts.accepted &&
    counts.logged <= counts.accepted + counts.unanswered;
  return [
    {
      text: `the server's memory under ${memoryMiBMax} MiB at saturation`,
      measured: `${memory.mostMiB} MiB`,
      reached: memory.mostMiB < memoryMiBMax,
    },
    {
      text: `flat: in the last minute at most ${growthMax} x of the first`,
      measured: `${growth} x`,
      reached: growth <= growthMax,
    },
    {
      text: `refusals answered in under ${refusedMsMax} ms (p99), by 429 or 503 alone`,
      measured:
        overload.refused === 0
          ? "none was refused"
          : `${overload.refusedMs.p99} ms${statuses.length === 0 ? "" : `; also ${statuses.join(", ")}`}`,
      // Where nothing is refused, all of it waits in memory, or it was no overload: neither is what the goal asks for.
      reached: overload.refused > 0 && overload.refusedMs.p99 < refusedMsMax && statuses.length === 0,
    },
    {
      text: `under overload at least ${goodputMin} of saturation is delivered`,
      measured: String(goodput),
      reached: goodput >= goodputMin,
    },
    {
      text: "nothing accepted is lost: rows of webhook_logs = requests at the sink = accepted reports (and at most those unanswered besides)",
      measured: `${counts.logged}, ${counts.arrived}, ${counts.accepted} (${counts.unanswered} unanswered; ${counts.outcomes})`,
      reached: notLost,
    },
  ];
}
