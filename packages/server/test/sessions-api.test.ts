import { Session, SessionDetail } from "@sendoff/contract";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";
import { type ApiAnswer, expectRefused } from "./refused.ts";

let server: TestServer;
let sink: Sink;
const project = (): string => `/v1/projects/${server.projectId}`;
const session = (sessionId: string, report = ""): string => `${project()}/sessions/${sessionId}${report}`;

beforeAll(async () => {
  server = await startTestServer();
  sink = await startSink();
  const events = ["session.ended", "session.finalized"];
  await server.api("PATCH", `${project()}/agent`, { postSessionWebhook: { url: sink.url, events } });
});
afterAll(async () => {
  await server.stop();
  await sink.close();
});

const create = (body: object | string): Promise<ApiAnswer> =>
  server.api("POST", `${project()}/sessions`, body);
const conversation = { channel: "text", currentNodeId: "bye", messagesCount: 2, extractedVariables: {} };

describe("creating a session", () => {
  test("answers 201 with the whole session, and 200 with duplicate when it comes again", async () => {
    const body = { sessionId: "c-1", channel: "call", variables: { lang: "de", n: 1 }, startNodeId: "greet" };
    const first = await create(body);
    expect(first.status).toBe(201);
    const { duplicate, ...view } = first.body.data;
    expect(duplicate).toBe(false);
    expect(Session.safeParse(view).error).toBeUndefined();
    expect(view).toEqual({
      sessionId: "c-1",
      projectId: server.projectId,
      channel: "call",
      state: "open",
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      currentNodeId: "greet",
      messagesCount: 0,
      extractedVariables: {},
      variables: { lang: "de", n: 1 },
      conversationEndedAt: null,
      callEndedAt: null,
      callStatus: null,
      callDuration: null,
      finalizedAt: null,
      erasedAt: null,
      recording: null,
      late: { conversation: null, call: null },
    });
    const again = await create({ ...body, variables: { n: 1, lang: "de" } });
    expect(again.status).toBe(200);
    expect(again.body.data).toEqual({ ...view, duplicate: true });
  });

  test("makes an id when none is given, another one each time", async () => {
    const answers = [await create({ channel: "text" }), await create({ channel: "text" })];
    const ids = answers.map(({ body }) => body.data.sessionId);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/);
    expect(ids[0]).not.toBe(ids[1]);
    expect(answers.map(({ status }) => status)).toEqual([201, 201]);
  });

  test.each([
    ["other variables", { variables: { lang: "en" } }],
    ["no variables", { variables: undefined }],
    ["another start", { startNodeId: "other" }],
  ])("a second time with %s is 409 with what is stored, which stands", async (_what, changes) => {
    const body = { sessionId: "c-2", channel: "call", variables: { lang: "de" } };
    await create(body);
    expectRefused(
      await create({ ...body, ...changes }),
      "report_contradicts",
      '{\\"lang\\":\\"de\\"}',
      '"channel":"call"',
    );
    expect((await server.api("GET", session("c-2"))).body.data.variables).toEqual({ lang: "de" });
  });

  test("after its first report it is the session of that report", async () => {
    await server.api("POST", session("c-3", "/call-ended"), { callStatus: "busy", callDuration: 0 });
    const { createdAt } = (await server.api("GET", session("c-3"))).body.data;
    const answer = await create({ sessionId: "c-3", channel: "call", startNodeId: "greet" });
    expect(answer.status).toBe(201);
    expect(answer.body.data).toMatchObject({
      createdAt,
      callStatus: "busy",
      state: "ending",
      currentNodeId: "greet",
    });
  });
});

describe("a session that no one has created", () => {
  test.each([
    ["progress", "PATCH", "", { messagesCount: 3 }, "open"],
    [
      "the end of the conversation",
      "POST",
      "/conversation-ended",
      { ...conversation, channel: undefined },
      "ending",
    ],
    ["the end of the call", "POST", "/call-ended", { callStatus: "error", callDuration: 1 }, "ending"],
    ["its recording", "POST", "/recording-processed", { success: false }, "open"],
  ])("is made by %s", async (what, method, report, body, state) => {
    const id = `u-${what.replaceAll(" ", ".")}`;
    expectRefused(await server.api("GET", session(id)), "session_not_found", id);
    const answer = await server.api(method, session(id, report), body);
    expect(answer.status, answer.text).toBe(200);
    expect(answer.body.data).toMatchObject({ sessionId: id, duplicate: false, state });
    expect((await server.api("GET", session(id))).body.data).toMatchObject({ sessionId: id, state });
  });
});

describe("progress", () => {
  test("changes what is given, merges variables by key and is a duplicate when it changes nothing", async () => {
    await server.api("PATCH", session("p-1"), {
      currentNodeId: "a",
      extractedVariables: { x: 1, y: { z: 1 } },
    });
    await server.api("PATCH", session("p-1"), {
      messagesCount: 3,
      extractedVariables: { y: { w: 2 }, v: null },
    });
    const { data } = (await server.api("GET", session("p-1"))).body;
    expect(data).toMatchObject({ currentNodeId: "a", messagesCount: 3, state: "open", channel: null });
    expect(data.extractedVariables).toEqual({ x: 1, y: { w: 2 }, v: null });
    const again = await server.api("PATCH", session("p-1"), { messagesCount: 3 });
    expect(again.body.data).toEqual({
      sessionId: "p-1",
      state: "open",
      duplicate: true,
      late: false,
      events: [],
    });
  });
});

describe("one session", () => {
  test("is shown with its timeline in the published shape", async () => {
    await create({ sessionId: "t-1", channel: "call" });
    await server.api("POST", session("t-1", "/conversation-ended"), {
      ...conversation,
      channel: "call",
      endedAt: "2026-05-03T10:42:11.512+02:00",
    });
    await server.api("POST", session("t-1", "/call-ended"), { callStatus: "userHangup", callDuration: 78.5 });
    await server.api("POST", session("t-1", "/recording-processed"), { success: false, error: "mixer" });
    const read = async (): Promise<SessionDetail> => (await server.api("GET", session("t-1"))).body.data;
    await until("both webhooks are logged", async () => (await read()).timeline.attempts.length === 2);
    const detail = await read();
    expect(SessionDetail.safeParse(detail).error).toBeUndefined();
    expect(detail).toMatchObject({
      state: "finalized",
      conversationEndedAt: "2026-05-03T08:42:11.512Z",
      callStatus: "userHangup",
      callDuration: 78.5,
      recording: { success: false, objectKey: null, error: "mixer" },
    });
    expect(detail.timeline.reports.map(({ type, by }) => [type, by])).toEqual([
      ["created", "runtime"],
      ["conversation-ended", "runtime"],
      ["call-ended", "runtime"],
      ["recording-processed", "runtime"],
    ]);
    expect(
      detail.timeline.events.map(({ event, deliveries, unsentReason }) => [event, deliveries, unsentReason]),
    ).toEqual([
      ["session.ended", 1, null],
      ["call.ended", 0, "not_subscribed"],
      ["session.finalized", 1, null],
      ["recording.ready", 0, "not_subscribed"],
    ]);
    expect(detail.timeline.deliveries.map(({ event, state, attempts }) => [event, state, attempts])).toEqual([
      ["session.ended", "delivered", 1],
      ["session.finalized", "delivered", 1],
    ]);
    expect(detail.timeline.attempts.map(({ webhookId }) => webhookId)).toEqual(
      detail.timeline.events.filter(({ deliveries }) => deliveries > 0).map(({ webhookId }) => webhookId),
    );
  });

  test("of which nobody spoke tells that Sendoff ended its conversation", async () => {
    const body = { callStatus: "userNoAnswer", callDuration: 0, conversation: "none" };
    const answer = await server.api("POST", session("t-2", "/call-ended"), body);
    expect(answer.body.data.events).toEqual(["session.ended", "call.ended", "session.finalized"]);
    const { timeline } = (await server.api("GET", session("t-2"))).body.data;
    expect(timeline.reports.map(({ type, by }: { type: string; by: string }) => [type, by])).toEqual([
      ["conversation-ended", "sendoff"],
      ["call-ended", "runtime"],
    ]);
  });

  test("of another project is not there, and its id says nothing", async () => {
    const { id, key } = (await server.api("POST", "/v1/projects", { name: "Other" }, server.developerKey))
      .body.data;
    await create({ sessionId: "t-3", channel: "call" });
    const own = await server.api("GET", `/v1/projects/${id}/sessions/t-3`, undefined, key);
    expectRefused(own, "session_not_found", '"t-3"');
    const unknown = await server.api("GET", `/v1/projects/${id}/sessions/t-0`, undefined, key);
    expect(unknown.text).toBe(own.text.replace("t-3", "t-0"));
    expectRefused(await server.api("GET", session("t-3"), undefined, key), "project_not_found");
    expect((await server.api("GET", `/v1/projects/${id}/sessions`, undefined, key)).body.data).toEqual([]);
    // The same id may be used in both; they are two sessions.
    await server.api("PATCH", `/v1/projects/${id}/sessions/t-3`, { messagesCount: 7 }, key);
    expect((await server.api("GET", session("t-3"))).body.data.messagesCount).toBe(0);
  });
});

describe("variables", () => {
  const strange =
    '{"2":9007199254740993,"1":1e400,"10":-0,"fine":0.10,"__proto__":{"admin":true},' +
    '"constructor":{"prototype":{"admin":true}},"toJSON":"x","then":null,"nul\\u0000":"\\u0000",' +
    '"half":"\\ud800","a\\/b":"\\u00e9\\/ \\u2028","\u{1f600}":"\u2029","deep":[[{"":[]}]]}';

  test("come out of GET and at the sink exactly as they came in, but for white space", async () => {
    const spaced = strange.replaceAll('":', '" :\n ').replaceAll(',"', ' ,\t"');
    const before = sink.received.length;
    const { status, text } = await create(`{"sessionId":"v-1","channel":"text","variables":${spaced}}`);
    expect(status, text).toBe(201);
    const body = `{"extractedVariables": ${spaced} ,"currentNodeId":"bye","messagesCount":2}`;
    expect((await server.api("POST", session("v-1", "/conversation-ended"), body)).status).toBe(200);
    const detail = (await server.api("GET", session("v-1"))).text;
    expect(detail).toContain(`"extractedVariables":${strange}`);
    expect(detail).toContain(`"variables":${strange}`);
    expect((await server.api("GET", `${project()}/sessions?limit=1`)).text).toContain(
      `"variables":${strange}`,
    );
    const own = () => sink.received.slice(before).filter(({ json }) => json.sessionId === "v-1");
    await until("both webhooks have arrived", () => own().length === 2);
    for (const received of own()) expect(received.body).toContain(`"extractedVariables":${strange}`);
    expect(({} as Record<string, unknown>).admin).toBeUndefined();
  });

  test("that came in by progress are merged without a change to any value", async () => {
    await server.api(
      "PATCH",
      session("v-2"),
      '{"extractedVariables":{"b":9007199254740993,"2":1e400,"1":0.10}}',
    );
    await server.api(
      "PATCH",
      session("v-2"),
      '{"extractedVariables":{"__proto__":{"admin":true},"2":-0.0,"half":"\\udfff"}}',
    );
    expect((await server.api("GET", session("v-2"))).text).toContain(
      '"extractedVariables":{"b":9007199254740993,"2":-0.0,"1":0.10,"__proto__":{"admin":true},"half":"\\udfff"}',
    );
  });

  test("of exactly 256 KiB are taken and come out whole", async () => {
    const text = `{"k":"${"é".repeat((256 * 1024 - 8) / 2)}"}`;
    expect(Buffer.byteLength(text)).toBe(256 * 1024);
    const answer = await server.api("PATCH", session("v-3"), `{"extractedVariables":${text}}`);
    expect(answer.status, answer.text.slice(0, 200)).toBe(200);
    expect((await server.api("GET", session("v-3"))).text).toContain(`"extractedVariables":${text}`);
  });
});

test("the same report from twenty clients at once makes one change, one event and twenty right answers", async () => {
  const body = { ...conversation, channel: "text" };
  const send = (): Promise<ApiAnswer> => server.api("POST", session("same-1", "/conversation-ended"), body);
  const answers = await Promise.all(Array.from({ length: 20 }, send));
  expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200));
  const firsts = answers.filter(({ body: { data } }) => !data.duplicate);
  expect(firsts.length).toBe(1);
  expect(firsts[0]?.body.data.events).toEqual(["session.ended", "session.finalized"]);
  const { rowCount } = await server.pool.query(
    "SELECT FROM events JOIN sessions USING (session_key) WHERE session_id = 'same-1'",
  );
  expect(rowCount).toBe(2);
});
