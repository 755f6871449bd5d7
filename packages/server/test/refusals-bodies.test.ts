import { gzipSync } from "node:zlib";
import { callStatuses, type ErrorCode } from "@sendoff/contract";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type ApiAnswer, expectRefused, sendRaw } from "./refused.ts";

let server: TestServer;
const project = (): string => `/v1/projects/${server.projectId}`;
const session = (sessionId: string, report = ""): string => `${project()}/sessions/${sessionId}${report}`;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const conversation = { channel: "text", currentNodeId: "bye", messagesCount: 2, extractedVariables: {} };
const call = { callStatus: "userHangup", callDuration: 78 };

describe("P3, P8, P10, P15: the bytes of a body", () => {
  // Nothing of what is refused here may leave a session behind.
  afterEach(async () => {
    expect((await server.pool.query("SELECT FROM sessions")).rowCount).toBe(0);
  });

  const post = (body: Buffer | string, headers: Record<string, string> = {}): Promise<ApiAnswer> => {
    const all = { "content-type": "application/json", "content-length": Buffer.byteLength(body), ...headers };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
    return sendRaw(
      server.apiUrl,
      `POST ${session("b-1", "/conversation-ended")} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n` +
        `authorization: Bearer ${server.projectKey}\r\n${lines.join("")}\r\n`,
      body,
    );
  };
  const right = JSON.stringify(conversation);
  const nested = (depth: number): string =>
    `{"extractedVariables":${'{"a":'.repeat(depth - 1)}1${"}".repeat(depth)}`;
  const keys = (count: number): string =>
    JSON.stringify({
      extractedVariables: Object.fromEntries(Array.from({ length: count - 1 }, (_, n) => [`k${n}`, 0])),
    });

  test.each<[what: string, body: Buffer | string, code: ErrorCode, said: string]>([
    ["that is empty", "", "invalid_json", "not JSON"],
    ["that breaks off", right.slice(0, -1), "invalid_json", "not JSON"],
    ["with something after it", `${right}x`, "invalid_json", "not JSON"],
    ["with single quotes", "{'a':1}", "invalid_json", "not JSON"],
    ["with NaN", '{"a":NaN}', "invalid_json", "not JSON"],
    ["that is a form", "channel=call", "invalid_json", "not JSON"],
    ["with a stray byte", Buffer.from([0x22, 0xff, 0x22]), "invalid_json", "not UTF-8"],
    ["with an overlong slash", Buffer.from([0x22, 0xc0, 0xaf, 0x22]), "invalid_json", "not UTF-8"],
    ["with half a pair in UTF-8", Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), "invalid_json", "not UTF-8"],
    ["in UTF-16", Buffer.from(`\ufeff${right}`, "utf16le"), "invalid_json", "not UTF-8"],
    ["with a byte order mark", `\ufeff${right}`, "invalid_json", "byte order mark"],
    ["33 levels deep", nested(33), "too_deep", "32 levels"],
    ["5,000 levels deep", nested(5_000), "too_deep", "32 levels"],
    ["of 100,000 open brackets", "[".repeat(100_000), "too_deep", "32 levels"],
    ["with 10,001 keys", keys(10_001), "too_deep", "10000 keys"],
    ["of 1 MiB and a byte", right + " ".repeat(1024 * 1024 + 1 - right.length), "body_too_large", "1048576"],
    ["of 2 MiB", " ".repeat(2 * 1024 * 1024), "body_too_large", "1048576"],
  ])("a body %s is refused", async (_what, body, code, said) => {
    expectRefused(await post(body), code, said);
  });

  test("a body 32 levels deep, or with 10,000 keys, or of exactly 1 MiB, is read", async () => {
    for (const body of [nested(32), keys(10_000), `{"x":1${" ".repeat(1024 * 1024 - 7)}}`])
      expectRefused(await post(body), "invalid_body", "currentNodeId: missing");
  });

  test("a body of 2 MiB in chunks, without a length, is refused while it comes in", async () => {
    const chunk = Buffer.alloc(64 * 1024, " ");
    const chunks = Array.from({ length: 32 }, () => [
      `${chunk.length.toString(16)}\r\n`,
      chunk,
      "\r\n",
    ]).flat();
    const head =
      `POST ${session("b-1", "/conversation-ended")} HTTP/1.1\r\nhost: localhost\r\n` +
      `authorization: Bearer ${server.projectKey}\r\ncontent-type: application/json\r\n` +
      "transfer-encoding: chunked\r\n\r\n";
    const answer = await sendRaw(server.apiUrl, head, ...chunks, "0\r\n\r\n");
    expectRefused(answer, "body_too_large", "1048576");
    expect(answer.headers.get("connection")).toBe("close");
  });

  test("a length that is too large is refused before the body has come, and nothing more is read", async () => {
    const head =
      `POST ${session("b-1", "/conversation-ended")} HTTP/1.1\r\nhost: localhost\r\n` +
      `authorization: Bearer ${server.projectKey}\r\ncontent-type: application/json\r\n` +
      "content-length: 1073741824\r\n\r\n";
    expectRefused(await sendRaw(server.apiUrl, head), "body_too_large", "1048576");
  });

  test.each([
    "text/plain",
    "application/x-www-form-urlencoded",
    "text/json",
    "application/jsonx",
    "json",
    "",
  ])("the content-type %j is refused", async (type) => {
    const given = type === "" ? "no content-type" : type;
    expectRefused(
      await post(right, { "content-type": type }),
      "media_type_not_json",
      given,
      "application/json",
    );
  });

  test.each(["gzip", "br", "deflate", "gzip, gzip"])("content-encoding %s is refused", async (encoding) => {
    const answer = await post(gzipSync(right), { "content-encoding": encoding });
    expectRefused(answer, "media_type_not_json", encoding, "send it as it is");
  });
});

describe("the fields of a body", () => {
  const cases: Array<[what: string, path: () => string, body: unknown, ...said: string[]]> = [
    [
      "a misspelt field",
      () => session("f-1", "/call-ended"),
      { callStatus: "busy", callDuraton: 0 },
      "callDuration: missing; expected a number",
      "callDuraton: unknown field; did you mean callDuration?",
    ],
    [
      "a field that means nothing",
      () => session("f-1", "/call-ended"),
      { ...call, somethingElse: 1 },
      "somethingElse: unknown field; expected one of callStatus, callDuration",
    ],
    [
      "a 15th callStatus",
      () => session("f-1", "/call-ended"),
      { ...call, callStatus: "hungUp" },
      "callStatus: expected one of",
      ...callStatuses,
      'given "hungUp"',
    ],
    [
      "a callStatus in another case",
      () => session("f-1", "/call-ended"),
      { ...call, callStatus: "ended" },
      'given "ended"',
    ],
    [
      "a negative duration",
      () => session("f-1", "/call-ended"),
      { ...call, callDuration: -1 },
      "callDuration: expected 0 or more; given -1",
    ],
    [
      "an endless duration",
      () => session("f-1", "/call-ended"),
      '{"callStatus":"error","callDuration":1e400}',
      "given Infinity",
    ],
    [
      "a duration of a busy call",
      () => session("f-1", "/call-ended"),
      { callStatus: "busy", callDuration: 3 },
      "callDuration: expected 0 with callStatus busy",
      "given 3",
    ],
    [
      "a body that is a list",
      () => session("f-1", "/call-ended"),
      [call],
      "expected an object; given an array of 1",
    ],
    ["a body that is null", () => session("f-1", "/call-ended"), "null", "expected an object; given null"],
    [
      "half a message",
      () => session("f-1"),
      { messagesCount: 1.5 },
      "messagesCount: expected a whole number; given 1.5",
    ],
    [
      "variables in a list",
      () => session("f-1"),
      { extractedVariables: [] },
      "extractedVariables: expected an object; given an array of 0",
    ],
    [
      "a NUL in a node",
      () => session("f-1"),
      { currentNodeId: "a\0" },
      "currentNodeId: expected text without NUL",
    ],
    ["half a pair in a node", () => session("f-1"), { currentNodeId: "\ud800" }, "halves of surrogate pairs"],
    [
      "a NUL in an error",
      () => session("f-1", "/recording-processed"),
      { success: false, error: "\0" },
      "error: expected text without NUL",
    ],
    [
      "a session's id with a slash",
      () => `${project()}/sessions`,
      { channel: "call", sessionId: "a/b" },
      "sessionId: expected 1 to 128 characters",
      'given "a/b"',
    ],
    [
      "an unknown channel",
      () => `${project()}/sessions`,
      { channel: "sms" },
      'channel: expected one of call, text; given "sms"',
    ],
    [
      "a __proto__ field",
      () => `${project()}/sessions`,
      '{"channel":"call","__proto__":{}}',
      "__proto__: unknown field",
    ],
    [
      "a moment without a zone",
      () => session("f-1", "/call-ended"),
      { ...call, endedAt: "2026-05-03T08:42:11" },
      "endedAt: expected a moment in ISO 8601",
    ],
    [
      "a recording without its outcome",
      () => session("f-1", "/recording-processed"),
      {},
      "success: missing; expected one of true, false",
    ],
    [
      "a recording with a word for its outcome",
      () => session("f-1", "/recording-processed"),
      { success: "yes" },
      'success: expected one of true, false; given "yes"',
    ],
    [
      "a recording without its key",
      () => session("f-1", "/recording-processed"),
      { success: true },
      "objectKey: missing",
    ],
    [
      "a stored recording with an error",
      () => session("f-1", "/recording-processed"),
      { success: true, objectKey: "k", error: "x" },
      "error: not a field of this kind",
    ],
  ];

  test.each(cases)("%s is refused and told", async (_what, path, body, ...said) => {
    const method = path().endsWith("/sessions/f-1") ? "PATCH" : "POST";
    const answer = await server.api(method, path(), body);
    expectRefused(answer, "invalid_body", ...said);
    expect(answer.body.error.details.length).toBeGreaterThan(0);
    expectRefused(await server.api("GET", session("f-1")), "session_not_found", '"f-1"');
  });

  test("of many wrong fields 20 are told, and how many more there are", async () => {
    const body = Object.fromEntries(Array.from({ length: 25 }, (_, n) => [`wrong-number-${n}`, n]));
    const answer = await server.api("PATCH", session("f-1"), body);
    expectRefused(answer, "invalid_body", "And 5 more.");
    expect(answer.body.error.details.length).toBe(20);
  });

  test.each([
    "audio.ogg",
    "https://recordings.example.com/a.ogg",
    "http://169.254.169.254/latest",
    "file:///etc/passwd",
    "s3://other/projects/x/a.ogg",
    "/projects/PROJECT/a.ogg",
    "projects/00000000-0000-4000-8000-000000000000/a.ogg",
    "projects/PROJECT",
    "projects/PROJECT/",
    "projects/PROJECT/../other/a.ogg",
    "projects/PROJECT/./a.ogg",
    "projects/PROJECT/a//b.ogg",
    "projects/PROJECT/a.ogg?X-Amz-Signature=1",
    "projects/PROJECT/%2e%2e/a.ogg",
    "projects/PROJECT/a\\..\\b",
    "projects/PROJECT/a.ogg\n",
    "projects/PROJECT-2/a.ogg",
  ])("the recording's key %j is refused", async (pattern) => {
    const objectKey = pattern.replace("PROJECT", server.projectId);
    const answer = await server.api("POST", session("f-2", "/recording-processed"), {
      success: true,
      objectKey,
    });
    expectRefused(
      answer,
      "invalid_body",
      JSON.stringify(objectKey),
      `expected projects/${server.projectId}/`,
    );
    expect(answer.body.error.details[0].path).toBe("objectKey");
    expectRefused(await server.api("GET", session("f-2")), "session_not_found");
  });
});
