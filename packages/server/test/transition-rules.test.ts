import { describe, expect, test } from "vitest";
import type { Report, Session } from "../src/lifecycle/session.ts";
import { type Decision, transition, unseenSession, variablesBytesMax } from "../src/lifecycle/transition.ts";

const graces = { conversationMs: 30_000, callMs: 300_000, sessionMs: 21_600_000 };
const firstAt = new Date("2026-05-03T08:42:11.512Z");
const later = new Date("2026-05-03T08:42:14.022Z");

type ReportOf<Type extends Report["type"]> = Extract<Report, { type: Type }>;

const created = (more: Partial<ReportOf<"created">> = {}): Report => ({
  type: "created",
  channel: "call",
  variables: null,
  startNodeId: null,
  ...more,
});
const progress = (more: Partial<ReportOf<"progress">> = {}): Report => ({
  type: "progress",
  currentNodeId: null,
  messagesCount: null,
  extractedVariables: null,
  ...more,
});
const conversation = (more: Partial<ReportOf<"conversation-ended">> = {}): Report => ({
  type: "conversation-ended",
  channel: "call",
  currentNodeId: "ask_intention",
  messagesCount: 8,
  extractedVariables: '{"name":"Nancy","intention":"book a demo"}',
  endedAt: null,
  ...more,
});
const call = (more: Partial<ReportOf<"call-ended">> = {}): Report => ({
  type: "call-ended",
  callStatus: "userHangup",
  callDuration: 78,
  conversation: null,
  endedAt: null,
  ...more,
});
const recording = (more: Partial<ReportOf<"recording-processed">> = {}): Report => ({
  type: "recording-processed",
  success: false,
  objectKey: null,
  error: "the mixer failed",
  ...more,
});

const unseen = (): Session => unseenSession("8f3e2c91-4a7b-4d6e-a23c-9b1f5e8d4c20", "s-1", firstAt);

/**
 * The session after reports that all must be taken, as it is stored, and the events of the last one. session.started is
 * left out of them: it has tests of its own.
 */
function after(...reports: Report[]): { session: Session; events: readonly string[] } {
  const { session, events } = stepsOf(...reports);
  return { session, events: events.at(-1)?.filter((event) => event !== "session.started") ?? [] };
}

/** The same with the events of each report. */
function stepsOf(...reports: Report[]): { session: Session; events: Array<readonly string[]> } {
  let session = unseen();
  const events: Array<readonly string[]> = [];
  for (const report of reports) {
    const decision = transition(session, report, firstAt, graces);
    if (decision.kind !== "changed") throw new Error(`${report.type} was ${decision.kind}`);
    session = { ...decision.session, version: 1 };
    events.push(decision.events);
  }
  return { session, events };
}

/** The code of a refusal, or what else came of the report. */
function refusalOf(session: Session, report: Report): { code: string; message: string } {
  const decision = transition(session, report, later, graces);
  return decision.kind === "refused" ? decision : { code: decision.kind, message: "" };
}

describe("what ends when", () => {
  test("the conversation's end of a text session emits session.ended and session.finalized at once", () => {
    const { session, events } = after(conversation({ channel: "text" }));
    expect(events).toEqual(["session.ended", "session.finalized"]);
    expect(session.finalizedAt).toEqual(firstAt);
  });

  test("a call is finalized by whichever of its two ends comes second", () => {
    expect(after(conversation()).events).toEqual(["session.ended"]);
    expect(after(conversation(), call()).events).toEqual(["call.ended", "session.finalized"]);
    expect(after(call()).events).toEqual(["call.ended"]);
    expect(after(call(), conversation()).events).toEqual(["session.ended", "session.finalized"]);
  });

  test("a call end makes the session a call, so a conversation without channel then finalizes it", () => {
    const { session, events } = after(conversation({ channel: null }), call());
    expect(events).toEqual(["call.ended", "session.finalized"]);
    expect(session.channel).toBe("call");
  });

  test("while the channel is not known, the conversation's end finalizes nothing", () => {
    const { session, events } = after(conversation({ channel: null }));
    expect(events).toEqual(["session.ended"]);
    expect([session.channel, session.finalizedAt]).toEqual([null, null]);
  });

  test("a repeated conversation end that states the channel first finalizes a text session", () => {
    expect(after(conversation({ channel: null }), conversation({ channel: "text" })).events).toEqual([
      "session.finalized",
    ]);
    expect(after(conversation({ channel: null }), conversation({ channel: "call" })).events).toEqual([]);
  });

  test("a creation that comes late and states text finalizes what has ended", () => {
    const { session, events } = after(conversation({ channel: null }), created({ channel: "text" }));
    expect(events).toEqual(["session.finalized"]);
    expect(session.currentNodeId).toBe("ask_intention");
  });

  test("a recording is outside: before, between and after the ends, and it ends nothing", () => {
    expect(after(recording()).events).toEqual(["recording.ready"]);
    expect(after(conversation(), recording()).events).toEqual(["recording.ready"]);
    expect(after(conversation(), call(), recording()).events).toEqual(["recording.ready"]);
    expect(after(conversation({ channel: null }), recording()).session).toMatchObject({
      channel: "call",
      finalizedAt: null,
    });
  });

  test("nobody spoke: the call's end ends the conversation too, from the last progress", () => {
    const { session, events } = after(
      progress({ currentNodeId: "ringing", messagesCount: 1, extractedVariables: '{"a":1}' }),
      call({ conversation: "none" }),
    );
    expect(events).toEqual(["session.ended", "call.ended", "session.finalized"]);
    expect(session).toMatchObject({
      conversationEndedBy: "sendoff",
      currentNodeId: "ringing",
      messagesCount: 1,
      extractedVariables: '{"a":1}',
      conversationReportedAt: firstAt,
      conversationEndedAt: null,
    });
  });

  test("a new session of which nobody spoke stands on start, with no messages and no variables", () => {
    const { session } = after(call({ callStatus: "busy", callDuration: 0, conversation: "none" }));
    expect(session).toMatchObject({ currentNodeId: "start", messagesCount: 0, extractedVariables: "{}" });
  });

  test("a conversation that was reported stands against a call end that says nobody spoke", () => {
    const { session, events } = after(conversation(), call({ conversation: "none" }));
    expect(events).toEqual(["call.ended", "session.finalized"]);
    expect(session).toMatchObject({ conversationEndedBy: "runtime", messagesCount: 8 });
  });

  test("a conversation reported after nobody spoke contradicts it, whatever it says", () => {
    const { session } = after(call({ conversation: "none" }));
    const same = conversation({ currentNodeId: "start", messagesCount: 0, extractedVariables: "{}" });
    expect(refusalOf(session, same).code).toBe("report_contradicts");
  });
});

describe("a report that comes twice", () => {
  const whole = after(created(), conversation(), call(), recording()).session;

  test.each([
    ["creation", created()],
    ["conversation end", conversation()],
    ["conversation end without its channel", conversation({ channel: null })],
    ["call end", call()],
    ["recording", recording()],
    [
      "conversation end with its variables in another order",
      conversation({ extractedVariables: '{"intention":"book a demo","name":"Nancy"}' }),
    ],
  ])("the same %s is a duplicate and the session is the very same", (_what, report) => {
    const decision = transition(whole, report, later, graces);
    expect(decision).toEqual({ kind: "duplicate", session: whole });
    expect(decision.kind === "duplicate" && decision.session).toBe(whole);
  });

  test.each<[string, Report, unknown]>([
    ["creation with other variables", created({ variables: "{}" }), null],
    ["creation with another start", created({ startNodeId: "greet" }), null],
    ["conversation end on another node", conversation({ currentNodeId: "bye" }), "ask_intention"],
    ["conversation end with other messages", conversation({ messagesCount: 9 }), 8],
    [
      "conversation end with other variables",
      conversation({ extractedVariables: '{"name":"Ann"}' }),
      "Nancy",
    ],
    ["call end with another status", call({ callStatus: "agentHangup" }), "userHangup"],
    ["call end with another duration", call({ callDuration: 78.5 }), 78],
    ["recording with another error", recording({ error: null }), "the mixer failed"],
    [
      "recording that succeeded",
      recording({ success: true, objectKey: "k", error: null }),
      "the mixer failed",
    ],
  ])("a %s is refused, and told what stands", (_what, report, stands) => {
    const { code, message } = refusalOf(whole, report);
    expect(code).toBe("report_contradicts");
    expect(message).toContain(String(stands));
    expect(message).toMatch(/came first and stands: \{.*\}\. Send that again, or nothing\.$/);
  });

  test("with the moment left out or stated first it is still the same; with another moment it is not", () => {
    const endedAt = new Date("2026-05-03T08:42:00Z");
    for (const report of [conversation, call]) {
      const stated = after(report({ endedAt })).session;
      expect(transition(stated, report(), later, graces).kind).toBe("duplicate");
      expect(transition(stated, report({ endedAt: new Date(endedAt) }), later, graces).kind).toBe(
        "duplicate",
      );
      expect(refusalOf(stated, report({ endedAt: later })).code).toBe("report_contradicts");
      const unstated = after(report()).session;
      expect(transition(unstated, report({ endedAt }), later, graces)).toEqual({
        kind: "duplicate",
        session: unstated,
      });
    }
  });

  test("variables of more than 300 characters are told by their size, not in full", () => {
    const long = JSON.stringify({ long: "x".repeat(400) });
    const { message } = refusalOf(after(conversation({ extractedVariables: long })).session, conversation());
    expect(message).toContain(`${long.length} characters of JSON`);
    expect(message.length).toBeLessThan(400);
  });
});

describe("the channel", () => {
  const text = after(created({ channel: "text" })).session;

  test.each([
    ["call end", call()],
    ["recording", recording()],
    ["conversation end of a call", conversation()],
    ["creation as a call", created()],
  ])("a %s is refused on a text session and names both channels", (_what, report) => {
    const { code, message } = refusalOf(text, report);
    expect(code).toBe("channel_conflict");
    expect(message).toContain("Session s-1 is a text session");
    expect(message).toContain("as a call session");
  });

  test("is not known from progress, and then whichever report states it first decides", () => {
    expect(after(progress()).session.channel).toBe(null);
    expect(after(progress(), recording()).session.channel).toBe("call");
    expect(after(progress(), created({ channel: "text" })).session.channel).toBe("text");
  });
});

describe("progress", () => {
  test("changes only what is given and merges variables by key", () => {
    const { session } = after(
      progress({ currentNodeId: "a", messagesCount: 1, extractedVariables: '{"2":1.0,"1":{"x":1}}' }),
      progress({ extractedVariables: '{"1":{"y":2},"__proto__":9007199254740993}' }),
      progress({ messagesCount: 5 }),
    );
    expect(session).toMatchObject({ currentNodeId: "a", messagesCount: 5 });
    expect(session.extractedVariables).toBe('{"2":1.0,"1":{"y":2},"__proto__":9007199254740993}');
  });

  test("that changes nothing is a duplicate, but the first one of an unseen session makes it", () => {
    expect(transition(unseen(), progress(), firstAt, graces).kind).toBe("changed");
    const { session } = after(progress({ messagesCount: 3 }));
    expect(transition(session, progress({ messagesCount: 3 }), later, graces).kind).toBe("duplicate");
  });

  test("is refused once the conversation is over, by the runtime or because nobody spoke", () => {
    for (const { session } of [after(conversation()), after(call({ conversation: "none" }))]) {
      const { code, message } = refusalOf(session, progress({ messagesCount: 9 }));
      expect(code).toBe("conversation_over");
      expect(message).toContain("2026-05-03T08:42:11.512Z");
    }
    expect(transition(after(call()).session, progress({ messagesCount: 9 }), later, graces).kind).toBe(
      "changed",
    );
  });

  test("may fill the variables to 256 KiB exactly and not past it, counted in bytes", () => {
    const filled = (bytes: number): string => `{"k":"${"é".repeat((bytes - 8) / 2)}"}`;
    expect(Buffer.byteLength(filled(variablesBytesMax))).toBe(variablesBytesMax);
    expect(variablesBytesMax).toBe(262_144);
    const { session } = after(progress({ extractedVariables: filled(variablesBytesMax) }));
    const past = refusalOf(session, progress({ extractedVariables: '{"j":1}' }));
    expect(past.code).toBe("variables_too_large");
    expect(past.message).toContain("262144");
    expect(transition(session, progress({ extractedVariables: '{"k":1}' }), later, graces).kind).toBe(
      "changed",
    );
  });
});

describe("creation", () => {
  test("puts a new session on its start node, and leaves one alone that has moved or ended", () => {
    expect(after(created({ startNodeId: "greet" })).session.currentNodeId).toBe("greet");
    expect(after(created()).session.currentNodeId).toBe("start");
    const moved = after(progress({ currentNodeId: "deep" }), created({ startNodeId: "greet" })).session;
    expect(moved).toMatchObject({ currentNodeId: "deep", startNodeId: "greet" });
    const ended = after(call({ conversation: "none" }), created({ startNodeId: "greet" })).session;
    expect(ended.currentNodeId).toBe("start");
  });

  test("keeps the variables it was given apart from the extracted ones", () => {
    const { session } = after(created({ variables: '{"lang":"de"}' }), progress({ messagesCount: 1 }));
    expect([session.variables, session.extractedVariables]).toEqual(['{"lang":"de"}', "{}"]);
  });

  test("emits nothing for the agent", () => {
    expect(after(created()).events).toEqual([]);
  });
});

describe("session.started", () => {
  test("comes with the creation of a session, once", () => {
    expect(stepsOf(created(), progress({ messagesCount: 1 }), conversation(), call()).events).toEqual([
      ["session.started"],
      [],
      ["session.ended"],
      ["call.ended", "session.finalized"],
    ]);
  });

  test("comes before the other events of a first report, whichever it is", () => {
    expect(stepsOf(conversation({ channel: "text" })).events).toEqual([
      ["session.started", "session.ended", "session.finalized"],
    ]);
    expect(stepsOf(call({ conversation: "none" })).events).toEqual([
      ["session.started", "session.ended", "call.ended", "session.finalized"],
    ]);
    expect(stepsOf(recording()).events).toEqual([["session.started", "recording.ready"]]);
  });

  test("waits for the channel: progress alone does not start a session", () => {
    expect(stepsOf(progress({ messagesCount: 1 }), created()).events).toEqual([[], ["session.started"]]);
    expect(stepsOf(progress({ messagesCount: 1 }), call()).events).toEqual([
      [],
      ["session.started", "call.ended"],
    ]);
  });

  test("never comes after the session's end: what ended without a channel has no beginning", () => {
    expect(stepsOf(conversation({ channel: null }), call()).events).toEqual([
      ["session.ended"],
      ["call.ended", "session.finalized"],
    ]);
    expect(stepsOf(conversation({ channel: null }), created({ channel: "text" })).events).toEqual([
      ["session.ended"],
      ["session.finalized"],
    ]);
  });

  test("of a session that a deadline takes for text comes first in that commit, unless it had ended", () => {
    const passed = (session: Session): Decision =>
      transition(session, { type: "deadline" }, new Date(firstAt.getTime() + graces.sessionMs), graces);
    expect(passed(after(progress({ messagesCount: 1 })).session)).toMatchObject({
      events: ["session.started", "session.ended", "session.finalized"],
      session: { channel: "text", channelAssumed: true },
    });
    expect(passed(after(conversation({ channel: null })).session)).toMatchObject({
      events: ["session.finalized"],
    });
  });
});

describe("the end of a text session by its own call", () => {
  const end: Report = { type: "text-session-ended" };

  test("ends the conversation where the last progress left it", () => {
    const { session, events } = after(
      created({ channel: "text" }),
      progress({ currentNodeId: "deep", messagesCount: 5, extractedVariables: '{"a":1}' }),
      end,
    );
    expect(events).toEqual(["session.ended", "session.finalized"]);
    expect(session).toMatchObject({
      currentNodeId: "deep",
      messagesCount: 5,
      extractedVariables: '{"a":1}',
      conversationEndedBy: "runtime",
      conversationEndedAt: null,
      finalizedAt: firstAt,
    });
  });

  test("a second time is a duplicate, also after the runtime's own report or a deadline", () => {
    const ended = after(created({ channel: "text" }), end).session;
    expect(transition(ended, end, later, graces)).toEqual({ kind: "duplicate", session: ended });
    const reported = after(conversation({ channel: "text" })).session;
    expect(transition(reported, end, later, graces).kind).toBe("duplicate");
    const open = after(created({ channel: "text" })).session;
    const muchLater = new Date(firstAt.getTime() + graces.sessionMs);
    const passed = transition(open, { type: "deadline" }, muchLater, graces);
    if (passed.kind !== "changed") throw new Error(passed.kind);
    expect(transition({ ...passed.session, version: 2 }, end, muchLater, graces).kind).toBe("duplicate");
  });

  test("states the channel of a session that has none, ended or not", () => {
    expect(after(progress({ messagesCount: 2 }), end).session).toMatchObject({
      channel: "text",
      messagesCount: 2,
    });
    expect(after(conversation({ channel: null }), end).events).toEqual(["session.finalized"]);
  });

  test("is refused for a call, and for a session that nobody has seen", () => {
    expect(refusalOf(after(created()).session, end).code).toBe("channel_conflict");
    expect(refusalOf(after(call()).session, end).code).toBe("channel_conflict");
    const { code, message } = refusalOf(unseen(), end);
    expect([code, message]).toEqual(["session_not_found", 'This project has no session "s-1".']);
  });
});

test("every change keeps who the session is and when it was first seen", () => {
  const { session } = after(created(), progress({ messagesCount: 1 }), conversation(), call(), recording());
  const { projectId, sessionId, createdAt } = unseen();
  expect(session).toMatchObject({
    projectId,
    sessionId,
    createdAt,
    openedAt: firstAt,
    callReportedAt: firstAt,
  });
  expect(session).toMatchObject({ conversationReportedAt: firstAt, recordingReportedAt: firstAt });
});
