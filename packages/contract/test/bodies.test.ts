import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { z } from "zod";
import {
  Duration,
  durationMs,
  keptAgentFields,
  PostSessionWebhook,
  timeoutBounds,
  UpdateAgent,
} from "../src/agent.ts";
import { errorCatalogue } from "../src/errors.ts";
import { agentEvents, callStatuses } from "../src/events.ts";
import { SessionId } from "../src/ids.ts";
import { CheckProjectWebhook, CreateProjectWebhook } from "../src/project-webhooks.ts";
import { CreateProject } from "../src/projects.ts";
import {
  CallEnded,
  ConversationEnded,
  CreateSession,
  RecordingProcessed,
  Report,
  SessionProgress,
} from "../src/reports.ts";
import { SessionsQuery } from "../src/sessions.ts";
import { CreateTextSession, EndTextSession } from "../src/text-sessions.ts";
import { WebhookLogsQuery } from "../src/webhook-logs.ts";

const accepts = (schema: z.ZodType, value: unknown): boolean => schema.safeParse(value).success;
/** Where a value is wrong, as dotted paths. */
const wrongAt = (schema: z.ZodType, value: unknown): string[] =>
  schema.safeParse(value).error?.issues.map((issue) => issue.path.join(".")) ?? [];

const conversation = { currentNodeId: "start", messagesCount: 0, extractedVariables: {} };
const call = { callStatus: "userHangup", callDuration: 78 };
const webhook = { url: "https://example.com/hook" };

/** Each body that a client sends, with a smallest one that is right. */
const bodies: Array<[name: string, schema: z.ZodType, right: Record<string, unknown>]> = [
  ["CreateProject", CreateProject, { name: "a" }],
  ["UpdateAgent", UpdateAgent, {}],
  ["PostSessionWebhook", PostSessionWebhook, webhook],
  ["CreateProjectWebhook", CreateProjectWebhook, webhook],
  ["CheckProjectWebhook", CheckProjectWebhook, webhook],
  ["CreateTextSession", CreateTextSession, { session_id: "s" }],
  ["EndTextSession", EndTextSession, { session_id: "s" }],
  ["CreateSession", CreateSession, { channel: "text" }],
  ["SessionProgress", SessionProgress, {}],
  ["ConversationEnded", ConversationEnded, conversation],
  ["CallEnded", CallEnded, call],
  ["RecordingProcessed, failure", RecordingProcessed, { success: false }],
  ["RecordingProcessed, success", RecordingProcessed, { success: true, objectKey: "k" }],
  ["Report, conversation", Report, { type: "conversation-ended", sessionId: "s", ...conversation }],
  ["Report, call", Report, { type: "call-ended", sessionId: "s", ...call }],
  ["Report, failed recording", Report, { type: "recording-processed", sessionId: "s", success: false }],
  [
    "Report, recording",
    Report,
    { type: "recording-processed", sessionId: "s", success: true, objectKey: "k" },
  ],
  ["SessionsQuery", SessionsQuery, {}],
  ["WebhookLogsQuery", WebhookLogsQuery, {}],
];

describe.each(bodies)("%s", (_name, schema, right) => {
  test("takes the smallest right body, and no other kind of value", () => {
    expect(wrongAt(schema, right)).toEqual([]);
    for (const other of [null, [], "x", 1, true, undefined]) expect(accepts(schema, other)).toBe(false);
  });

  test("refuses a field that it does not know, __proto__ among them", () => {
    for (const name of ["sesionId", "projectId", "__proto__", "constructor", "toString", ""]) {
      const body = JSON.parse(
        `{${JSON.stringify(name)}:1,${JSON.stringify(right).slice(1)}`.replace(",}", "}"),
      );
      expect(accepts(schema, body), name).toBe(false);
    }
  });
});

const bodiesWithFields = bodies.filter(([, , right]) => Object.keys(right).length > 0);

describe.each(bodiesWithFields)("of the fields that %s needs", (_name, schema, right) => {
  test("each one that is missing is missed", () => {
    for (const field of Object.keys(right)) {
      const { [field]: _left, ...rest } = right;
      expect(accepts(schema, rest), field).toBe(false);
    }
  });

  test("none may be null", () => {
    for (const field of Object.keys(right)) expect(accepts(schema, { ...right, [field]: null })).toBe(false);
  });
});

describe("a session's id", () => {
  const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-";

  test("may have 1 to 128 characters", () => {
    for (const length of [1, 2, 127, 128]) expect(accepts(SessionId, "a".repeat(length))).toBe(true);
    for (const length of [0, 129, 10_000]) expect(accepts(SessionId, "a".repeat(length))).toBe(false);
  });

  test("may have each allowed character, alone and anywhere; of all others below 0x500 none", () => {
    for (let code = 0; code < 0x500; code++) {
      const character = String.fromCharCode(code);
      const right = allowed.includes(character);
      for (const id of [character, `a${character}`, `${character}a`]) {
        expect(accepts(SessionId, id), JSON.stringify(id)).toBe(right);
      }
    }
  });

  test("is refused with a line break at its end, a look-alike, a surrogate or as a number", () => {
    for (const id of ["a\n", "а", "ａ", "\ud800", "a\u200b", 7, null])
      expect(accepts(SessionId, id)).toBe(false);
    expect(wrongAt(CreateSession, { channel: "call", sessionId: "a b" })).toEqual(["sessionId"]);
  });
});

describe("reports of a call", () => {
  test.each(["busy", "invalidNumber"])("%s has no duration but 0", (callStatus) => {
    for (const type of [{}, { type: "call-ended", sessionId: "s" }]) {
      const schema = "type" in type ? Report : CallEnded;
      expect(accepts(schema, { ...type, callStatus, callDuration: 0 })).toBe(true);
      for (const callDuration of [0.001, 1, 78]) {
        const answer = schema.safeParse({ ...type, callStatus, callDuration });
        expect(answer.error?.issues.map(({ path, message }) => [path, message])).toEqual([
          [["callDuration"], `expected 0 with callStatus ${callStatus}, which carries no traffic`],
        ]);
      }
    }
  });

  test("every other status may have any duration from 0 on, whole or not", () => {
    const others = callStatuses.filter((status) => status !== "busy" && status !== "invalidNumber");
    expect(others.length).toBe(12);
    for (const callStatus of others) {
      for (const callDuration of [0, 0.5, 78, 1e9]) {
        expect(accepts(CallEnded, { callStatus, callDuration })).toBe(true);
      }
    }
  });

  test("no duration is negative, endless, no number or text", () => {
    for (const callDuration of [-1, -0.001, Infinity, NaN, "78", null, [78]]) {
      expect(wrongAt(CallEnded, { ...call, callDuration }), String(callDuration)).toEqual(["callDuration"]);
    }
  });

  test("conversation is none or absent, endedAt a moment with its offset", () => {
    expect(accepts(CallEnded, { ...call, conversation: "none" })).toBe(true);
    for (const conversation of ["", "None", false, null])
      expect(wrongAt(CallEnded, { ...call, conversation })).toEqual(["conversation"]);
    for (const endedAt of ["2026-05-03T08:42:11.512Z", "2026-05-03T08:42:11+02:00"])
      expect(accepts(CallEnded, { ...call, endedAt })).toBe(true);
    for (const endedAt of ["2026-05-03", "2026-05-03T08:42:11", "2026-02-30T00:00:00Z", "now", 1777797731512])
      expect(wrongAt(CallEnded, { ...call, endedAt }), String(endedAt)).toEqual(["endedAt"]);
  });
});

describe("limits", () => {
  const text = (length: number): string => "x".repeat(length);

  test.each<[string, z.ZodType, (value: string) => object, string, number]>([
    ["node", ConversationEnded, (value) => ({ ...conversation, currentNodeId: value }), "currentNodeId", 512],
    ["start node", CreateSession, (startNodeId) => ({ channel: "call", startNodeId }), "startNodeId", 512],
    ["objectKey", RecordingProcessed, (objectKey) => ({ success: true, objectKey }), "objectKey", 1_024],
    ["project's name", CreateProject, (name) => ({ name }), "name", 200],
    ["search text", SessionsQuery, (value) => ({ text: value }), "text", 200],
    ["cursor", WebhookLogsQuery, (cursor) => ({ cursor }), "cursor", 512],
    ["webhook's URL", PostSessionWebhook, (url) => ({ url }), "url", 2_048],
  ])("a %s has from 1 character to its most", (_what, schema, body, field, max) => {
    expect(wrongAt(schema, body(text(1)))).toEqual([]);
    expect(wrongAt(schema, body(text(max)))).toEqual([]);
    expect(wrongAt(schema, body(""))).toEqual([field]);
    expect(wrongAt(schema, body(text(max + 1)))).toEqual([field]);
  });

  test("an error's text has at most 2,000 characters and comes with a failure alone", () => {
    expect(accepts(RecordingProcessed, { success: false, error: text(2_000) })).toBe(true);
    expect(wrongAt(RecordingProcessed, { success: false, error: text(2_001) })).toEqual(["error"]);
    expect(accepts(RecordingProcessed, { success: true, objectKey: "k", error: "x" })).toBe(false);
    expect(accepts(RecordingProcessed, { success: false, objectKey: "k" })).toBe(false);
  });

  test("messages are counted in whole numbers from 0 to 2^53-1", () => {
    for (const messagesCount of [0, 1, Number.MAX_SAFE_INTEGER])
      expect(accepts(SessionProgress, { messagesCount })).toBe(true);
    for (const messagesCount of [-1, 1.5, 2 ** 53, Infinity, "1", null])
      expect(wrongAt(SessionProgress, { messagesCount })).toEqual(["messagesCount"]);
  });

  test("names with a NUL or half of a surrogate pair are refused: they could not be stored as they are", () => {
    for (const bad of ["a\0b", "a\ud800", "\udc00a", "\udc00\ud800"]) {
      expect(wrongAt(SessionProgress, { currentNodeId: bad })).toEqual(["currentNodeId"]);
      expect(wrongAt(CreateSession, { channel: "call", startNodeId: bad })).toEqual(["startNodeId"]);
      expect(wrongAt(RecordingProcessed, { success: false, error: bad })).toEqual(["error"]);
      expect(wrongAt(CreateProject, { name: bad })).toEqual(["name"]);
      expect(wrongAt(SessionsQuery, { text: bad })).toEqual(["text"]);
    }
    const good = 'quote " line\nbreak \u2028 \u{1f600} \ufffd';
    expect(accepts(SessionProgress, { currentNodeId: good })).toBe(true);
  });

  test("variables are an object with whatever is in it", () => {
    const strange = JSON.parse('{"__proto__":{"a":1},"constructor":1,"then":null,"":[]}');
    expect(accepts(SessionProgress, { extractedVariables: strange })).toBe(true);
    for (const extractedVariables of [[], "{}", null, 1])
      expect(wrongAt(SessionProgress, { extractedVariables })).toEqual(["extractedVariables"]);
  });
});

describe("the agent's webhook", () => {
  test("a duration is a whole number and a unit", () => {
    const right: Record<string, number> = { "10s": 10_000, "100ms": 100, "2m": 120_000, "24h": 86_400_000 };
    for (const [duration, ms] of Object.entries(right)) {
      expect(accepts(Duration, duration)).toBe(true);
      expect(durationMs(duration)).toBe(ms);
    }
    for (const wrong of ["10", "s", "10 s", "1.5s", "-1s", "10S", "10w", "1e3s", "10s\n", "", 10]) {
      expect(accepts(Duration, wrong), String(wrong)).toBe(false);
      expect(() => durationMs(String(wrong))).toThrow(RangeError);
    }
  });

  test("durationMs is the count times the unit, for every count", () => {
    const unit = fc.constantFrom(["ms", 1], ["s", 1_000], ["m", 60_000], ["h", 3_600_000]);
    fc.assert(
      fc.property(fc.nat(999_999_999), unit, (count, [name, ms]) => {
        expect(durationMs(`${count}${name}`)).toBe(count * Number(ms));
      }),
    );
  });

  test("a timeout lies between 100 ms and 30 s", () => {
    const field = ["delivery.timeout"];
    const at = (timeout: string): string[] =>
      wrongAt(PostSessionWebhook, { ...webhook, delivery: { timeout } });
    for (const right of ["100ms", "1s", "30s", "30000ms"]) expect(at(right)).toEqual([]);
    for (const wrong of ["99ms", "0s", "31s", "30001ms", "1m", "1h"]) expect(at(wrong), wrong).toEqual(field);
    expect(at("soon")).toEqual(field);
    expect(timeoutBounds.defaultMs).toBe(10_000);
  });

  test("a misspelt field at any depth is refused by name", () => {
    const keys = (body: object): string[] =>
      UpdateAgent.safeParse(body).error?.issues.flatMap((issue) => ("keys" in issue ? issue.keys : [])) ?? [];
    expect(keys({ postSessionWebhok: null })).toEqual(["postSessionWebhok"]);
    expect(keys({ postSessionWebhook: { ...webhook, event: [] } })).toEqual(["event"]);
    expect(keys({ postSessionWebhook: { ...webhook, delivery: { timeOut: "1s" } } })).toEqual(["timeOut"]);
    expect(
      keys({ postSessionWebhook: { ...webhook, headers: [{ key: "a", value: "b", secret: 1 }] } }),
    ).toEqual(["secret"]);
  });

  test("events are at least one of the seed's four, each once; session.started is not among them", () => {
    const at = (events: unknown): string[] => wrongAt(PostSessionWebhook, { ...webhook, events });
    expect(at([...agentEvents])).toEqual([]);
    for (const event of agentEvents) expect(at([event])).toEqual([]);
    expect(at([])).toEqual(["events"]);
    expect(at(["call.ended", "call.ended"])).toEqual(["events"]);
    expect(at(["session.started"])).toEqual(["events.0"]);
    expect(at(["Session.Ended"])).toEqual(["events.0"]);
  });

  test("there are at most 20 headers, a name of 1 to 128 and a value of at most 4,096 characters", () => {
    const at = (headers: unknown): string[] => wrongAt(PostSessionWebhook, { ...webhook, headers });
    const header = (key: string, value: string): object => ({ key, value });
    const many = (count: number): object[] => Array.from({ length: count }, (_, n) => header(`h${n}`, ""));
    expect(at(many(20))).toEqual([]);
    expect(at(many(21))).toEqual(["headers"]);
    expect(at([header("k".repeat(128), "v".repeat(4_096))])).toEqual([]);
    expect(at([header("k".repeat(129), "v")])).toEqual(["headers.0.key"]);
    expect(at([header("", "v")])).toEqual(["headers.0.key"]);
    expect(at([header("k", "v".repeat(4_097))])).toEqual(["headers.0.value"]);
  });

  test("the other documented fields of an agent may hold anything", () => {
    for (const field of keptAgentFields) {
      for (const value of [null, 0, "", [], { deep: { er: 1 } }])
        expect(accepts(UpdateAgent, { [field]: value })).toBe(true);
    }
  });
});

describe("queries", () => {
  test("limits, pages and moments come as text and are bounded", () => {
    expect(SessionsQuery.parse({})).toEqual({ limit: 50 });
    expect(SessionsQuery.parse({ limit: "500", page: "2", pageSize: "10" })).toEqual({
      limit: 500,
      page: 2,
      pageSize: 10,
    });
    for (const limit of ["0", "501", "1.5", "-1", "many", ""])
      expect(wrongAt(WebhookLogsQuery, { limit }), limit).toEqual(["limit"]);
    for (const page of ["0", "1.5", "x"]) expect(wrongAt(SessionsQuery, { page })).toEqual(["page"]);
    const from = "2026-05-03T08:42:11+02:00";
    expect(SessionsQuery.parse({ from }).from).toEqual(new Date("2026-05-03T06:42:11Z"));
    expect(wrongAt(SessionsQuery, { from: "yesterday" })).toEqual(["from"]);
  });

  test("a cursor and a page do not go together", () => {
    expect(wrongAt(SessionsQuery, { cursor: "abc", page: "2" })).toEqual(["cursor"]);
    expect(wrongAt(SessionsQuery, { cursor: "abc", pageSize: "2" })).toEqual(["cursor"]);
    expect(wrongAt(SessionsQuery, { cursor: "abc", limit: "2" })).toEqual([]);
  });

  test("event and outcome take several values, separated by commas", () => {
    const query = WebhookLogsQuery.parse({ event: "session.ended,call.ended", outcome: "delivered" });
    expect(query).toMatchObject({ event: ["session.ended", "call.ended"], outcome: ["delivered"] });
    expect(wrongAt(WebhookLogsQuery, { event: "session.ended,nothing" })).toEqual(["event.1"]);
    expect(wrongAt(WebhookLogsQuery, { outcome: "" })).toEqual(["outcome.0"]);
  });
});

test("every error code has a status of its kind and a sentence that says when it comes", () => {
  for (const [code, { status, when }] of Object.entries(errorCatalogue)) {
    expect(code).toMatch(/^[a-z]+(_[a-z]+)*$/);
    expect([400, 401, 403, 404, 405, 408, 409, 410, 413, 415, 416, 422, 429, 500, 503, 507]).toContain(
      status,
    );
    expect(when).toMatch(/^[A-Z].*\.$/);
  }
});
