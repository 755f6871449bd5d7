import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { startSink } from "../../../test/sink.ts";
import { type ApiAnswer, expectRefused } from "./refused.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const at = (path: string): string => `/project/${server.projectId}${path}`;
const create = (body: unknown): Promise<ApiAnswer> => server.api("POST", at("/session"), body);
const end = (body: unknown, path = "/session"): Promise<ApiAnswer> => server.api("DELETE", at(path), body);
const session = (sessionId: string): string => `/v1/projects/${server.projectId}/sessions/${sessionId}`;
const progress = { currentNodeId: "ask", messagesCount: 4, extractedVariables: { name: "Nancy" } };

describe("the documented text-session calls", () => {
  test("a client creates a session, asks for it, and ends it where its last progress left it", async () => {
    const sink = await startSink();
    const postSessionWebhook = { url: sink.url, events: ["session.ended", "session.finalized"] };
    await server.api("PATCH", `/v1/projects/${server.projectId}/agent`, { postSessionWebhook });
    const created = await create({
      session_id: "user-123-session-456",
      variables: { userName: "John Doe", name: "unknown" },
      provider: "api",
    });
    expect(created.status, created.text).toBe(200);
    expect(created.text).toBe(`{"sessionId":"user-123-session-456","pathwayId":"${server.projectId}"}`);
    await server.api("PATCH", session("user-123-session-456"), progress);
    const asked = await server.api("GET", at("/session/user-123-session-456"));
    expect([asked.status, asked.text]).toEqual([
      200,
      '{"sessionId":"user-123-session-456","state":{"variables":{"userName":"John Doe","name":"Nancy"},"messages":[]}}',
    ]);
    const ended = await end({ session_id: "user-123-session-456" });
    expect([ended.status, ended.text]).toEqual([
      200,
      '{"success":true,"sessionId":"user-123-session-456","message":"The session has ended."}',
    ]);
    await sink.arrived(2);
    expect(sink.received.map(({ json }) => json)).toMatchObject([
      { event: "session.ended", ...progress },
      { event: "session.finalized", ...progress },
    ]);
    expect(sink.received[1]?.json).not.toHaveProperty("callStatus");
    await sink.close();
  });

  test("the older path of the end does the same, and so does a session that only reports know", async () => {
    await server.api("PATCH", session("by-report"), { messagesCount: 1 });
    const ended = await end({ session_id: "by-report" }, "/integration/api/session");
    expect(ended.body).toEqual({ success: true, sessionId: "by-report", message: "The session has ended." });
    const { body } = await server.api("GET", session("by-report"));
    expect(body.data).toMatchObject({ channel: "text", state: "finalized", messagesCount: 1 });
  });

  test("variables come out as they came in", async () => {
    const variables = '{"2":1.0,"1":9007199254740993,"__proto__":{"admin":true},"toJSON":"no"}';
    await create(`{"session_id":"exact","variables":${variables}}`);
    const { text } = await server.api("GET", at("/session/exact"));
    expect(text).toContain(`"variables":${variables}`);
    expect(({} as Record<string, unknown>).admin).toBeUndefined();
  });

  test("creating the same session again is answered alike, with other variables it is refused", async () => {
    const body = { session_id: "twice", variables: { a: 1 } };
    const [first, second] = [await create(body), await create(body)];
    expect([second.status, second.text]).toEqual([first.status, first.text]);
    expectRefused(await create({ session_id: "twice", variables: { a: 2 } }), "report_contradicts");
    expectRefused(await create({ session_id: "twice" }), "report_contradicts");
  });

  test("creating a session that has ended is refused: it does not begin again", async () => {
    await create({ session_id: "over" });
    await end({ session_id: "over" });
    expectRefused(await create({ session_id: "over" }), "conversation_over", "choose another session_id");
  });

  test("ending a session twice is answered with success and changes nothing", async () => {
    await create({ session_id: "ended-twice" });
    await end({ session_id: "ended-twice" });
    const again = await end({ session_id: "ended-twice" });
    expect([again.status, again.body]).toEqual([
      200,
      {
        success: true,
        sessionId: "ended-twice",
        message: "The session had ended before; nothing was changed.",
      },
    ]);
    const { body } = await server.api("GET", session("ended-twice"));
    expect(body.data.timeline.events.length).toBe(2);
  });

  test("a call is neither created nor ended by them, and stays as it was", async () => {
    await server.api("POST", session("").replace(/\/$/, ""), { sessionId: "a-call", channel: "call" });
    expectRefused(await create({ session_id: "a-call" }), "channel_conflict", "a-call is a call session");
    expectRefused(await end({ session_id: "a-call" }), "channel_conflict", "a-call is a call session");
    const { body } = await server.api("GET", session("a-call"));
    expect(body.data).toMatchObject({ channel: "call", state: "open" });
  });

  test("a session that nobody has seen is not found, and asking or ending does not make it", async () => {
    expectRefused(await server.api("GET", at("/session/nobody")), "session_not_found", '"nobody"');
    expectRefused(await end({ session_id: "nobody" }), "session_not_found", '"nobody"');
    expectRefused(await server.api("GET", session("nobody")), "session_not_found");
  });

  test("wrong bodies are refused by field, a missing one too", async () => {
    expectRefused(await create({}), "invalid_body", "session_id: missing");
    expectRefused(await create({ session_id: "" }), "invalid_body", "1 to 128 characters");
    expectRefused(await create({ session_id: "a b" }), "invalid_body");
    expectRefused(await create({ sessionId: "a" }), "invalid_body", "did you mean session_id?");
    expectRefused(await create({ session_id: "a", provider: 1 }), "invalid_body", "provider");
    expectRefused(await create({ session_id: "a", variables: [] }), "invalid_body", "variables");
    const large = { session_id: "a", variables: { a: "x".repeat(256 * 1024) } };
    expectRefused(await create(large), "variables_too_large", "262144");
    expectRefused(await end(undefined), "media_type_not_json");
    expectRefused(await end({ session_id: 1 }), "invalid_body");
    expectRefused(await server.api("GET", at("/session/a%20b")), "invalid_path");
  });

  test("another project's key sees nothing, and its sessions are its own", async () => {
    const { body } = await server.api("POST", "/v1/projects", { name: "other" }, server.developerKey);
    const other = `/project/${body.data.id}/session`;
    await create({ session_id: "mine" });
    expectRefused(
      await server.api("GET", at("/session/mine"), undefined, body.data.key),
      "project_not_found",
    );
    expectRefused(await server.api("GET", `${other}/mine`, undefined, body.data.key), "session_not_found");
    expectRefused(
      await server.api("DELETE", other, { session_id: "mine" }, body.data.key),
      "session_not_found",
    );
  });
});
