import type { ErrorCode } from "@sendoff/contract";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { type ApiAnswer, expectRefused } from "./refused.ts";

let server: TestServer;
let sink: Sink;
let before: unknown;
beforeAll(async () => {
  server = await startTestServer();
  sink = await startSink();
  await save([{ key: "X-Standing", value: "1" }]);
  before = (await server.api("GET", agent())).body;
});
afterAll(async () => {
  await server.stop();
  await sink.close();
});

const agent = (): string => `/v1/projects/${server.projectId}/agent`;
type Header = { readonly key: unknown; readonly value: unknown };
const save = (headers: readonly Header[]): Promise<ApiAnswer> =>
  server.api("PATCH", agent(), { postSessionWebhook: { url: sink.url, headers } });
const value = "s3cret-of-a-stranger";
const named = (key: string): Header[] => [{ key, value }];
const valued = (text: string): Header[] => [{ key: "X-A", value: text }];

/** Header `n` of a crowd. */
const crowd = (count: number, text: string): Header[] =>
  Array.from({ length: count }, (_, n) => ({ key: `x-${n}`, value: text }));

type Row = [row: string, code: ErrorCode, rule: string, headers: Header[]];

const rows: Row[] = [
  ...["v\r\nInjected: 1", "v\n..", "v\r..", "v\0x", "v\x7f", "\x1b[0m"].map(
    (text): Row => ["H1", "invalid_header", "forbidden_character", valued(text)],
  ),
  ...["\u560aInjected", "\u010a", "\u0d0d"].map(
    (text): Row => ["H2", "invalid_header", "forbidden_character", valued(text)],
  ),
  ["H3", "invalid_header", "forbidden_character", valued("é")],
  ["H3", "invalid_header", "forbidden_character", valued(" v")],
  ["H3", "invalid_header", "forbidden_character", valued("v\t")],
  ...["X A", "X-A:", "X-A\r\nB", "X-É", "a/b", "a\0", "X-\u212Aey"].map(
    (key): Row => ["H4", "invalid_header", "not_a_token", named(key)],
  ),
  ["H4", "invalid_body", "headers[0].key", named("")],
  ["H5", "invalid_header", "denied_header", named("Host")],
  ["H6", "invalid_header", "denied_header", [{ key: "Content-Length", value: "0" }]],
  ["H7", "invalid_header", "denied_header", [{ key: "content-length", value: "5000" }]],
  ["H8", "invalid_header", "denied_header", [{ key: "Transfer-Encoding", value: "chunked" }]],
  ["H9", "invalid_header", "denied_header", [{ key: "TRANSFER-ENCODING", value: "identity" }]],
  ["H9", "invalid_header", "denied_header", [{ key: "Upgrade", value: "websocket" }]],
  ["H9", "invalid_header", "denied_header", [{ key: "Connection", value: "Upgrade" }]],
  ["H9", "invalid_header", "denied_header", [{ key: "Expect", value: "100-continue" }]],
  ["H11", "invalid_header", "denied_header", [{ key: "webhook-signature", value: "v1,forged" }]],
  ["H11", "invalid_header", "denied_header", named("Sendoff-Attempt")],
  ["H11", "invalid_header", "denied_header", named("X-Sendoff-Event")],
  ["H12", "invalid_body", "headers[0].value", valued("v".repeat(70_000))],
  ["H12", "invalid_body", "headers", crowd(200, "v")],
  ["H12", "invalid_header", "8192", crowd(3, "v".repeat(4_000))],
  ["H13", "invalid_header", "denied_header", named("__proto__")],
  ["H13", "invalid_header", "denied_header", named("constructor")],
  ["H14", "invalid_header", "duplicate_header", [...named("X-A"), ...named("x-a")]],
  ["H15", "invalid_header", "denied_header", [{ key: "Metadata-Flavor", value: "Google" }]],
  ["H15", "invalid_header", "denied_header", named("X-aws-ec2-metadata-token")],
  ["H15", "invalid_header", "denied_header", named("X-aws-ec2-metadata-token-ttl-seconds")],
  ["H15", "invalid_header", "denied_header", named("Metadata")],
];

describe("a header that is refused", () => {
  test.each(rows)(
    "%s: %s (%s), when it is saved and with nothing stored: %j",
    async (_row, code, part, headers) => {
      const answer = await save(headers);
      expectRefused(answer, code, part);
      expect(answer.text).not.toContain(value);
      expect((await server.api("GET", agent())).body).toEqual(before);
    },
  );
});

test("H11: what is sent are the endpoint's headers, and each of ours once, after them", async () => {
  expect((await save([{ key: "X-Route", value: "blue, 7" }, ...named("Authorization")])).status).toBe(200);
  const ended = { channel: "text", currentNodeId: "x", messagesCount: 1, extractedVariables: {} };
  await server.api("POST", `/v1/projects/${server.projectId}/sessions/h11/conversation-ended`, ended);
  await sink.arrived(1);
  const headers = sink.received[0]?.headers ?? {};
  expect(headers).toMatchObject({
    "x-route": "blue, 7",
    authorization: value,
    "accept-encoding": "identity",
  });
  expect(Object.keys(headers)).toEqual([
    "host",
    "connection",
    "x-route",
    "authorization",
    "content-type",
    "accept-encoding",
    "user-agent",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "sendoff-attempt",
    "sendoff-trigger",
    "content-length",
  ]);
});
