import { sha256 } from "../chaos/src/sink-log.ts";
import {
  conversation,
  type Draft,
  deliver,
  drop,
  endpointId,
  epochMs,
  eventOf,
  loseAttempt,
  ns,
  requestOf,
  rowOf,
  sealRequest,
  tryOf,
} from "./chaos-history.ts";

/** Another session's event came later and went at once: what waited did not wait for the endpoint's backlog. */
function overtake(draft: Draft): void {
  const other = { ...eventOf(draft, "session.ended"), session: "call-2", webhookId: "msg_2" };
  draft.events.push({ ...other, emittedMs: epochMs + 2_000 });
  deliver(draft, other, 2_010);
}

export const broken: Array<[invariant: string, what: RegExp, bend: (draft: Draft) => void]> = [
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
