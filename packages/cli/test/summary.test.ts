import { agentEvents } from "@sendoff/contract";
import { expect, test } from "vitest";
import type { Fault } from "../src/simulate/faults.ts";
import { summarize, summaryText } from "../src/simulate/summary.ts";
import { checkInput, demoPlans, faultlessRun } from "./samples.ts";

function summaryOf(faults: readonly Fault[] = []) {
  const { journal, attempts } = faultlessRun(demoPlans());
  const { rows, wire } = checkInput(journal, attempts);
  for (const [place, record] of [...journal.sessions.values()].entries()) {
    for (const arrival of wire.of(record.plan.sessionId)) {
      record.emittedBy.set(arrival.event, arrival.receivedAtMs - (place + 1));
    }
  }
  const run = { run: "abc123", seed: 1, durationMs: 2_345.6, subscribed: agentEvents };
  return { journal, summary: summarize({ ...run, journal, rows, wire, faults }) };
}

test("a faultless run is counted in full", () => {
  const { summary } = summaryOf();
  expect(summary).toMatchObject({
    ok: true,
    durationMs: 2_346,
    sessions: { total: 24, call: 16, text: 8, knownBefore: 0 },
    expected: { "session.ended": 24, "call.ended": 16, "session.finalized": 24, "recording.ready": 8 },
    settled: { delivered: 72 },
    attempts: { logged: 72, arrived: 72 },
    latency: { events: 72, p99Ms: 24 },
  });
  expect(summaryText(summary)).toContain("All 24 sessions got exactly their events, in order.");
});

test("a run in which not everything was delivered says so, though nothing is wrong", () => {
  const { summary } = summaryOf();
  const text = summaryText({ ...summary, settled: { delivered: 70, unknown: 2 } });
  expect(text).toContain("2 settled other than delivered");
  expect(text).not.toContain("got exactly their events");
});

test("each list shows its first ten with the session, safe for a terminal", () => {
  const faults = Array.from({ length: 12 }, (_, index): Fault => {
    return { kind: "missing", sessionId: `s-${index}`, event: "call.ended", detail: "none \u001b[31m" };
  });
  const { summary } = summaryOf(faults);
  expect(summary).toMatchObject({ ok: false, faults: { missing: { count: 12 }, duplicate: { count: 0 } } });
  expect(summary.faults.missing.first).toHaveLength(10);
  const text = summaryText(summary);
  expect(text).toContain("    s-9 call.ended: none \\u{1b}[31m\n    and 2 more\n");
  expect(text).not.toContain("s-10");
  expect(text).toContain("Something is wrong");
});

test("a refused report makes a run wrong, though no delivery is", () => {
  const { journal, attempts } = faultlessRun(demoPlans());
  const plan = demoPlans()[0];
  if (plan === undefined) throw new RangeError("no plans");
  journal.refusedOne(plan, { kind: "progress", body: {} }, "409 conversation_over: too late");
  const { rows, wire } = checkInput(journal, attempts);
  const summary = summarize({
    run: null,
    seed: 1,
    durationMs: 1,
    journal,
    subscribed: agentEvents,
    rows,
    wire,
    faults: [],
  });
  expect(summary).toMatchObject({ ok: false, reports: { refused: 1 } });
  expect(summaryText(summary)).toContain(`${plan.sessionId} progress: 409 conversation_over: too late`);
});
