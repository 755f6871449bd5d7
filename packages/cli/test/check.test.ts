import { beforeEach, expect, test } from "vitest";
import { check } from "../src/simulate/check.ts";
import type { Fault, FaultKind } from "../src/simulate/faults.ts";
import type { Journal } from "../src/simulate/journal.ts";
import type { SessionPlan } from "../src/simulate/plan.ts";
import { type Attempt, attemptOf, checkInput, demoPlans, faultlessRun } from "./samples.ts";

let plans: SessionPlan[];
let journal: Journal;
let attempts: Attempt[];

beforeEach(() => {
  plans = demoPlans();
  ({ journal, attempts } = faultlessRun(plans));
});

const found = (): Fault[] => check(checkInput(journal, attempts));
const kinds = (faults: readonly Fault[]): FaultKind[] => [...new Set(faults.map((fault) => fault.kind))];

/** The place of an event of a session of the given kind. */
function placeOf(event: string, isCall = true): number {
  const place = attempts.findIndex(
    ({ row }) =>
      row.event === event &&
      plans.find((plan) => plan.sessionId === row.sessionId)?.channel === (isCall ? "call" : "text"),
  );
  expect(place).toBeGreaterThanOrEqual(0);
  return place;
}

function change(place: number, changed: (attempt: Attempt) => Attempt): void {
  const attempt = attempts[place];
  if (attempt === undefined) throw new RangeError(`there is no attempt ${place}`);
  attempts[place] = changed(attempt);
}

const withBody =
  (rewrite: (body: string) => string) =>
  (attempt: Attempt): Attempt => ({
    ...attempt,
    request: { ...attempt.request, body: rewrite(attempt.request.body) },
  });

function planAt(place: number): SessionPlan {
  const plan = plans.find(({ sessionId }) => sessionId === attempts[place]?.row.sessionId);
  if (plan === undefined) throw new RangeError(`there is no session at ${place}`);
  return plan;
}

test("a run without faults has none", () => {
  expect(attempts.length).toBeGreaterThan(60);
  expect(found()).toEqual([]);
});

test("an event that was never attempted is missing", () => {
  attempts.splice(placeOf("session.finalized", false), 1);
  expect(found()).toMatchObject([{ kind: "missing", event: "session.finalized" }]);
});

test("an event that was attempted and has not settled is missing", () => {
  change(placeOf("call.ended"), (attempt) => ({
    ...attempt,
    row: { ...attempt.row, outcome: "unknown", settledAs: null },
  }));
  expect(found()).toMatchObject([{ kind: "missing", detail: "not settled after 1 attempts" }]);
});

test("an event that is logged as delivered and did not arrive is missing", () => {
  const input = checkInput(journal, attempts.slice(1));
  const rows = attempts.map(({ row }) => row);
  expect(check({ ...input, rows })).toMatchObject(
    [{ kind: "missing", detail: /did not arrive/ }].map(matching),
  );
});

test("an unknown outcome after a crash is not missing, whether it arrived or not", () => {
  const place = placeOf("session.finalized");
  change(place, (attempt) => ({
    ...attempt,
    row: { ...attempt.row, outcome: "unknown", settledAs: "unknown" },
  }));
  expect(found()).toEqual([]);
  const rows = attempts.map(({ row }) => row);
  attempts.splice(place, 1);
  expect(check({ ...checkInput(journal, attempts), rows })).toEqual([]);
});

test("an event that the endpoint refused is settled and not missing", () => {
  change(placeOf("call.ended"), (attempt) => ({
    ...attempt,
    row: { ...attempt.row, outcome: "rejected", settledAs: "rejected" },
  }));
  expect(found()).toEqual([]);
});

test("two deliveries of one event are a duplicate, by the log and on the wire", () => {
  const place = placeOf("session.ended");
  attempts.push(attemptOf(planAt(place), "session.ended", 900, 2));
  const faults = found().filter((fault) => fault.kind === "duplicate");
  expect(faults.map((fault) => fault.detail)).toEqual([
    "delivered 2 times by the log",
    "arrived again as attempt 2 after delivered",
  ]);
});

test("an event that went out again after an unknown outcome is no duplicate, unless it is session.finalized", () => {
  const again = (event: "call.ended" | "session.finalized"): Fault[] => {
    const place = placeOf(event);
    change(place, (attempt) => ({
      ...attempt,
      row: { ...attempt.row, outcome: "unknown", settledAs: null },
    }));
    attempts.splice(place + 1, 0, attemptOf(planAt(place), event, place + 1.5, 2));
    attempts = attempts.map((attempt, index) => ({
      ...attempt,
      request: { ...attempt.request, id: String(index + 1) },
      row: { ...attempt.row, attemptedAt: new Date(1_777_797_734_000 + index * 10).toISOString() },
    }));
    return found();
  };
  expect(again("call.ended")).toEqual([]);
  expect(again("session.finalized")).toMatchObject([{ kind: "duplicate", event: "session.finalized" }]);
});

test("an event with two webhook-ids was emitted twice", () => {
  const place = placeOf("recording.ready");
  const second = attemptOf(planAt(place), "recording.ready", 900);
  attempts.push({ ...second, row: { ...second.row, webhookId: "msg_other", outcome: "rejected" } });
  const details = found().map((fault) => fault.detail);
  expect(details).toContainEqual(expect.stringMatching(/^emitted 2 times/));
});

test("a report that was answered as new twice is a duplicate", () => {
  const plan = plans[0];
  if (plan === undefined) throw new RangeError("no plans");
  const answer = {
    sessionId: plan.sessionId,
    state: "ending" as const,
    duplicate: false,
    late: false,
    events: [],
  };
  journal.took(plan, "conversation-ended", answer, 0);
  expect(found()).toMatchObject([
    { kind: "duplicate", detail: "conversation-ended was answered as new 2 times" },
  ]);
});

test("session.ended after session.finalized is out of order, by the log and on the wire", () => {
  const last = attempts.length * 2;
  const place = placeOf("session.ended", false);
  const late = attemptOf(planAt(place), "session.ended", last);
  attempts.splice(place, 1);
  attempts.push(late);
  expect(found().map((fault) => [fault.kind, fault.event, fault.detail])).toEqual([
    ["outOfOrder", "session.ended", "attempted after session.finalized by the log"],
    ["outOfOrder", "session.ended", "arrived after session.finalized"],
  ]);
});

test("recording.ready is outside the order", () => {
  const place = placeOf("recording.ready");
  const late = attemptOf(planAt(place), "recording.ready", attempts.length * 2);
  attempts.splice(place, 1);
  attempts.push(late);
  expect(found()).toEqual([]);
});

test("an event that a session cannot have is unexpected", () => {
  const place = placeOf("session.ended", false);
  attempts.push(attemptOf(planAt(place), "recording.ready", 900));
  expect(kinds(found())).toContain("unexpected");
});

test("an event that the webhook is not subscribed to is unexpected", () => {
  const subscribed = ["session.ended", "session.finalized", "recording.ready"] as const;
  const faults = check({ ...checkInput(journal, attempts), subscribed });
  expect(kinds(faults)).toEqual(["unexpected"]);
  expect(new Set(faults.map((fault) => fault.event))).toEqual(new Set(["call.ended"]));
});

test("a request without a row, and two rows of one attempt, are faults of the log", () => {
  const first = attempts[0];
  const second = attempts[1];
  if (first === undefined || second === undefined) throw new RangeError("too few attempts");
  const rows = attempts.slice(1).map(({ row }) => row);
  rows.push({ ...second.row, id: "again", outcome: "rejected" });
  const faults = check({ ...checkInput(journal, attempts), rows }).filter((fault) => fault.kind === "log");
  expect(faults.map((fault) => fault.detail)).toEqual([
    expect.stringMatching(/^2 rows of attempt 1/),
    "attempt 1 arrived and has no row",
  ]);
});

test("a body that is no JSON of ours, that lacks a field or has a wrong one is invalid", () => {
  change(
    placeOf("call.ended"),
    withBody((body) => body.replace(/"callStatus":"[^"]+"/, '"callStatus":"gone"')),
  );
  change(
    placeOf("session.ended"),
    withBody((body) => body.replace(/"reason":"session_ended"/, '"reason":"x"')),
  );
  change(
    placeOf("recording.ready"),
    withBody((body) => body.replace(/,"recordingUrl":"[^"]+"/, "")),
  );
  expect(new Set(found().map((fault) => `${fault.kind} ${fault.event}`))).toEqual(
    new Set(["invalid call.ended", "invalid session.ended", "invalid recording.ready"]),
  );
});

test("fields in another order, a further field and a field that comes twice are invalid", () => {
  const reversed = (body: string): string =>
    JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(body)).reverse()));
  change(placeOf("call.ended"), withBody(reversed));
  change(
    placeOf("session.ended"),
    withBody((body) => `${body.slice(0, -1)},"more":1}`),
  );
  change(
    placeOf("session.finalized"),
    withBody((body) => body.replace('"event":', '"event":"session.ended","event":')),
  );
  const faults = found();
  expect(faults).toHaveLength(3);
  for (const fault of faults) {
    expect(fault.kind).toBe("invalid");
    expect(fault.detail).toMatch(/^the fields are .*; expected event, sessionId/);
  }
});

test("call fields on a text session are invalid, as values and as null", () => {
  const place = placeOf("session.finalized", false);
  change(
    place,
    withBody((body) => `${body.slice(0, -1)},"callStatus":"userHangup","callDuration":3}`),
  );
  expect(kinds(found())).toEqual(["invalid"]);
  change(
    place,
    withBody((body) =>
      body.replace('"userHangup"', "null").replace('"callDuration":3', '"callDuration":null'),
    ),
  );
  expect(kinds(found())).toEqual(["invalid"]);
});

test("values other than those that were reported are invalid", () => {
  change(
    placeOf("session.ended", false),
    withBody((body) => body.replace(/"messagesCount":\d+/, '"messagesCount":999')),
  );
  expect(found()).toMatchObject([
    { kind: "invalid", detail: expect.stringMatching(/^messagesCount is 999; reported was/) },
  ]);
});

test("a request without its webhook headers is invalid", () => {
  change(0, (attempt) => {
    const { "webhook-signature": _signature, ...headers } = attempt.request.headers;
    return {
      ...attempt,
      request: { ...attempt.request, headers: { ...headers, "webhook-timestamp": "now" } },
    };
  });
  expect(found().map((fault) => fault.detail)).toEqual([
    "the webhook-timestamp header is not seconds since 1970",
    "no webhook-signature header",
  ]);
});

test("requests of other sessions, tests and resends are passed over", () => {
  const place = placeOf("session.finalized");
  const resent = attemptOf(planAt(place), "session.finalized", 900, 2);
  attempts.push({
    row: { ...resent.row, trigger: "resend" },
    request: { ...resent.request, headers: { ...resent.request.headers, "sendoff-trigger": "resend" } },
  });
  const stranger = attemptOf({ ...planAt(place), sessionId: "another" }, "call.ended", 901);
  attempts.push(stranger);
  expect(found()).toEqual([]);
});

test("a session that was known before the run is left out", () => {
  const plan = plans[0];
  if (plan === undefined) throw new RangeError("no plans");
  journal.sessions.get(plan.sessionId)?.asNew.clear();
  attempts = attempts.filter(({ row }) => row.sessionId !== plan.sessionId);
  expect(found()).toEqual([]);
});

/** A regular expression inside an expected object. */
const matching = (fault: { kind: string; detail: RegExp }) => ({
  kind: fault.kind,
  detail: expect.stringMatching(fault.detail),
});
