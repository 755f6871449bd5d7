import type { EventName, Try } from "../history.ts";
import { type Evidence, eventOfKind, groupBy, type Violation, violation } from "./evidence.ts";

/** I1: a report answered 2xx leads, for every delivery it implies, to exactly one terminal row. */
export function checkLostAcks(evidence: Evidence): Violation[] {
  return [...lostEvents(evidence), ...wronglyLate(evidence), ...unsettled(evidence), ...doubleRows(evidence)];
}

/** Events that acknowledged reports imply and that are not there. */
function lostEvents({ triesOf, eventsOf }: Evidence): Violation[] {
  return [...triesOf].flatMap(([key, tries]) => {
    const have = new Set(eventsOf.get(key)?.map((row) => row.event));
    return impliedBy(tries)
      .filter(({ event }) => !have.has(event))
      .map(({ event, by }) =>
        violation("I1", `${event} of ${key} was never emitted, though its reports were answered 2xx`, ...by),
      );
  });
}

/** A report may be told that it is late only when its session was finalized without it. */
function wronglyLate({ triesOf, eventsOf }: Evidence): Violation[] {
  return [...triesOf].flatMap(([key, tries]) => {
    const events = eventsOf.get(key) ?? [];
    const finalized = events.some((row) => row.event === "session.finalized");
    return tries
      .filter((entry) => entry.late)
      .filter((entry) => !finalized || entry.events.length > 0)
      .map((entry) =>
        violation("I1", `${entry.kind} of ${key} was called late, and nothing was over`, entry, ...events),
      );
  });
}

function impliedBy(tries: readonly Try[]): Array<{ event: EventName; by: Try[] }> {
  const taken = (kind: Try["kind"]): Try | undefined =>
    tries.find((entry) => entry.kind === kind && entry.result === "ok" && !entry.late);
  const implied: Array<{ event: EventName; by: Try[] }> = [];
  for (const kind of ["conversation-ended", "call-ended", "recording-processed"] as const) {
    const entry = taken(kind);
    const event = eventOfKind[kind];
    if (entry !== undefined && event !== undefined) implied.push({ event, by: [entry] });
  }
  const conversation = taken("conversation-ended");
  const call = taken("call-ended");
  if (call?.body.conversation === "none") {
    implied.push({ event: "session.ended", by: [call] }, { event: "session.finalized", by: [call] });
  } else if (conversation !== undefined && (call !== undefined || conversation.body.channel === "text")) {
    implied.push({
      event: "session.finalized",
      by: call === undefined ? [conversation] : [conversation, call],
    });
  }
  return implied;
}

/** Each event has one settled delivery to its project's endpoint when that subscribes to it, else none. */
function unsettled({ history, endpointOf, logsOf }: Evidence): Violation[] {
  const owed = groupBy(history.tables.owed, (row) => row.webhookId);
  return history.tables.events.flatMap((event) => {
    const subscribes = endpointOf.get(event.project)?.events.includes(event.event) ?? false;
    const rows = logsOf.get(event.webhookId) ?? [];
    const terminal = rows.filter((row) => row.settledAs !== null);
    const wanted = subscribes ? 1 : 0;
    if (terminal.length === wanted && !owed.has(event.webhookId)) return [];
    return violation(
      "I1",
      `${event.event} of ${event.session} has ${terminal.length} terminal rows, expected ${wanted}`,
      { ...event, payload: undefined },
      ...rows,
      ...(owed.get(event.webhookId) ?? []),
    );
  });
}

/** An attempt has one row. */
function doubleRows({ history }: Evidence): Violation[] {
  const groups = groupBy(history.tables.logs, (row) => `${row.deliveryId} ${row.attempt}`);
  return [...groups.values()]
    .filter((rows) => rows.length > 1)
    .map((rows) =>
      violation("I1", `attempt ${rows[0]?.attempt} of a delivery has ${rows.length} rows`, ...rows),
    );
}
