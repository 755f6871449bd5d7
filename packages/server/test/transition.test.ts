import type { Channel, EventName } from "@sendoff/contract";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Report, Session } from "../src/lifecycle/session.ts";
import { stateOf } from "../src/lifecycle/session.ts";
import { type Decision, transition, unseenSession } from "../src/lifecycle/transition.ts";

const projectId = "8f3e2c91-4a7b-4d6e-a23c-9b1f5e8d4c20";
const now = new Date("2026-05-03T08:42:14.300Z");
const fresh = (): Session => unseenSession(projectId, "s-1", now);

const created = (channel: Channel): Report => ({
  type: "created",
  channel,
  variables: null,
  startNodeId: null,
});
const conversation = (channel: Channel | null, messagesCount = 8): Report => ({
  type: "conversation-ended",
  channel,
  currentNodeId: "ask_intention",
  messagesCount,
  extractedVariables: '{"name":"Nancy"}',
  endedAt: null,
});
const call = (callDuration: number, conversation: "none" | null = null): Report => ({
  type: "call-ended",
  callStatus: "userHangup",
  callDuration,
  conversation,
  endedAt: null,
});
const recording = (success: boolean): Report => ({
  type: "recording-processed",
  success,
  objectKey: success ? `projects/${projectId}/a.ogg` : null,
  error: null,
});

const alphabet: Record<string, Report> = {
  "created as call": created("call"),
  "created as text": created("text"),
  progress: { type: "progress", currentNodeId: "middle", messagesCount: 3, extractedVariables: '{"a":1}' },
  "conversation ended, call": conversation("call"),
  "conversation ended, text": conversation("text"),
  "conversation ended, no channel": conversation(null),
  "conversation ended otherwise": conversation(null, 9),
  "call ended": call(78),
  "call ended otherwise": call(79),
  "call ended, nobody spoke": call(78, "none"),
  "recording stored": recording(true),
  "recording failed": recording(false),
  "text session ended": { type: "text-session-ended" },
};
const names = Object.keys(alphabet);
const reports = Object.values(alphabet);
const graces = { conversationMs: 30_000, callMs: 300_000, sessionMs: 21_600_000 };

/**
 * What should come of a row of reports, told in another way than the code tells it: no session, no code paths, only
 * the set of facts that stand so far and what follows from the whole set.
 */
class Oracle {
  readonly #facts = new Map<string, string>();
  #emitted: EventName[] = [];
  /** Where the conversation stands, for a client that ends it there. */
  #stands = { currentNodeId: "start", messagesCount: 0, extractedVariables: "{}" };

  get facts(): ReadonlyMap<string, string> {
    return this.#facts;
  }

  /** The channel that the facts state or imply. */
  static #channelOf(report: Report): string | null {
    if (report.type === "call-ended" || report.type === "recording-processed") return "call";
    if (report.type === "text-session-ended") return "text";
    return report.type === "progress" || report.type === "deadline" ? null : report.channel;
  }

  /** What a report says, apart from its channel. */
  static #contentOf(report: Report): string {
    const {
      channel: _channel,
      conversation: _conversation,
      ...content
    } = { channel: 0, conversation: 0, ...report };
    return JSON.stringify(content);
  }

  take(report: Report): { kind: Decision["kind"]; code?: string; events: EventName[] } {
    const channel = Oracle.#channelOf(report);
    const known = this.#facts.get("channel");
    if (report.type === "progress") {
      if (this.#facts.has("conversation-ended")) return this.#refuse("conversation_over");
      const known = this.#facts.has("progress");
      // The one progress of the alphabet: the second time it says nothing new.
      this.#facts.set("progress", "known");
      this.#stands = { currentNodeId: "middle", messagesCount: 3, extractedVariables: '{"a":1}' };
      return { kind: known ? "duplicate" : "changed", events: [] };
    }
    if (report.type === "text-session-ended" && this.#facts.size === 0)
      return this.#refuse("session_not_found");
    if (channel !== null && known !== undefined && channel !== known) return this.#refuse("channel_conflict");
    if (report.type === "text-session-ended") return this.#endText();
    if (report.type === "created" && !this.#facts.has("created") && this.#stands.currentNodeId === "start") {
      this.#stands.currentNodeId = report.startNodeId ?? "start";
    }
    const first = this.#facts.get(report.type);
    const content = Oracle.#contentOf(report);
    if (first !== undefined && first !== content) return this.#refuse("report_contradicts");
    const saysNobodySpoke =
      report.type === "call-ended" &&
      report.conversation === "none" &&
      !this.#facts.has("conversation-ended");
    const isNew = first === undefined || (channel !== null && known === undefined) || saysNobodySpoke;
    if (!isNew) return { kind: "duplicate", events: [] };
    this.#facts.set(report.type, content);
    if (channel !== null) this.#facts.set("channel", channel);
    if (saysNobodySpoke) this.#facts.set("conversation-ended", "nobody spoke");
    return { kind: "changed", events: this.#newEvents() };
  }

  #endText(): { kind: "changed" | "duplicate"; events: EventName[] } {
    const ended = this.#facts.has("conversation-ended");
    if (ended && this.#facts.has("channel")) return { kind: "duplicate", events: [] };
    const content = JSON.stringify({ type: "conversation-ended", ...this.#stands, endedAt: null });
    if (!ended) this.#facts.set("conversation-ended", content);
    this.#facts.set("channel", "text");
    return { kind: "changed", events: this.#newEvents() };
  }

  #refuse(code: string): { kind: "refused"; code: string; events: EventName[] } {
    return { kind: "refused", code, events: [] };
  }

  /** Every event that the facts make true and that was not emitted yet. */
  #newEvents(): EventName[] {
    const has = (fact: string): boolean => this.#facts.has(fact);
    const due: EventName[] = [];
    if (has("channel") && !this.#emitted.includes("session.ended")) due.push("session.started");
    if (has("conversation-ended")) due.push("session.ended");
    if (has("call-ended")) due.push("call.ended");
    const complete = this.#facts.get("channel") === "text" || has("call-ended");
    if (has("conversation-ended") && has("channel") && complete) due.push("session.finalized");
    if (has("recording-processed")) due.push("recording.ready");
    const fresh = due.filter((event) => !this.#emitted.includes(event));
    this.#emitted = [...this.#emitted, ...fresh];
    return fresh;
  }
}

const lifecycle = ["session.ended", "call.ended", "session.finalized"];

/** Runs one row of reports through the code and the oracle and checks all that must hold; answers what differs. */
function check(row: readonly Report[]): string | null {
  let session = Object.freeze(fresh());
  const oracle = new Oracle();
  const emitted: EventName[] = [];
  for (const report of row) {
    const decision = transition(session, report, now, graces);
    const expected = oracle.take(report);
    if (decision.kind !== expected.kind) return `${decision.kind}, expected ${expected.kind}`;
    if (decision.kind === "refused") {
      if (decision.code !== expected.code) return `${decision.code}, expected ${expected.code}`;
      continue;
    }
    if (decision.kind === "duplicate") {
      if (decision.session !== session) return "a duplicate changed the session";
      continue;
    }
    if (String(decision.events) !== String(expected.events))
      return `emitted ${decision.events}, expected ${expected.events}`;
    const next = decision.session;
    if (next.version !== session.version) return "the version was touched";
    if (session.channel !== null && next.channel !== session.channel) return "the channel changed";
    const broken = firstFactStands(session, next);
    if (broken !== null) return broken;
    emitted.push(...decision.events);
    // As the store would: a session that was changed once is not an unseen one any more.
    session = Object.freeze({ ...next, version: 1 });
  }
  return invariantsOf(session, emitted, oracle.facts);
}

/** Once a fact is stored, no later report changes any field of it. */
function firstFactStands(before: Session, after: Session): string | null {
  const groups: Array<[since: keyof Session, fields: Array<keyof Session>]> = [
    [
      "conversationReportedAt",
      ["conversationEndedAt", "conversationEndedBy", "currentNodeId", "messagesCount", "extractedVariables"],
    ],
    ["callReportedAt", ["callEndedAt", "callStatus", "callDuration"]],
    ["recordingReportedAt", ["recordingSuccess", "recordingObjectKey", "recordingError"]],
    ["openedAt", ["variables", "startNodeId"]],
    ["finalizedAt", []],
  ];
  for (const [since, fields] of groups) {
    if (before[since] === null) continue;
    const changed = [since, ...fields].find((field) => before[field] !== after[field]);
    if (changed !== undefined) return `${changed} was changed after ${since}`;
  }
  return null;
}

function invariantsOf(
  session: Session,
  emitted: readonly EventName[],
  facts: ReadonlyMap<string, string>,
): string | null {
  const count = (event: EventName): number => emitted.filter((name) => name === event).length;
  const once = (event: EventName, when: boolean): boolean => count(event) === (when ? 1 : 0);
  const complete =
    facts.has("conversation-ended") && (facts.get("channel") === "text" || facts.has("call-ended"));
  if (!once("session.ended", facts.has("conversation-ended"))) return "session.ended";
  if (!once("call.ended", facts.has("call-ended"))) return "call.ended";
  if (count("call.ended") > 0 && session.channel !== "call") return "call.ended on a text session";
  if (!once("session.finalized", complete && facts.has("channel"))) return "session.finalized";
  if (!once("recording.ready", facts.has("recording-processed"))) return "recording.ready";
  if (count("recording.ready") > 0 && session.channel !== "call") return "a recording of a text session";
  if (count("session.started") > 1 || emitted.indexOf("session.started") > 0) return "session.started";
  const ordered = emitted.filter((event) => lifecycle.includes(event));
  if (ordered.includes("session.finalized") && ordered.at(-1) !== "session.finalized")
    return "session.finalized was not last";
  if (session.channel !== (facts.get("channel") ?? null)) return "the channel";
  const ending = facts.has("conversation-ended") || facts.has("call-ended");
  const state = count("session.finalized") > 0 ? "finalized" : ending ? "ending" : "open";
  return stateOf(session) === state ? null : `the state is ${stateOf(session)}, expected ${state}`;
}

describe("every row of reports", () => {
  test.each([1, 2, 3, 4, 5])(
    "of length %i does what the facts say, and breaks no rule",
    (length) => {
      const total = names.length ** length;
      const row: Report[] = new Array(length);
      for (let number = 0; number < total; number++) {
        for (let at = 0, rest = number; at < length; at++, rest = Math.floor(rest / names.length)) {
          row[at] = reports[rest % names.length] as Report;
        }
        const wrong = check(row);
        // An expect() per row would cost more than the row.
        if (wrong !== null) {
          const told = row.map((report) => names[reports.indexOf(report)]).join(" -> ");
          expect.fail(`${told}: ${wrong}`);
        }
      }
      expect(total).toBe(13 ** length);
    },
    60_000,
  );

  test("of any length and with other values besides does so too", () => {
    const any = fc.oneof(
      fc.constantFrom(...reports),
      fc.record({
        type: fc.constant("conversation-ended" as const),
        channel: fc.constantFrom("call", "text", null),
        currentNodeId: fc.constantFrom("start", "a"),
        messagesCount: fc.nat(2),
        extractedVariables: fc.constantFrom("{}", '{"a":1}'),
        endedAt: fc.constant(null),
      }),
      fc.record({
        type: fc.constant("call-ended" as const),
        callStatus: fc.constantFrom("busy", "error"),
        callDuration: fc.constantFrom(0, 5),
        conversation: fc.constantFrom("none", null),
        endedAt: fc.constant(null),
      }),
      fc.record({
        type: fc.constant("created" as const),
        channel: fc.constantFrom("call", "text"),
        variables: fc.constantFrom(null, "{}"),
        startNodeId: fc.constantFrom(null, "greet"),
      }),
      fc.record({
        type: fc.constant("recording-processed" as const),
        success: fc.constant(false),
        objectKey: fc.constant(null),
        error: fc.constantFrom(null, "mixer"),
      }),
    ) as fc.Arbitrary<Report>;
    const row = fc.array(any, { minLength: 6, maxLength: 30 });
    fc.assert(
      fc.property(row, (items) => {
        expect(check(items)).toBe(null);
      }),
      { numRuns: 3_000 },
    );
  });
});
