// The checker of the chaos rig, seen failing: one small history that keeps every promise, and for each invariant the
// same history with one thing wrong.
import { Webhook } from "standardwebhooks";
import { describe, expect, test } from "vitest";
import { check, invariants } from "../chaos/src/checker/check.ts";
import { usableNs } from "../chaos/src/checker/uptime.ts";
import type { EventRow, History, LogRow, SinkRequest, Try } from "../chaos/src/history.ts";
import { createRandom } from "../chaos/src/random.ts";
import { type SinkEntry, SinkView, sha256, storedForm } from "../chaos/src/sink-log.ts";

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };
type Event = EventRow["event"];

const project = "7f1f2b58-1fd4-4bb5-a7a9-52a2b8a0f9a1";
const endpointId = "2d1c8f4e-35ba-4a1c-9c0a-6d2f4c1f7f10";
const secret = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
/** The database's clock at monotonic 0, a whole second. */
const epochMs = 1_780_000_000_000;
const ns = (ms: number): number => ms * 1e6;

const conversation = { currentNodeId: "node-a", messagesCount: 3, extractedVariables: { name: "Nancy" } };
const call = { callStatus: "userHangup", callDuration: 20 };
const recording = { success: true, objectKey: `projects/${project}/audio.ogg` };

function payloadOf(event: Event, session: string): Record<string, unknown> {
  const head = { event, sessionId: session };
  if (event === "session.ended") return { ...head, ...conversation, reason: "session_ended" };
  if (event === "call.ended") return { ...head, ...call };
  return event === "session.finalized" ? { ...head, ...conversation, ...call } : { ...head, success: true };
}

/** A history that can be bent. */
interface Draft {
  tries: Array<Mutable<Try>>;
  requests: Array<Mutable<SinkRequest>>;
  events: Array<Mutable<EventRow>>;
  logs: Array<Mutable<LogRow>>;
  owed: Array<History["tables"]["owed"][number]>;
  trespasses: Array<History["trespasses"][number]>;
  faults: Array<History["faults"][number]>;
  attempts: number | null;
  path: string | null;
}

/** Signs what a draft's request now holds. */
function sealRequest(request: Mutable<SinkRequest>): void {
  const id = request.headers["webhook-id"] ?? "";
  const seconds = Math.floor(request.wallMs / 1_000);
  request.headers = {
    ...request.headers,
    "webhook-timestamp": String(seconds),
    "webhook-signature": new Webhook(secret).sign(id, new Date(seconds * 1_000), request.body ?? ""),
  };
}

/** One attempt that was delivered: its request at the sink and its row. */
function deliver(draft: Draft, event: Mutable<EventRow>, atMs: number, attempt = 1): void {
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
function goodDraft(): Draft {
  const session = "call-1";
  const tries = (
    [
      ["conversation-ended", { channel: "call", ...conversation }, 1_000, ["session.ended"]],
      ["call-ended", call, 1_100, ["call.ended", "session.finalized"]],
      ["recording-processed", recording, 1_050, ["recording.ready"]],
    ] as const
  ).map(([kind, body, atMs, events], index) => ({
    ...{ command: index, number: 1, project, session, kind, body, result: "ok" as const, status: 200 },
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

function historyOf(draft: Draft): History {
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
    availability: [
      { ns: 0, member: "all-1", roles: ["api", "worker"], up: true },
      { ns: 0, member: "postgres", roles: ["postgres"], up: true },
    ],
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

function found(bend: (draft: Draft) => void): string[] {
  const draft = goodDraft();
  bend(draft);
  return check(historyOf(draft)).map(({ invariant, what }) => `${invariant} ${what}`);
}

const requestOf = (draft: Draft, event: Event): Mutable<SinkRequest> =>
  draft.requests.find((request) => request.event === event) as Mutable<SinkRequest>;
const rowOf = (draft: Draft, event: Event): Mutable<LogRow> =>
  draft.logs.find((row) => row.event === event) as Mutable<LogRow>;
const eventOf = (draft: Draft, event: Event): Mutable<EventRow> =>
  draft.events.find((row) => row.event === event) as Mutable<EventRow>;
const tryOf = (draft: Draft, kind: Try["kind"]): Mutable<Try> =>
  draft.tries.find((entry) => entry.kind === kind) as Mutable<Try>;

/** Its worker died at 1.5 s: the row says unknown, and the socket went with the process. */
function loseAttempt(draft: Draft, event: Event, settles: boolean): void {
  Object.assign(requestOf(draft, event), { answer: null, sent: false, closedNs: ns(1_500) });
  Object.assign(rowOf(draft, event), {
    ...{ outcome: "unknown", status: null, settledAs: settles ? "unknown" : null },
    loggedMs: epochMs + 7_500,
  });
}

function drop<Item>(items: Item[], isIt: (item: Item) => boolean): void {
  items.splice(0, items.length, ...items.filter((item) => !isIt(item)));
}

test("a history that keeps every promise has no violations", () => {
  expect(found(() => {})).toEqual([]);
});

test("so has one in which a worker died: other events are sent again, session.finalized is unknown", () => {
  const again = found((draft) => {
    loseAttempt(draft, "recording.ready", false);
    deliver(draft, eventOf(draft, "recording.ready"), 8_000, 2);
    loseAttempt(draft, "session.finalized", true);
  });
  expect(again).toEqual([]);
});

/** For each invariant: what is bent, and the violation that must be told. */
/** Another session's event came later and went at once: what waited did not wait for the endpoint's backlog. */
function overtake(draft: Draft): void {
  const other = { ...eventOf(draft, "session.ended"), session: "call-2", webhookId: "msg_2" };
  draft.events.push({ ...other, emittedMs: epochMs + 2_000 });
  deliver(draft, other, 2_010);
}

const bad: Array<[invariant: string, what: RegExp, bend: (draft: Draft) => void]> = [
  [
    "I1",
    /session\.ended of .* was never emitted/,
    (draft) => {
      const isIt = (row: { event: string | null }): boolean => row.event === "session.ended";
      drop(draft.events, isIt);
      drop(draft.logs, isIt);
      drop(draft.requests, isIt);
    },
  ],
  ["I1", /has 0 terminal rows/, (draft) => (rowOf(draft, "call.ended").settledAs = null)],
  ["I1", /has 2 rows/, (draft) => draft.logs.push({ ...rowOf(draft, "call.ended") })],
  [
    "I1",
    /1 terminal rows/,
    (draft) => {
      const event = eventOf(draft, "call.ended");
      draft.owed.push({ ...event, endpointId, state: "pending", attempts: 0 });
    },
  ],
  [
    "I2",
    /session\.finalized of call-1 began 2 times/,
    (draft) => {
      loseAttempt(draft, "session.finalized", false);
      deliver(draft, eventOf(draft, "session.finalized"), 8_000, 2);
    },
  ],
  [
    "I2",
    /began while the one before was open/,
    (draft) => {
      loseAttempt(draft, "recording.ready", false);
      requestOf(draft, "recording.ready").closedNs = ns(8_005);
      deliver(draft, eventOf(draft, "recording.ready"), 8_000, 2);
    },
  ],
  [
    "I2",
    /though nothing had died/,
    (draft) => {
      rowOf(draft, "recording.ready").settledAs = null;
      deliver(draft, eventOf(draft, "recording.ready"), 8_000, 2);
    },
  ],
  [
    "I2",
    /several webhook-ids/,
    (draft) => {
      loseAttempt(draft, "recording.ready", false);
      deliver(draft, { ...eventOf(draft, "recording.ready"), webhookId: "msg_other" }, 8_000, 2);
    },
  ],
  [
    "I2",
    /began 3 times, expected at most 2/,
    (draft) => {
      draft.attempts = 2;
      for (const attempt of [2, 3])
        deliver(draft, eventOf(draft, "recording.ready"), 2_000 * attempt, attempt);
    },
  ],
  [
    "I3",
    /call\.ended of call-1 began after session\.finalized/,
    (draft) => (requestOf(draft, "call.ended").beginNs = ns(1_160)),
  ],
  ["I3", /was still open/, (draft) => (requestOf(draft, "call.ended").closedNs = ns(1_151))],
  ["I3", /was still open/, (draft) => (requestOf(draft, "session.ended").closedNs = null)],
  ["I4", /was emitted 2 times/, (draft) => draft.events.push({ ...eventOf(draft, "call.ended") })],
  [
    "I1",
    /was called late, and nothing was over/,
    (draft) => {
      const call = tryOf(draft, "call-ended");
      draft.tries.push({ ...call, number: 2, late: true, events: ["call.ended"] });
    },
  ],
  [
    "I4",
    /2 answers say that they emitted/,
    (draft) =>
      draft.tries.push({ ...tryOf(draft, "call-ended"), number: 2, duplicate: true, events: ["call.ended"] }),
  ],
  ["I5", /no row of webhook_logs/, (draft) => drop(draft.logs, (row) => row.event === "call.ended")],
  [
    "I5",
    /before its attempt was committed/,
    (draft) => (rowOf(draft, "call.ended").attemptedMs = epochMs + 1_112),
  ],
  [
    "I5",
    /not the stored ones/,
    (draft) => {
      const request = requestOf(draft, "call.ended");
      request.body = (request.body ?? "").replace("20", "21");
      request.sha256 = sha256(request.body);
      sealRequest(request);
    },
  ],
  [
    "I5",
    /one attempt made 2 requests/,
    (draft) => draft.requests.push({ ...requestOf(draft, "call.ended"), id: 99, beginNs: ns(1_130) }),
  ],
  ["I5", /nobody has reported/, (draft) => draft.tries.splice(0)],
  [
    "I5",
    /no report said so/,
    (draft) => (eventOf(draft, "call.ended").payload = '{"callStatus":"busy","callDuration":0}'),
  ],
  [
    "I5",
    /no event has the webhook-id/,
    (draft) => drop(draft.events, (row) => row.event === "recording.ready"),
  ],
  ["I6", /the sink has answered no such attempt/, (draft) => (requestOf(draft, "call.ended").answer = null)],
  [
    "I6",
    /the row has status 200, the sink answered 500/,
    (draft) => (requestOf(draft, "call.ended").answer = { ns: ns(1_120), status: 500 }),
  ],
  [
    "I6",
    /unreachable, but the sink has answered/,
    (draft) => Object.assign(rowOf(draft, "call.ended"), { outcome: "unreachable", settledAs: "failed" }),
  ],
  ["I6", /its address is forbidden/, (draft) => (draft.path = null)],
  [
    "I8",
    /signature does not verify/,
    (draft) => {
      const request = requestOf(draft, "call.ended");
      request.headers = { ...request.headers, "webhook-signature": "v1,AAAA" };
    },
  ],
  ["I8", /7\.\d s before its begin/, (draft) => (requestOf(draft, "call.ended").wallMs += 7_000)],
  [
    "I9",
    /a redirect was followed/,
    (draft) => draft.trespasses.push({ ns: 1, what: "a redirect was followed" }),
  ],
  [
    "I11",
    /recording\.ready of call-1 waited 8\.\d s/,
    (draft) => {
      rowOf(draft, "recording.ready").attemptedMs = epochMs + 9_500;
      overtake(draft);
    },
  ],
  [
    "I11",
    /session\.finalized of call-1 waited for recording\.ready/,
    (draft) => {
      rowOf(draft, "recording.ready").loggedMs = epochMs + 9_000;
      rowOf(draft, "session.finalized").attemptedMs = epochMs + 9_001;
      overtake(draft);
    },
  ],
  [
    "I11",
    /lives \d+ s from its begin/,
    (draft) => {
      const request = requestOf(draft, "recording.ready");
      request.body = (request.body ?? "").replace(/expires=\d+/, `expires=${epochMs / 1_000 + 60}`);
      sealRequest(request);
    },
  ],
  [
    "I13",
    /contradicting reports were both taken/,
    (draft) =>
      draft.tries.push({
        ...tryOf(draft, "call-ended"),
        ...{ command: 9, body: { callStatus: "voicemail", callDuration: 1 }, duplicate: true, events: [] },
      }),
  ],
  [
    "I13",
    /2 answers say that they were the first/,
    (draft) => draft.tries.push({ ...tryOf(draft, "call-ended"), command: 9, events: [] }),
  ],
  [
    "I13",
    /it was refused, but it is what stands/,
    (draft) =>
      draft.tries.push({
        ...tryOf(draft, "call-ended"),
        ...{ command: 9, result: "refused", status: 409, reason: "report_contradicts", events: [] },
      }),
  ],
  [
    "I13",
    /was refused: wrong_key/,
    (draft) =>
      draft.tries.push({
        ...tryOf(draft, "call-ended"),
        ...{ command: 9, result: "refused", status: 401, reason: "wrong_key", events: [] },
      }),
  ],
  [
    "L1",
    /was finalized never/,
    (draft) => {
      const isIt = (row: { event: string | null }): boolean =>
        row.event === "session.finalized" || row.event === "call.ended";
      drop(draft.events, isIt);
      drop(draft.logs, isIt);
      drop(draft.requests, isIt);
      drop(draft.tries, (entry) => entry.kind === "call-ended");
    },
  ],
  [
    "L1",
    /stated before its deadline/,
    (draft) => {
      const own = { callStatus: "unknown", callDuration: 0 };
      eventOf(draft, "call.ended").payload = JSON.stringify(own);
      eventOf(draft, "session.finalized").payload = JSON.stringify({ ...conversation, ...own });
    },
  ],
  ["L2", /was owed for 17\.\d s/, (draft) => (rowOf(draft, "call.ended").loggedMs = epochMs + 19_000)],
  ["L2", /was owed for \d+\.\d s/, (draft) => drop(draft.logs, (row) => row.event === "call.ended")],
];

describe("a history with one thing wrong", () => {
  test.each(bad)("%s: %s", (invariant, what, bend) => {
    const violations = found(bend);
    expect(violations).toContainEqual(expect.stringMatching(new RegExp(`^${invariant} .*${what.source}`)));
  });

  test("every invariant is seen failing", () => {
    expect([...new Set(bad.map(([invariant]) => invariant))].sort()).toEqual(Object.keys(invariants).sort());
  });
});

describe("what the checker counts with", () => {
  test("time counts only while the system works, from a second after it came up", () => {
    const windows = [
      { fromNs: ns(0), toNs: ns(5_000) },
      { fromNs: ns(10_000), toNs: ns(10_900) },
      { fromNs: ns(20_000), toNs: ns(30_000) },
    ];
    expect(usableNs(windows, ns(3_000), ns(24_000))).toBe(ns(2_000 + 0 + 3_000));
  });

  test("the stored form of a body is the body without its recordingUrl", () => {
    expect(storedForm('{"success":true,"recordingUrl":"http://x/y?expires=1"}')).toBe('{"success":true}');
    expect(storedForm('{"success":false}')).toBe('{"success":false}');
  });

  test("a request is closed by what comes first: the answer sent, or the connection gone", () => {
    const view = new SinkView();
    const begin = { t: "begin", path: "/fast", headers: {}, wallMs: 0 } as const;
    const entries: SinkEntry[] = [
      { ...begin, id: 1, ns: 1 },
      { ...begin, id: 2, ns: 2 },
      { t: "sent", id: 1, ns: 3 },
      { t: "closed", id: 1, ns: 9 },
    ];
    view.add(entries);
    expect(view.requests().map((request) => request.closedNs)).toEqual([3, null]);
    expect(view.open().map((request) => request.id)).toEqual([2]);
  });

  test("a seed decides the dice", () => {
    const [first, second] = ["7", "7"].map((seed) => {
      const random = createRandom(seed).fork("kills");
      return Array.from({ length: 5 }, () => random.int(0, 1_000));
    });
    expect(first).toEqual(second);
  });
});
