import type { Move } from "../history.ts";
import { msNs, secondNs } from "../monotonic.ts";
import { type Evidence, type Violation, violation } from "./evidence.ts";
import { covers, uptimes, upWindows } from "./uptime.ts";

/** From when PostgreSQL can be written again: the first 2xx to a report, and the first attempt that reaches the sink. */
const answerNs = secondNs;
const beginNs = 2 * secondNs;
/** Two cores that start processes all the time are late now and then: what the rig grants on top. */
const slackNs = secondNs;
/** PostgreSQL is noticed a moment after it is back. */
const noticedNs = 100 * msNs;
/** With fewer reports sent, none need have been taken. */
const triesMin = 5;

/** What came of one return of PostgreSQL. */
export interface Return {
  readonly move: Move;
  /** Which processes were judged: they had lived through it, and nothing else was broken. */
  readonly apis: readonly string[];
  readonly workers: readonly string[];
  readonly violations: readonly Violation[];
}

/** L3: after each move the API takes reports within 1 s, and attempts begin within 2 s, in processes that lived through it. */
export const checkReturns = (evidence: Evidence): Violation[] =>
  returnsOf(evidence).flatMap(({ violations }) => violations);

export function returnsOf(evidence: Evidence): Return[] {
  const { history, patience } = evidence;
  const apis = uptimes(history, "api");
  const workers = uptimes(history, "worker");
  const database = upWindows(history, ["postgres"]);
  return history.moves.map((move) => {
    const livedFor = (lengthNs: number): ((entry: [string, Parameters<typeof covers>[0]]) => boolean) => {
      const untilNs = patience.after(move.toNs, lengthNs + slackNs);
      // It is noted as up a moment before the move notes its end.
      const isBack = covers(database, move.toNs, untilNs);
      return ([, spans]) => isBack && covers(spans, move.fromNs, untilNs);
    };
    const livingApis = [...apis].filter(livedFor(answerNs)).map(([name]) => name);
    const livingWorkers = [...workers].filter(livedFor(beginNs)).map(([name]) => name);
    return {
      move,
      apis: livingApis,
      workers: livingWorkers,
      violations: [
        ...livingApis.flatMap((api) => answersLate(evidence, move, api)),
        ...(livingWorkers.length === 0 ? [] : beginsLate(evidence, move)),
      ],
    };
  });
}

function answersLate({ history, patience }: Evidence, move: Move, api: string): Violation[] {
  const limitNs = patience.after(move.toNs, answerNs + slackNs);
  const sent = history.tries.filter(
    (entry) => entry.api === api && entry.startNs <= limitNs && entry.endNs >= move.toNs - noticedNs,
  );
  if (sent.filter(({ startNs }) => startNs >= move.toNs).length < triesMin) return [];
  if (sent.some((entry) => entry.result === "ok" && entry.endNs <= limitNs)) return [];
  const next = history.tries.find(
    (entry) => entry.api === api && entry.result === "ok" && entry.endNs > limitNs,
  );
  const when = next === undefined ? "never again" : `only ${seconds(next.endNs - move.toNs)} s`;
  return [
    violation("L3", `${api} took a report ${when} after the end of ${move.name}`, move, next, sent.at(-1)),
  ];
}

function beginsLate({ history, patience }: Evidence, move: Move): Violation[] {
  const limitNs = patience.after(move.toNs, beginNs + slackNs);
  const next = history.requests.find((request) => request.beginNs >= move.toNs - noticedNs);
  if (next !== undefined && next.beginNs <= limitNs) return [];
  const when = next === undefined ? "never again" : `only ${seconds(next.beginNs - move.toNs)} s`;
  return [violation("L3", `an attempt began ${when} after the end of ${move.name}`, move)];
}

const seconds = (ns: number): string => (ns / secondNs).toFixed(1);
