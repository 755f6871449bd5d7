import type { EventRow, LogRow, Span } from "../history.ts";
import { secondNs } from "../monotonic.ts";
import { type Evidence, type Violation, violation } from "./evidence.ts";
import { upWindows, usableNs } from "./uptime.ts";

/** How long after its emission an attempt that waits for nothing may be claimed, in time that the system worked. */
const promptNs = 3 * secondNs;
/** Claims take what is due by batches, so that one or the other of a batch is a little early. */
const overtakenMs = 2_000;
const linkLifeMs = 15 * 60 * 1_000;
/** Between minting and begin lie signing and connecting; the expiry is in whole seconds. */
const linkToleranceMs = 6_000;

/** I11: recording.ready delays nothing and is delayed by nothing; its URL is minted per attempt and lives 15 min. */
export function checkRecordings(evidence: Evidence): Violation[] {
  const windows = upWindows(evidence.history, ["postgres", "worker"]);
  const found: Violation[] = [];
  for (const events of evidence.eventsOf.values()) {
    const recording = events.find((row) => row.event === "recording.ready");
    if (recording === undefined) continue;
    found.push(...delayed(evidence, windows, recording), ...delays(evidence, windows, recording, events));
  }
  return [...found, ...links(evidence)];
}

const firstRow = ({ logsOf }: Evidence, event: EventRow): LogRow | undefined =>
  logsOf.get(event.webhookId)?.find((row) => row.attempt === 1);
const lastRow = ({ logsOf }: Evidence, event: EventRow): LogRow | undefined =>
  logsOf.get(event.webhookId)?.find((row) => row.settledAs !== null);

function delayed(evidence: Evidence, windows: readonly Span[], recording: EventRow): Violation[] {
  const row = firstRow(evidence, recording);
  if (row === undefined) return [];
  const waited = usableNs(
    evidence.patience,
    windows,
    evidence.clock.ns(recording.emittedMs),
    evidence.clock.ns(row.attemptedMs),
  );
  if (waited <= promptNs) return [];
  const overtaker = overtakerOf(evidence, recording, recording.emittedMs, row);
  if (overtaker === undefined) return [];
  return [
    violation(
      "I11",
      `recording.ready of ${recording.session} waited ${seconds(waited)} s`,
      recording,
      row,
      overtaker,
    ),
  ];
}

/**
 * A delivery to the same endpoint that waits for nothing either, came later, and went long before. Without one it was
 * the endpoint's backlog that delayed the event, which is everybody's: after a death its places are held until the leases end.
 *
 * @param freeMs since when the event has waited for nothing.
 */
function overtakerOf(evidence: Evidence, event: EventRow, freeMs: number, row: LogRow): LogRow | undefined {
  for (const events of evidence.eventsOf.values()) {
    const head = events[0];
    if (head === undefined || head.project !== event.project || head.session === event.session) continue;
    const first = firstRow(evidence, head);
    const later = head.emittedMs > freeMs;
    if (first !== undefined && later && first.attemptedMs < row.attemptedMs - overtakenMs) return first;
  }
  return undefined;
}

/** A delivery of the lane that waited only while the recording's was unsettled. */
function delays(
  { clock, ...evidence }: Evidence,
  windows: readonly Span[],
  recording: EventRow,
  events: readonly EventRow[],
): Violation[] {
  const all = { clock, ...evidence };
  const settled = lastRow(all, recording);
  if (settled === undefined) return [];
  const found: Violation[] = [];
  let freeMs = 0;
  for (const event of events) {
    if (event.event === "recording.ready") continue;
    const first = firstRow(all, event);
    const last = lastRow(all, event);
    if (first === undefined || last === undefined) continue;
    const fromMs = Math.max(freeMs, event.emittedMs);
    freeMs = last.loggedMs;
    const during = fromMs >= recording.emittedMs && first.attemptedMs >= settled.loggedMs;
    const waited = usableNs(all.patience, windows, clock.ns(fromMs), clock.ns(first.attemptedMs));
    const hasWaited = during && fromMs < settled.loggedMs && waited > promptNs;
    const overtaker = hasWaited ? overtakerOf(all, event, fromMs, first) : undefined;
    if (overtaker !== undefined) {
      found.push(
        violation(
          "I11",
          `${event.event} of ${event.session} waited for recording.ready`,
          event,
          first,
          settled,
          overtaker,
        ),
      );
    }
  }
  return found;
}

function links({ history }: Evidence): Violation[] {
  return history.requests.flatMap((request) => {
    if (request.event !== "recording.ready" || request.body === null) return [];
    const { success, recordingUrl } = JSON.parse(request.body) as Record<string, unknown>;
    const complain = (what: string): Violation =>
      violation("I11", `recording.ready of ${request.session}: ${what}`, { ...request, headers: undefined });
    if (success !== true) {
      return recordingUrl === undefined ? [] : [complain("it failed and yet has a recordingUrl")];
    }
    if (typeof recordingUrl !== "string" || !URL.canParse(recordingUrl)) {
      return [complain(`its recordingUrl is ${JSON.stringify(recordingUrl)}`)];
    }
    const expiresMs = Number(new URL(recordingUrl).searchParams.get("expires")) * 1_000;
    const lifeMs = expiresMs - request.wallMs;
    return Math.abs(lifeMs - linkLifeMs) <= linkToleranceMs
      ? []
      : [complain(`its recordingUrl lives ${Math.round(lifeMs / 1_000)} s from its begin`)];
  });
}

const seconds = (ns: number): string => (ns / secondNs).toFixed(1);
