import type { Endpoint, EventRow, History, LogRow, SinkRequest, Try } from "../history.ts";
import { ClockMap } from "./clock-map.ts";
import { Patience } from "./patience.ts";

/** A rule that a run has broken, with what shows it. */
export interface Violation {
  /** I1 to I13, L1 to L7. */
  readonly invariant: string;
  readonly what: string;
  /** Lines of the logs and rows of the tables, as JSON. */
  readonly lines: readonly string[];
}

export function violation(invariant: string, what: string, ...shown: readonly unknown[]): Violation {
  return { invariant, what, lines: shown.map((item) => JSON.stringify(item)) };
}

/** Groups items by a key, in their order. */
export function groupBy<Item>(items: Iterable<Item>, keyOf: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}

export const sessionKey = (item: { readonly project: string; readonly session: string }): string =>
  `${item.project} ${item.session}`;

export const attemptKey = (webhookId: string, attempt: number | string): string => `${webhookId} ${attempt}`;

/** A run's history with the indexes that the invariants need. */
export interface Evidence {
  readonly history: History;
  readonly clock: ClockMap;
  readonly patience: Patience;
  readonly endpointOf: ReadonlyMap<string, Endpoint>;
  readonly pathOf: ReadonlyMap<string, Endpoint>;
  readonly triesOf: ReadonlyMap<string, readonly Try[]>;
  /** Events of a session in the order of their emission. */
  readonly eventsOf: ReadonlyMap<string, readonly EventRow[]>;
  readonly eventById: ReadonlyMap<string, EventRow>;
  /** Rows of an event's deliveries in the order in which they were written. */
  readonly logsOf: ReadonlyMap<string, readonly LogRow[]>;
  /** Requests by webhook-id and attempt. */
  readonly requestsOf: ReadonlyMap<string, readonly SinkRequest[]>;
}

export const webhookIdOf = (request: SinkRequest): string => request.headers["webhook-id"] ?? "";
export const attemptOf = (request: SinkRequest): string => request.headers["sendoff-attempt"] ?? "";

export function evidenceOf(history: History): Evidence {
  const { events, logs } = history.tables;
  return {
    history,
    clock: new ClockMap(history.clock),
    patience: new Patience(history.ticks),
    endpointOf: new Map(history.endpoints.map((endpoint) => [endpoint.project, endpoint])),
    pathOf: new Map(
      history.endpoints.flatMap((endpoint) => (endpoint.path === null ? [] : [[endpoint.path, endpoint]])),
    ),
    triesOf: groupBy(history.tries, sessionKey),
    eventsOf: groupBy(events, sessionKey),
    eventById: new Map(events.map((row) => [row.webhookId, row])),
    logsOf: groupBy(logs, (row) => row.webhookId),
    requestsOf: groupBy(history.requests, (request) => attemptKey(webhookIdOf(request), attemptOf(request))),
  };
}

/** What a report says, as far as it goes into an event; two reports are the same when this is. */
export function contentOf(kind: Try["kind"], body: Readonly<Record<string, unknown>>): string {
  const fields: Partial<Record<Try["kind"], readonly string[]>> = {
    "conversation-ended": ["currentNodeId", "messagesCount", "extractedVariables"],
    "call-ended": ["callStatus", "callDuration"],
    "recording-processed": ["success"],
  };
  return JSON.stringify((fields[kind] ?? []).map((name) => body[name]));
}

/** Which event a kind of report emits. */
export const eventOfKind: Partial<Record<Try["kind"], EventRow["event"]>> = {
  "conversation-ended": "session.ended",
  "call-ended": "call.ended",
  "recording-processed": "recording.ready",
};

export const payloadOf = (row: EventRow): Record<string, unknown> =>
  JSON.parse(row.payload) as Record<string, unknown>;

/** Whether Sendoff itself has put it in the place of a report that did not come; see plans.ts on the marks. */
export function isOwn(row: EventRow): boolean {
  const payload = payloadOf(row);
  if (row.event === "call.ended") return payload.callStatus === "unknown";
  if (row.event !== "session.ended") return false;
  return /^(start$|progress-)/.test(String(payload.currentNodeId));
}
