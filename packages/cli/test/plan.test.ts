import { CreateSession, callStatuses, Report, SessionId, SessionProgress } from "@sendoff/contract";
import { expect, test } from "vitest";
import { eventsOwed, reportTypesOf, type SessionPlan, shares } from "../src/simulate/plan.ts";
import { planSessions } from "../src/simulate/plans.ts";
import { demoFile, parseRow, readRows } from "../src/simulate/rows.ts";
import { demoPlans } from "./samples.ts";

const many = demoPlans(7, 2_000);
const calls = many.filter((plan) => plan.channel === "call");

const reportsOf = (plan: SessionPlan) =>
  plan.steps.flatMap((step) => step.requests.flatMap((one) => (one.kind === "report" ? [one] : [])));

test("the same seed plans the same sessions, another seed others", () => {
  expect(demoPlans(3, 60)).toEqual(demoPlans(3, 60));
  expect(demoPlans(4, 60)).not.toEqual(demoPlans(3, 60));
});

test("session ids are the row's with the run, and with the round when the file is gone through again", () => {
  const plans = demoPlans(1, 49);
  expect(plans[0]?.sessionId).toBe("demo-clinic-reschedule.abc123");
  expect(plans[24]?.sessionId).toBe("demo-clinic-reschedule.2.abc123");
  expect(plans[48]?.sessionId).toBe("demo-clinic-reschedule.3.abc123");
  const kept = planSessions(readRows(demoFile), { sessions: 1, seed: 1, run: null });
  expect(kept[0]?.sessionId).toBe("demo-clinic-reschedule");
  expect(new Set(many.map((plan) => plan.sessionId)).size).toBe(many.length);
});

test("every request of a plan is one that the API takes", () => {
  for (const plan of many) {
    expect(SessionId.safeParse(plan.sessionId).success).toBe(true);
    for (const request of plan.steps.flatMap((step) => step.requests)) {
      if (request.kind === "create") CreateSession.parse(request.body);
      else if (request.kind === "progress") SessionProgress.parse(request.body);
      else if ("seconds" in request) expect(request.seconds).toBeGreaterThanOrEqual(0);
      else Report.parse({ type: request.type, sessionId: plan.sessionId, ...request.body });
    }
  }
});

test("a session is complete: every plan ends in session.finalized, whatever the order of its reports", () => {
  for (const plan of many) {
    const events = eventsOwed(plan, reportTypesOf(plan));
    const recording = plan.facts.recordingSuccess === null ? [] : ["recording.ready"];
    const ends = plan.channel === "call" ? ["session.ended", "call.ended"] : ["session.ended"];
    expect(events).toEqual([...ends, "session.finalized", ...recording]);
  }
});

test("steps are in order of time, and progress never comes after the conversation's end", () => {
  for (const plan of many) {
    const times = plan.steps.map((step) => step.atMs);
    expect(times).toEqual([...times].sort((left, right) => left - right));
    const kinds = plan.steps.flatMap((step) =>
      step.requests.map((one) => (one.kind === "report" ? one.type : one.kind)),
    );
    const end = kinds.indexOf("conversation-ended");
    if (end >= 0) expect(kinds.lastIndexOf("progress")).toBeLessThan(end);
    expect(kinds.lastIndexOf("create")).toBeLessThanOrEqual(0);
  }
});

test("a call that nobody spoke on has one report for both ends, and no progress", () => {
  const silent = calls.filter((plan) => plan.facts.nobodySpoke);
  expect(silent.length).toBeGreaterThan(100);
  for (const plan of silent) {
    expect(reportTypesOf(plan)).not.toContain("conversation-ended");
    expect(plan.steps.flatMap((step) => step.requests).some((one) => one.kind === "progress")).toBe(false);
    expect(reportsOf(plan)[0]).toMatchObject({ body: { conversation: "none" } });
    expect(plan.facts).toMatchObject({ currentNodeId: "start", messagesCount: 0, callDuration: 0 });
  }
});

test("the documented shares hold over many sessions", () => {
  const share = (plans: readonly SessionPlan[], is: (plan: SessionPlan) => boolean): number =>
    plans.filter(is).length / plans.length;
  expect(share(many, (plan) => plan.bulk)).toBeCloseTo(shares.bulk, 1);
  const created = (plan: SessionPlan): boolean => plan.steps[0]?.requests[0]?.kind === "create";
  expect(share(many, created)).toBeCloseTo(1 - shares.createdByReport, 1);

  const spoken = calls.filter((plan) => !plan.facts.nobodySpoke);
  const typesAt = (plan: SessionPlan): string[] => reportsOf(plan).map((report) => report.type);
  const callFirst = (plan: SessionPlan): boolean =>
    typesAt(plan).indexOf("call-ended") < typesAt(plan).indexOf("conversation-ended");
  expect(share(spoken, callFirst)).toBeGreaterThan(0.03);
  expect(share(spoken, callFirst)).toBeLessThan(0.1);

  const reports = many.reduce((sum, plan) => sum + reportsOf(plan).length, 0);
  const distinct = many.reduce((sum, plan) => sum + reportTypesOf(plan).size, 0);
  expect(reports / distinct - 1).toBeGreaterThan(0.03);
  expect(reports / distinct - 1).toBeLessThan(0.05);
});

test("repeats come at once or later, and recordings before, between and after the ends", () => {
  const atOnce = many.filter((plan) =>
    plan.steps.some((step) => new Set(step.requests).size < step.requests.length),
  );
  const later = many.filter((plan) =>
    plan.steps.some((step, index) =>
      plan.steps
        .slice(0, index)
        .some((earlier) => step.requests.some((one) => earlier.requests.includes(one))),
    ),
  );
  expect(atOnce.length).toBeGreaterThan(10);
  expect(later.length).toBeGreaterThan(10);

  const places = new Set(
    calls
      .filter((plan) => plan.facts.recordingSuccess !== null && !plan.facts.nobodySpoke)
      .map((plan) =>
        [...new Set(reportsOf(plan).map((report) => report.type))].indexOf("recording-processed"),
      ),
  );
  expect(places).toEqual(new Set([0, 1, 2]));
  const outcomes = new Set(calls.map((plan) => plan.facts.recordingSuccess));
  expect(outcomes).toEqual(new Set([true, false, null]));
});

test("a call whose row states no status and no duration gets both drawn: none where nobody was there", () => {
  const silent = parseRow('{"id":"a","kind":"call","recording":{"available":false}}', "line 1");
  const recorded = parseRow(
    '{"id":"b","kind":"call","recording":{"available":true,"seconds":41.6}}',
    "line 2",
  );
  const spoken = parseRow('{"id":"c","kind":"call","messagesCount":4,"currentNodeId":"x"}', "line 3");
  const known = parseRow(
    '{"id":"d","kind":"call","messagesCount":4,"callDuration":33,"callStatus":"userHangup"}',
    "line 4",
  );
  const plans = planSessions([silent, recorded, spoken, known], {
    sessions: 4_000,
    seed: 5,
    run: "r",
  });
  const of = (id: string) =>
    plans.filter((plan) => plan.sessionId.startsWith(`${id}.`)).map((plan) => plan.facts);
  const statuses = new Set(plans.map((plan) => plan.facts.callStatus));
  expect(statuses).toEqual(new Set(callStatuses));
  for (const { callStatus, callDuration } of of("a")) {
    if (callStatus === "busy" || callStatus === "userNoAnswer") expect(callDuration).toBe(0);
  }
  expect(new Set(of("b").map((facts) => facts.callDuration))).toEqual(new Set([42]));
  expect(new Set(of("c").map((facts) => facts.callDuration))).toEqual(new Set([33]));
  expect(of("c").filter((facts) => facts.callStatus === "userHangup").length).toBeGreaterThan(400);
});

test("a busy call has no duration, whatever its row says: the API would refuse it", () => {
  const row = parseRow('{"id":"a","kind":"call","callDuration":9,"callStatus":"busy"}', "line 1");
  const [plan] = planSessions([row], { sessions: 1, seed: 1, run: "r" });
  expect(plan?.facts.callDuration).toBe(0);
});
