import { ErrorBody, ReportAnswer } from "@sendoff/contract";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Received, type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";
import { type ApiAnswer, expectErrorBody, expectRefused } from "./refused.ts";

let server: TestServer;
let sink: Sink;
const project = (): string => `/v1/projects/${server.projectId}`;
const send = (reports: unknown): Promise<ApiAnswer> => server.api("POST", `${project()}/reports`, reports);

beforeAll(async () => {
  server = await startTestServer();
  sink = await startSink();
  const events = ["session.ended", "call.ended", "session.finalized", "recording.ready"];
  await server.api("PATCH", `${project()}/agent`, { postSessionWebhook: { url: sink.url, events } });
});
afterAll(async () => {
  await server.stop();
  await sink.close();
});

const conversation = (sessionId: string, more: object = {}): object => ({
  type: "conversation-ended",
  sessionId,
  currentNodeId: "bye",
  messagesCount: 2,
  extractedVariables: {},
  ...more,
});
const call = (sessionId: string, more: object = {}): object => ({
  type: "call-ended",
  sessionId,
  callStatus: "userHangup",
  callDuration: 78,
  ...more,
});
const recording = (sessionId: string, more: object = {}): object => ({
  type: "recording-processed",
  sessionId,
  success: false,
  ...more,
});

/** Waits for the webhooks of the sessions whose ids begin so. */
async function arrivedOf(prefix: string, count: number): Promise<Received[]> {
  const own = (): Received[] => sink.received.filter(({ json }) => json.sessionId.startsWith(prefix));
  await until(`${count} webhooks of ${prefix} have arrived`, () => own().length >= count);
  return own();
}

/** Each item as one line: its status and what came of it. */
const told = ({ body }: ApiAnswer): string[] =>
  body.data.map((item: { status: number; data?: ReportAnswer; error?: { code: string } }) =>
    item.data === undefined
      ? `${item.status} ${item.error?.code}`
      : `${item.status} ${item.data.duplicate ? "duplicate" : item.data.events.join(" ")}`,
  );

describe("many reports in one request", () => {
  test("are answered item by item, in their order, each as its own route would answer it", async () => {
    const answer = await send([
      conversation("b-1", { channel: "text" }),
      call("b-2"),
      recording("b-2"),
      conversation("b-2"),
      conversation("b-1", { channel: "text" }),
    ]);
    expect(answer.status).toBe(200);
    expect(told(answer)).toEqual([
      "200 session.ended session.finalized",
      "200 call.ended",
      "200 recording.ready",
      "200 session.ended session.finalized",
      "200 duplicate",
    ]);
    for (const item of answer.body.data) expect(ReportAnswer.safeParse(item.data).error).toBeUndefined();
    const again = await server.api("POST", `${project()}/sessions/b-2/call-ended`, {
      callStatus: "userHangup",
      callDuration: 78,
    });
    expect(again.body.data).toMatchObject({ sessionId: "b-2", duplicate: true, state: "finalized" });
  });

  test("a wrong one does not spoil the others, and is told what is wrong", async () => {
    const answer = await send([
      call("w-1"),
      null,
      "call-ended",
      {},
      call("w-2", { callStatus: "hungUp", callDuration: -1 }),
      call("w 3"),
      call("w-2", { callDuraton: 3 }),
      { ...call("w-2"), type: "call-ende" },
      conversation("w-1", { channel: "text" }),
      call("w-1", { callDuration: 79 }),
      recording("w-1", { success: true, objectKey: "../../etc/passwd" }),
      conversation("w-4", { extractedVariables: { a: "x".repeat(256 * 1024) } }),
      conversation("w-4", { currentNodeId: "a\0" }),
      recording("w-2", { sucess: true }),
      conversation("w-1"),
    ]);
    expect(answer.status).toBe(200);
    expect(told(answer)).toEqual([
      "200 call.ended",
      "422 invalid_body",
      "422 invalid_body",
      "422 invalid_body",
      "422 invalid_body",
      "422 invalid_body",
      "422 invalid_body",
      "422 invalid_body",
      "409 channel_conflict",
      "409 report_contradicts",
      "422 invalid_body",
      "422 variables_too_large",
      "422 invalid_body",
      "422 invalid_body",
      "200 session.ended session.finalized",
    ]);
    const said: Record<number, string[]> = {
      1: ["expected an object; given null"],
      3: ["type: missing; expected one of conversation-ended, call-ended, recording-processed"],
      4: ["callStatus: expected one of", "callDuration: expected 0 or more; given -1"],
      5: ["sessionId: expected 1 to 128 characters"],
      6: ["callDuraton: unknown field; did you mean callDuration?"],
      7: ['type: expected one of conversation-ended, call-ended, recording-processed; given "call-ende"'],
      8: ["Session w-1 is a call session"],
      9: ['"callDuration":78'],
      10: ["objectKey", `projects/${server.projectId}/`],
      11: ["at most 262144"],
      13: ["sucess: unknown field; did you mean success?"],
    };
    for (const [index, item] of answer.body.data.entries()) {
      if (item.status === 200) continue;
      const { status, ...body } = item;
      expect(ErrorBody.safeParse(body).success).toBe(true);
      expectErrorBody(body, ...(said[index] ?? []));
      expect(status).toBeGreaterThanOrEqual(400);
    }
    for (const id of ["w-2", "w-4"])
      expectRefused(await server.api("GET", `${project()}/sessions/${id}`), "session_not_found");
  });

  test("of one session are taken in the order of the list, among a thousand of others", async () => {
    const sessions = Array.from({ length: 200 }, (_, n) => `o-${n}`);
    const reports = sessions.flatMap((id, n) => {
      const ends = n % 2 === 0 ? [call(id), conversation(id)] : [conversation(id), call(id)];
      return [...ends, call(id), recording(id), recording(id, { error: "another" })];
    });
    // Spread out, so that a session's reports lie far apart: by kind first, then by session.
    const spread = [0, 1, 2, 3, 4].flatMap((kind) => sessions.map((_, n) => reports[n * 5 + kind]));
    expect(spread.length).toBe(1_000);
    const lines = told(await send(spread));
    for (const n of sessions.keys()) {
      const own = [0, 1, 2, 3, 4].map((kind) => lines[kind * 200 + n]);
      expect(own, `o-${n}`).toEqual([
        n % 2 === 0 ? "200 call.ended" : "200 session.ended",
        n % 2 === 0 ? "200 session.ended session.finalized" : "200 call.ended session.finalized",
        "200 duplicate",
        "200 recording.ready",
        "409 report_contradicts",
      ]);
    }
    const received = await arrivedOf("o-", 800);
    expect(received.length).toBe(800);
    for (const n of sessions.keys()) {
      const events = received
        .filter(({ json }) => json.sessionId === `o-${n}` && json.event !== "recording.ready")
        .map(({ json }) => json.event);
      const ends = n % 2 === 0 ? ["call.ended", "session.ended"] : ["session.ended", "call.ended"];
      expect(events, `o-${n}`).toEqual([...ends, "session.finalized"]);
    }
  });

  test("each item's variables come out as they came in", async () => {
    const strange = '{"2":9007199254740993,"1":1e400,"__proto__":{"a":1},"]":"},{","nul":"\\u0000"}';
    const item = (id: string): string =>
      `{ "extractedVariables" : ${strange} , "type":"conversation-ended","sessionId":"${id}",` +
      '"channel":"text","currentNodeId":"bye","messagesCount":2}';
    const answer = await send(`[ ${item("v-1")} ,null, ${item("v-2")} ]`);
    expect(told(answer).map((line) => line.slice(0, 3))).toEqual(["200", "422", "200"]);
    for (const { body } of await arrivedOf("v-", 4))
      expect(body).toContain(`"extractedVariables":${strange}`);
  });
});

describe("the list itself", () => {
  test("may have 1,000 reports and not one more, and is then refused whole", async () => {
    const many = (count: number): object[] => Array.from({ length: count }, (_, n) => recording(`n-${n}`));
    const answer = await send(many(1_001));
    expectRefused(answer, "invalid_body", "1000", "given an array of 1001");
    expectRefused(await server.api("GET", `${project()}/sessions/n-0`), "session_not_found");
    expect((await send(many(1_000))).body.data.length).toBe(1_000);
  });

  test("may not be empty, nor anything but a list", async () => {
    expectRefused(await send([]), "invalid_body", "given an array of 0");
    expectRefused(await send({ reports: [] }), "invalid_body", "expected an array; given an object");
    expectRefused(await send("null"), "invalid_body", "expected an array; given null");
  });

  test("has no creation and no progress in it: these are not reports", async () => {
    const answer = await send([
      { type: "created", sessionId: "c-1", channel: "call" },
      { type: "progress", sessionId: "c-1", messagesCount: 1 },
    ]);
    expect(told(answer)).toEqual(["422 invalid_body", "422 invalid_body"]);
  });
});
