import type { EventRow, LogRow, Span } from "../history.ts";
import { msNs, secondNs } from "../monotonic.ts";
import { type Evidence, isOwn, sessionKey, type Violation, violation } from "./evidence.ts";
import { servedNs, upWindows, usableNs } from "./uptime.ts";

/** A session is finalized so long after its grace, at most. */
const finalizeNs = 2 * secondNs;
/** A delivery settles so long after a death, and one timeout. */
const settleNs = 15 * secondNs;
/** Two cores that start processes all the time are late now and then: what the rig grants on top. */
const slackNs = secondNs;
/** An own event may be early by what the clocks differ. */
const earlyMs = 50;

/** L1: every session with an end report is finalized within its grace + 2 s of a system that works; and never early. */
export function checkFinalization(evidence: Evidence): Violation[] {
  if (!evidence.history.features.deadlines) return [];
  const windows = upWindows(evidence.history, ["postgres", "worker", "api"]);
  return [...evidence.triesOf.keys()].flatMap((key) => {
    const events = evidence.eventsOf.get(key) ?? [];
    return [...finalizedLate(evidence, windows, key, events), ...endedEarly(evidence, key, events)];
  });
}

function finalizedLate(
  { history, clock, patience }: Evidence,
  windows: readonly Span[],
  key: string,
  events: readonly EventRow[],
): Violation[] {
  const first = events.find((row) => row.event === "session.ended" || row.event === "call.ended");
  if (first === undefined) return [];
  const { conversationGraceMs, callGraceMs } = history.settings;
  const graceMs = first.event === "call.ended" ? conversationGraceMs : callGraceMs;
  const final = events.find((row) => row.event === "session.finalized");
  const dueNs = clock.ns(first.emittedMs) + graceMs * msNs;
  const limitNs = servedNs(patience, windows, dueNs, finalizeNs + slackNs);
  if (limitNs === null || (final !== undefined && clock.ns(final.emittedMs) <= limitNs)) return [];
  const when =
    final === undefined ? "never" : `${seconds(clock.ns(final.emittedMs) - dueNs)} s after its grace`;
  return [violation("L1", `${key} was finalized ${when}`, ...events, { dueNs, limitNs })];
}

/** What Sendoff states by itself, it states at its deadline and not before. */
function endedEarly(
  { history, clock, triesOf }: Evidence,
  key: string,
  events: readonly EventRow[],
): Violation[] {
  const { conversationGraceMs, callGraceMs, sessionTimeoutMs } = history.settings;
  const tries = triesOf.get(key) ?? [];
  const nobodySpoke = tries.some((entry) => entry.body.conversation === "none");
  const firstNs = Math.min(...tries.map((entry) => entry.startNs));
  return events.flatMap((event) => {
    if (!isOwn(event) || (nobodySpoke && event.event === "session.ended")) return [];
    const other = event.event === "session.ended" ? "call.ended" : "session.ended";
    const graceMs = event.event === "session.ended" ? conversationGraceMs : callGraceMs;
    const partner = events.find((row) => row.event === other);
    const byGrace = partner !== undefined && event.emittedMs >= partner.emittedMs + graceMs - earlyMs;
    const byTimeout = clock.ns(event.emittedMs) >= firstNs + (sessionTimeoutMs - earlyMs) * msNs;
    return byGrace || byTimeout
      ? []
      : violation("L1", `${event.event} of ${key} was stated before its deadline`, ...events);
  });
}

/** L2: after any death, every owed delivery settles within 15 s + one timeout, in time that the system worked. */
export function checkSettlement(evidence: Evidence): Violation[] {
  const windows = upWindows(evidence.history, ["postgres", "worker"]);
  return [...evidence.eventsOf.values()].flatMap((events) => checkLane(evidence, windows, events));
}

function checkLane(evidence: Evidence, windows: readonly Span[], events: readonly EventRow[]): Violation[] {
  const found: Violation[] = [];
  let freeNs = 0;
  for (const event of events) {
    const endpoint = evidence.endpointOf.get(event.project);
    if (endpoint === undefined || !endpoint.events.includes(event.event)) continue;
    const rows = evidence.logsOf.get(event.webhookId) ?? [];
    const limitNs = settleNs + endpoint.timeoutMs * msNs + slackNs;
    const inLane = event.event !== "recording.ready";
    let sinceNs = Math.max(evidence.clock.ns(event.emittedMs), inLane ? freeNs : 0);
    let before: LogRow | undefined;
    for (const row of rows) {
      const loggedNs = evidence.clock.ns(row.loggedMs);
      // After an outcome of its own a retry is due by the policy, at a time that the tables no longer tell.
      const isRetry = endpoint.attempts !== null && before !== undefined && before.outcome !== "unknown";
      const tookNs = usableNs(evidence.patience, windows, sinceNs, loggedNs);
      if (!isRetry && tookNs > limitNs) {
        found.push(slow(event, tookNs, row));
      }
      sinceNs = loggedNs;
      before = row;
    }
    const isSettled = rows.some((row) => row.settledAs !== null);
    const waitsForRetry = endpoint.attempts !== null && before !== undefined && before.outcome !== "unknown";
    const openNs = usableNs(evidence.patience, windows, sinceNs, evidence.history.endNs);
    if (!isSettled && !waitsForRetry && openNs > limitNs && freeNs !== Number.POSITIVE_INFINITY) {
      found.push(slow(event, openNs, before ?? null));
    }
    // What waits behind one that never settled is not late by itself.
    if (inLane) freeNs = isSettled ? sinceNs : Number.POSITIVE_INFINITY;
  }
  return found;
}

const slow = (event: EventRow, tookNs: number, row: LogRow | null): Violation =>
  violation("L2", `${event.event} of ${sessionKey(event)} was owed for ${seconds(tookNs)} s`, event, row);

const seconds = (ns: number): string => (ns / secondNs).toFixed(1);
