// A small history of the chaos rig that keeps every promise, and how it is bent.
import { Webhook } from "standardwebhooks";
import { check } from "../chaos/src/checker/check.ts";
import type { EventRow, History, LogRow, Move, Readiness, SinkRequest, Try } from "../chaos/src/history.ts";
import { sha256, storedForm } from "../chaos/src/sink-log.ts";

export type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };
export type Event = EventRow["event"];

const project = "7f1f2b58-1fd4-4bb5-a7a9-52a2b8a0f9a1";
export const endpointId = "2d1c8f4e-35ba-4a1c-9c0a-6d2f4c1f7f10";
const secret = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
/** The database's clock at monotonic 0, a whole second. */
export const epochMs = 1_780_000_000_000;
export const ns = (ms: number): number => ms * 1e6;

export const conversation = {
  currentNodeId: "node-a",
  messagesCount: 3,
  extractedVariables: { name: "Nancy" },
};
const call = { callStatus: "userHangup", callDuration: 20 };
const recording = { success: true, objectKey: `projects/${project}/audio.ogg` };

function payloadOf(event: Event, session: string): Record<string, unknown> {
  const head = { event, sessionId: session };
  if (event === "session.ended") return { ...head, ...conversation, reason: "session_ended" };
  if (event === "call.ended") return { ...head, ...call };
  return event === "session.finalized" ? { ...head, ...conversation, ...call } : { ...head, success: true };
}

/** A history that can be bent. */
export interface Draft {
  tries: Array<Mutable<Try>>;
  requests: Array<Mutable<SinkRequest>>;
  events: Array<Mutable<EventRow>>;
  logs: Array<Mutable<LogRow>>;
  owed: Array<History["tables"]["owed"][number]>;
  trespasses: Array<History["trespasses"][number]>;
  faults: Array<History["faults"][number]>;
  moves: Move[];
  readiness: Readiness[];
  availability: Array<History["availability"][number]>;
  attempts: number | null;
  path: string | null;
}

/** Signs what a draft's request now holds. */
export function sealRequest(request: Mutable<SinkRequest>): void {
  const id = request.headers["webhook-id"] ?? "";
  const seconds = Math.floor(request.wallMs / 1_000);
  request.headers = {
    ...request.headers,
    "webhook-timestamp": String(seconds),
    "webhook-signature": new Webhook(secret).sign(id, new Date(seconds * 1_000), request.body ?? ""),
  };
}

/** One attempt that was delivered: its request at the sink and its row. */
export function deliver(draft: Draft, event: Mutable<EventRow>, atMs: number, attempt = 1): void {
  const link = `http://127.0.0.1/r?expires=${Math.floor((epochMs + atMs) / 1_000) + 900}&signature=x`;
  const body =
    event.event === "recording.ready"
      ? `${event.payload.slice(0, -1)},"recordingUrl":"${link}"}`
      : event.payload;
  const request: Mutable<SinkRequest> = {
    id: draft.requests.length + 1,
    path: "/fast",
    headers: { "webhook-id": event.webhookId, "sendoff-attempt": String(attempt) },
    beginNs: ns(atMs),
    wallMs: epochMs + atMs,
    body,
    sha256: sha256(storedForm(body)),
    event: event.event,
    session: event.session,
    answer: { ns: ns(atMs + 10), status: 200 },
    closedNs: ns(atMs + 11),
    sent: true,
  };
  sealRequest(request);
  draft.requests.push(request);
  draft.logs.push({
    webhookId: event.webhookId,
    deliveryId: event.webhookId,
    endpointId,
    project,
    session: event.session,
    event: event.event,
    attempt,
    trigger: "live",
    outcome: "delivered",
    errorCode: null,
    status: 200,
    settledAs: "delivered",
    attemptedMs: epochMs + atMs - 2,
    loggedMs: epochMs + atMs + 15,
  });
}

/** A call whose three facts were reported at 1 s and 1.1 s, and delivered right after. */
export function goodDraft(): Draft {
  const session = "call-1";
  const tries = (
    [
      ["conversation-ended", { channel: "call", ...conversation }, 1_000, ["session.ended"]],
      ["call-ended", call, 1_100, ["call.ended", "session.finalized"]],
      ["recording-processed", recording, 1_050, ["recording.ready"]],
    ] as const
  ).map(([kind, body, atMs, events], index) => ({
    ...{
      command: index,
      number: 1,
      api: "all-1",
      project,
      session,
      kind,
      body,
      result: "ok" as const,
      status: 200,
    },
    ...{ startNs: ns(atMs), endNs: ns(atMs + 5), reason: null, duplicate: false, late: false, events },
  }));
  const emitted: Array<[Event, number]> = [
    ["session.ended", 1_002],
    ["recording.ready", 1_052],
    ["call.ended", 1_102],
    ["session.finalized", 1_102],
  ];
  const events = emitted.map(([event, atMs]) => ({
    ...{ project, session, event, webhookId: `msg_${event}`, deliveries: 1 },
    payload: JSON.stringify(payloadOf(event, session)),
    emittedMs: epochMs + atMs,
  }));
  const draft: Draft = {
    ...{ tries, events, requests: [], logs: [], owed: [], trespasses: [] },
    faults: [
      {
        ...{ ns: ns(1_500), kind: "kill", target: "worker", part: "child", member: "worker-1" },
        ...{ stopMs: null, inFlight: [] },
      },
    ],
    ...{ moves: [], readiness: [] },
    availability: [
      { ns: 0, member: "all-1", roles: ["api", "worker"], up: true },
      { ns: 0, member: "postgres", roles: ["postgres"], up: true },
    ],
    attempts: null,
    path: "/fast",
  };
  const at: Record<Event, number> = {
    "session.ended": 1_010,
    "recording.ready": 1_060,
    "call.ended": 1_110,
    "session.finalized": 1_150,
  };
  for (const event of events) deliver(draft, event, at[event.event]);
  return draft;
}

export function historyOf(draft: Draft): History {
  const allEvents: Event[] = ["session.ended", "call.ended", "session.finalized", "recording.ready"];
  const sessions = [...new Set(draft.events.map((event) => event.session))];
  return {
    settings: {
      conversationGraceMs: 3_000,
      callGraceMs: 4_000,
      sessionTimeoutMs: 6_000,
      leaseMarginMs: 5_000,
    },
    features: { deadlines: true, retries: true, egress: true, roles: true },
    endpoints: [
      {
        ...{ project, endpointId, path: draft.path, events: allEvents },
        ...{ timeoutMs: 1_000, attempts: draft.attempts, secret },
      },
    ],
    tries: draft.tries,
    requests: draft.requests,
    trespasses: draft.trespasses,
    faults: draft.faults,
    moves: draft.moves,
    readiness: draft.readiness,
    ticks: [],
    availability: draft.availability,
    clock: [{ beforeNs: 0, afterNs: 0, databaseMs: epochMs }],
    tables: {
      sessions: sessions.map((session) => ({ project, session, state: "finalized", channel: "call" })),
      events: draft.events,
      logs: draft.logs,
      owed: draft.owed,
    },
    endNs: ns(60_000),
  };
}

export function found(bend: (draft: Draft) => void): string[] {
  const draft = goodDraft();
  bend(draft);
  return check(historyOf(draft)).map(({ invariant, what }) => `${invariant} ${what}`);
}

export const requestOf = (draft: Draft, event: Event): Mutable<SinkRequest> =>
  draft.requests.find((request) => request.event === event) as Mutable<SinkRequest>;
export const rowOf = (draft: Draft, event: Event): Mutable<LogRow> =>
  draft.logs.find((row) => row.event === event) as Mutable<LogRow>;
export const eventOf = (draft: Draft, event: Event): Mutable<EventRow> =>
  draft.events.find((row) => row.event === event) as Mutable<EventRow>;
export const tryOf = (draft: Draft, kind: Try["kind"]): Mutable<Try> =>
  draft.tries.find((entry) => entry.kind === kind) as Mutable<Try>;

/** Its worker died at 1.5 s: the row says unknown, and the socket went with the process. */
export function loseAttempt(draft: Draft, event: Event, settles: boolean): void {
  Object.assign(requestOf(draft, event), { answer: null, sent: false, closedNs: ns(1_500) });
  Object.assign(rowOf(draft, event), {
    ...{ outcome: "unknown", status: null, settledAs: settles ? "unknown" : null },
    loggedMs: epochMs + 7_500,
  });
}

export function drop<Item>(items: Item[], isIt: (item: Item) => boolean): void {
  items.splice(0, items.length, ...items.filter((item) => !isIt(item)));
}
