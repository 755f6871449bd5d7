import type { AgentEvent, WebhookLog } from "@sendoff/contract";
import type { Fault, FaultKind } from "./faults.ts";
import { groupBy } from "./group-by.ts";
import { eventsCertain, eventsPossible, knownBefore, type SessionRecord } from "./journal.ts";
import type { Arrival, Wire } from "./wire.ts";

/** The fields of a row of `webhook_logs` that the check reads. */
export type LogRow = Pick<
  WebhookLog,
  "id" | "sessionId" | "event" | "webhookId" | "attempt" | "trigger" | "outcome" | "attemptedAt" | "settledAs"
>;

/** What is held against each other. */
export interface CheckInput {
  readonly sessions: Iterable<SessionRecord>;
  /** The events that the agent's webhook is subscribed to. */
  readonly subscribed: readonly AgentEvent[];
  /** The attempts that were made at the agent's webhook. */
  readonly rows: readonly LogRow[];
  /** What arrived at the inspector; null when the webhook points elsewhere. */
  readonly wire: Wire | null;
}

/**
 * Holds what was sent against what the reports made true: every session got exactly its events, `session.finalized`
 * last, and the log has one row per attempt.
 *
 * An attempt whose outcome nobody can know (`unknown`, after a crash) counts as made. One that the endpoint refused
 * counts as made too: without retries that is what was promised, and the summary shows the outcomes.
 */
export function check(input: CheckInput): Fault[] {
  const rowsOf = bySession(input.rows);
  const faults: Fault[] = [...(input.wire?.faults ?? [])];
  for (const record of input.sessions) {
    if (knownBefore(record)) continue;
    const view: SessionView = {
      sessionId: record.plan.sessionId,
      owed: eventsCertain(record).filter((event) => input.subscribed.includes(event)),
      possible: eventsPossible(record).filter((event) => input.subscribed.includes(event)),
      rows: rowsOf.get(record.plan.sessionId) ?? [],
      arrivals: input.wire?.of(record.plan.sessionId) ?? [],
      wireKnown: input.wire !== null,
    };
    faults.push(...acceptedTwice(record), ...checkLog(view), ...checkWire(view));
  }
  return faults;
}

interface SessionView {
  readonly sessionId: string;
  readonly owed: readonly AgentEvent[];
  readonly possible: readonly AgentEvent[];
  readonly rows: readonly LogRow[];
  readonly arrivals: readonly Arrival[];
  readonly wireKnown: boolean;
}

type FaultOf = (kind: FaultKind, event: Fault["event"], detail: string) => Fault;

const faultOf =
  (sessionId: string): FaultOf =>
  (kind, event, detail) => ({ kind, sessionId, event, detail });

/** n identical reports are one: only one of them may be answered as new. */
function acceptedTwice(record: SessionRecord): Fault[] {
  const fault = faultOf(record.plan.sessionId);
  return [...record.asNew]
    .filter(([, times]) => times > 1)
    .map(([type, times]) => fault("duplicate", null, `${type} was answered as new ${times} times`));
}

function checkLog(view: SessionView): Fault[] {
  const fault = faultOf(view.sessionId);
  const faults: Fault[] = [];
  for (const event of view.owed) {
    const rows = view.rows.filter((row) => row.event === event);
    if (rows.some((row) => row.settledAs !== null)) continue;
    const made = rows.length === 0 ? "no attempt is logged" : `not settled after ${rows.length} attempts`;
    faults.push(fault("missing", event, made));
  }
  for (const [event, rows] of groupBy(view.rows, (row) => row.event)) {
    if (!view.possible.some((name) => name === event)) {
      faults.push(fault("unexpected", event, "logged, but the session's reports do not make it true"));
    }
    const delivered = rows.filter((row) => row.outcome === "delivered").length;
    if (delivered > 1) faults.push(fault("duplicate", event, `delivered ${delivered} times by the log`));
    const ids = new Set(rows.map((row) => row.webhookId));
    if (ids.size > 1)
      faults.push(fault("duplicate", event, `emitted ${ids.size} times: ${[...ids].join(", ")}`));
    for (const [attempt, same] of groupBy(rows, attemptKey)) {
      if (same.length > 1) faults.push(fault("log", event, `${same.length} rows of attempt ${attempt}`));
    }
  }
  const finalizedAt = moments(view.rows.filter((row) => row.event === "session.finalized"));
  for (const row of view.rows) {
    const isEnd = row.event === "session.ended" || row.event === "call.ended";
    if (isEnd && Date.parse(row.attemptedAt) > Math.min(...finalizedAt)) {
      faults.push(fault("outOfOrder", row.event, "attempted after session.finalized by the log"));
    }
  }
  return faults;
}

function checkWire(view: SessionView): Fault[] {
  if (!view.wireKnown) return [];
  const fault = faultOf(view.sessionId);
  const faults: Fault[] = [];
  const rowsByAttempt = groupBy(view.rows, attemptKey);
  for (const [event, arrivals] of groupBy(view.arrivals, (arrival) => arrival.event)) {
    if (!view.possible.includes(event)) {
      faults.push(fault("unexpected", event, "arrived, but the session's reports do not make it true"));
    }
    faults.push(...repeatedArrivals(event, arrivals, rowsByAttempt, fault));
    const unlogged = arrivals.filter((arrival) => !rowsByAttempt.has(attemptKey(arrival)));
    for (const arrival of unlogged) {
      faults.push(fault("log", event, `attempt ${arrival.attempt} arrived and has no row`));
    }
  }
  const arrived = new Set(view.arrivals.map(attemptKey));
  for (const row of view.rows) {
    if (row.outcome !== "delivered" || arrived.has(attemptKey(row))) continue;
    faults.push(
      fault("missing", row.event, `attempt ${row.attempt} is logged as delivered and did not arrive`),
    );
  }
  const finalized = view.arrivals.findIndex((arrival) => arrival.event === "session.finalized");
  const late = finalized < 0 ? [] : view.arrivals.slice(finalized + 1);
  for (const arrival of late) {
    if (arrival.event !== "session.ended" && arrival.event !== "call.ended") continue;
    faults.push(fault("outOfOrder", arrival.event, "arrived after session.finalized"));
  }
  return faults;
}

/**
 * A second arrival is right only where the first attempt's outcome could not be stored or was no success: then the
 * event was sent again with the same id. `session.finalized` is not sent again after an unknown outcome.
 */
function repeatedArrivals(
  event: AgentEvent,
  arrivals: readonly Arrival[],
  rowsByAttempt: ReadonlyMap<string, readonly LogRow[]>,
  fault: FaultOf,
): Fault[] {
  const faults: Fault[] = [];
  for (const [index, arrival] of arrivals.entries()) {
    const before = arrivals[index - 1];
    if (before === undefined) continue;
    const outcome = rowsByAttempt.get(attemptKey(before))?.[0]?.outcome;
    const needless =
      attemptKey(before) === attemptKey(arrival) ||
      outcome === "delivered" ||
      (event === "session.finalized" && outcome === "unknown");
    if (needless) {
      faults.push(
        fault("duplicate", event, `arrived again as attempt ${arrival.attempt} after ${outcome ?? "none"}`),
      );
    }
  }
  return faults;
}

const attemptKey = (of: { readonly webhookId: string; readonly attempt: number }): string =>
  `${of.attempt} of ${of.webhookId}`;

const moments = (rows: readonly LogRow[]): number[] => rows.map((row) => Date.parse(row.attemptedAt));

/** Resends and tests were asked for by a person: they are not part of what is owed. */
function bySession(rows: readonly LogRow[]): Map<string, LogRow[]> {
  const own = rows.filter((row) => row.trigger === "live" || row.trigger === "retry");
  return groupBy(own, (row) => row.sessionId);
}
