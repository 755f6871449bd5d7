// As chaos-broken.ts, for what must be so around the faults of PostgreSQL that last.
import type { Move, Readiness } from "../chaos/src/history.ts";
import {
  type Draft,
  deliver,
  drop,
  endpointId,
  epochMs,
  eventOf,
  loseAttempt,
  ns,
  rowOf,
} from "./chaos-history.ts";

/** PostgreSQL is away from 10 s to 20 s. */
export const awayFromMs = 10_000;
const awayToMs = 20_000;

export function moveOf(name: Move["name"]): Move {
  const span = { fromNs: ns(awayFromMs), toNs: ns(awayToMs) };
  const isRefusing = name !== "lock" && name !== "no-connections";
  return { name, ...span, how: "", unwritable: isRefusing ? [span] : [] };
}

export const readyAt = (ms: number, member = "all-1"): Readiness => ({
  ...{ member, askedNs: ns(ms), ns: ns(ms + 5), status: 200 },
});

/** Reports come all the time from the move's middle on; they are taken from `takenMs` on. */
export function makeMove(draft: Draft, name: Move["name"], takenMs: number): void {
  draft.moves.push(moveOf(name));
  const up = { member: "postgres", roles: ["postgres" as const] };
  draft.availability.push({ ...up, ns: ns(awayFromMs), up: false }, { ...up, ns: ns(awayToMs), up: true });
  const first = draft.tries[0];
  if (first === undefined) return;
  for (let atMs = awayFromMs; atMs < awayToMs + 4_000; atMs += 100) {
    const span = { startNs: ns(atMs), endNs: ns(atMs + 5) };
    const command = 100 + atMs;
    const ok = atMs >= takenMs;
    draft.tries.push({
      ...{ ...first, ...span, command, events: [], duplicate: true },
      ...(ok ? {} : { result: "unknown", status: 503, reason: "database_unavailable" }),
    });
  }
}

/** A delivery that the sink saw begin then. */
export function beginAt(draft: Draft, ms: number): void {
  loseAttempt(draft, "recording.ready", false);
  deliver(draft, eventOf(draft, "recording.ready"), ms, 2);
}

/** Waits for its first attempt to the end. */
function leaveDue(draft: Draft): void {
  const isIt = (row: { event: string | null }): boolean => row.event === "recording.ready";
  drop(draft.logs, isIt);
  drop(draft.requests, isIt);
  draft.owed.push({ ...eventOf(draft, "recording.ready"), endpointId, state: "pending", attempts: 0 });
}

/** For each rule: how the history is bent, and the violation that must be told. */
export const brokenByMoves: Array<[invariant: string, what: RegExp, bend: (draft: Draft) => void]> = [
  ["L3", /took a report only 2\.5 s after the end of outage/, (draft) => makeMove(draft, "outage", 22_500)],
  ["L3", /took a report never again after the end of hang/, (draft) => makeMove(draft, "hang", 99_000)],
  [
    "L3",
    /an attempt began only 3\.5 s after the end of promotion/,
    (draft) => {
      makeMove(draft, "promotion", awayToMs);
      beginAt(draft, 23_500);
    },
  ],
  ["L3", /an attempt began never again/, (draft) => makeMove(draft, "lock", awayToMs)],
  [
    "L6",
    /all-1 answered 2 times that it is ready, though nothing could be written \(read-only\)/,
    (draft) => {
      draft.moves.push(moveOf("read-only"));
      draft.readiness.push(readyAt(13_100), readyAt(19_000));
    },
  ],
  [
    "L6",
    /ready, though nothing could be written \(hang\)/,
    (draft) => {
      draft.moves.push(moveOf("hang"));
      draft.readiness.push(readyAt(16_100));
    },
  ],
  [
    "L6",
    /ready, though it took no report \(lock\)/,
    (draft) => {
      makeMove(draft, "lock", awayToMs);
      draft.readiness.push(readyAt(16_500));
    },
  ],
  [
    "L6",
    /ready, though nothing was begun, and something was due \(no-connections\)/,
    (draft) => {
      makeMove(draft, "no-connections", awayFromMs);
      leaveDue(draft);
      draft.readiness.push(readyAt(17_000));
    },
  ],
  [
    "L6",
    /ready, though nothing was begun, and something was due \(no move\)/,
    (draft) => {
      leaveDue(draft);
      draft.readiness.push(readyAt(30_000));
    },
  ],
  [
    "L7",
    /recording\.ready of call-1, attempt 1: unknown, though never sent \(outage\)/,
    (draft) => {
      draft.moves.push(moveOf("outage"));
      loseAttempt(draft, "recording.ready", true);
      drop(draft.requests, (request) => request.event === "recording.ready");
      Object.assign(rowOf(draft, "recording.ready"), {
        attemptedMs: epochMs + awayFromMs - 5,
        loggedMs: epochMs + awayToMs + 100,
      });
    },
  ],
];
