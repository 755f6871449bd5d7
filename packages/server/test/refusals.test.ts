import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type ErrorCode, errorCatalogue } from "@sendoff/contract";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { placeAudio, toneWav } from "../../../test/audio.ts";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";
import { streamLimits } from "../src/feed/streams.ts";
import { type ApiAnswer, expectRefused } from "./refused.ts";

let server: TestServer;
const project = (): string => `/v1/projects/${server.projectId}`;
const session = (sessionId: string): string => `${project()}/sessions/${sessionId}`;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const conversation = { channel: "text", currentNodeId: "bye", messagesCount: 2, extractedVariables: {} };

const setWebhook = (webhook: object): Promise<ApiAnswer> =>
  server.api("PATCH", `${project()}/agent`, { postSessionWebhook: webhook });

/** The link of a recording.ready whose audio has gone since. */
async function linkWithoutAudio(): Promise<string> {
  const sink = await startSink();
  await setWebhook({ url: sink.url, events: ["recording.ready"] });
  const objectKey = `projects/${server.projectId}/sessions/none/audio.ogg`;
  const file = await placeAudio(server.dataFolder, objectKey);
  await server.api("POST", `${session("none")}/recording-processed`, { success: true, objectKey });
  await sink.arrived(1);
  await rm(file);
  await sink.close();
  return String(sink.received[0]?.json.recordingUrl).slice(server.apiUrl.length);
}

async function upload(sessionId: string, audio: Uint8Array): Promise<ApiAnswer> {
  const headers = { authorization: `Bearer ${server.projectKey}` };
  const url = `${server.apiUrl}${session(sessionId)}/recording`;
  const response = await fetch(url, { method: "PUT", headers, body: audio });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, body: JSON.parse(text) };
}

/** The id of an attempt at an endpoint that answered with a status; it has settled, unless there are retries. */
async function attemptOf(sessionId: string, status: number, more: object = {}): Promise<string> {
  const sink = await startSink((response) => {
    response.statusCode = status;
    response.end();
  });
  const set = await setWebhook({ url: sink.url, ...more });
  expect(set.status, set.text).toBe(200);
  await server.api("POST", `${session(sessionId)}/conversation-ended`, conversation);
  // The project may have further webhooks.
  const attempts = async (): Promise<Array<{ id: string }>> =>
    (await server.api("GET", `${project()}/webhook-logs?sessionId=${sessionId}`)).body.data.filter(
      ({ url }: { url: string }) => url === sink.url,
    );
  await until("it is logged", async () => (await attempts()).length > 0);
  await sink.close();
  return (await attempts())[0]?.id ?? "";
}

const resend = (logId: string): Promise<ApiAnswer> =>
  server.api("POST", `${project()}/webhook-logs/${logId}/resend`);
const testEvent = (): Promise<ApiAnswer> =>
  server.api("POST", `${project()}/agent/webhook/test`, { event: "session.ended" });

const dashboardCookie = (token: string): string =>
  `__Host-sendoff_session_${new URL(server.apiUrl).port}=${token}`;

/** A request without a key, with headers of its own. */
async function byCookie(
  method: string,
  path: string,
  headers: Record<string, string>,
  body?: object,
): Promise<ApiAnswer> {
  const response = await fetch(server.apiUrl + path, {
    method,
    headers: { ...headers, ...(body === undefined ? {} : { "content-type": "application/json" }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, body: JSON.parse(text) };
}

/** One way to each code. What else leads to it stands in the files refusals-*.test.ts. */
const ways: Partial<Record<ErrorCode, () => Promise<ApiAnswer>>> = {
  invalid_json: () => server.api("POST", `${project()}/sessions`, '{"channel":'),
  too_deep: () => server.api("POST", `${project()}/sessions`, "[".repeat(33)),
  missing_key: () => server.api("GET", "/v1/projects", undefined, ""),
  wrong_key: () => server.api("GET", "/v1/projects", undefined, `sk_${"a".repeat(43)}`),
  not_signed_in: () => byCookie("GET", "/v1/projects", { cookie: dashboardCookie("a".repeat(43)) }),
  sign_in_link_invalid: () =>
    byCookie("POST", "/dashboard/session", { "sendoff-dashboard": "1" }, { token: "a".repeat(43) }),
  cross_site_request: () => byCookie("POST", "/dashboard/session", {}, { token: "a" }),
  developer_key_needed: () => server.api("POST", "/v1/projects", { name: "second" }),
  route_not_found: () => server.api("GET", "/v1/nothing"),
  project_not_found: () => server.api("GET", "/v1/projects/00000000-0000-4000-8000-000000000000/agent"),
  session_not_found: () => server.api("GET", session("never-seen")),
  webhook_log_not_found: () => server.api("GET", `${project()}/webhook-logs/999999`),
  webhook_not_found: () => server.api("DELETE", `/project/${server.projectId}/webhooks/1`),
  inspector_not_found: () => server.api("GET", "/inspect/nobody"),
  recording_not_found: async () => server.api("GET", await linkWithoutAudio(), undefined, ""),
  recording_link_invalid: () => server.api("GET", `/recordings/projects/${server.projectId}/a.ogg?expires=1`),
  recording_unreadable: () =>
    server.api("POST", `${session("call-1")}/recording-processed`, {
      success: true,
      objectKey: `projects/${server.projectId}/nothing.ogg`,
    }),
  not_audio: () => upload("call-2", Buffer.from("<html>")),
  async recording_store_unavailable() {
    const folder = join(server.dataFolder, "recordings", ".unfinished");
    await rm(folder, { recursive: true, force: true });
    await mkdir(join(folder, ".."), { recursive: true });
    await writeFile(folder, "in the way");
    const answer = await upload("call-3", toneWav(0.1));
    await rm(folder);
    return answer;
  },
  async range_not_satisfiable() {
    await upload("call-4", toneWav(0.1));
    const headers = { authorization: `Bearer ${server.projectKey}`, range: "bytes=9000-" };
    const response = await fetch(`${server.apiUrl}${session("call-4")}/recording`, { headers });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, body: JSON.parse(text) };
  },
  async peaks_pending() {
    await upload("call-5", toneWav(0.1));
    // What is examined at this moment would have its result written over what is set here.
    await until("it was examined", async () => {
      const { body } = await server.api("GET", session("call-5"));
      return body.data.recording.peaks !== "pending";
    });
    await server.pool.query("UPDATE recordings SET peaks = 'pending', peaks_due_at = 'infinity'");
    return server.api("GET", `${session("call-5")}/recording/peaks`);
  },
  async peaks_not_found() {
    await upload(
      "call-6",
      Buffer.from("1a45dfa3 9f4286810142f7810142f2810442f381084282847765626d".replace(" ", ""), "hex"),
    );
    await until("it was examined", async () => {
      const { body } = await server.api("GET", session("call-6"));
      return body.data.recording.peaks === "none";
    });
    return server.api("GET", `${session("call-6")}/recording/peaks`);
  },
  method_not_allowed: () => server.api("DELETE", `${project()}/agent`),
  async channel_conflict() {
    await server.api("POST", `${session("text-1")}/conversation-ended`, conversation);
    return server.api("POST", `${session("text-1")}/call-ended`, { callStatus: "error", callDuration: 0 });
  },
  async report_contradicts() {
    await server.api("POST", `${session("text-2")}/conversation-ended`, conversation);
    return server.api("POST", `${session("text-2")}/conversation-ended`, {
      ...conversation,
      messagesCount: 3,
    });
  },
  variables_too_large: () =>
    server.api("PATCH", session("large-1"), { extractedVariables: { a: "x".repeat(256 * 1024) } }),
  async conversation_over() {
    await server.api("POST", `${session("text-3")}/conversation-ended`, conversation);
    return server.api("PATCH", session("text-3"), { messagesCount: 3 });
  },
  async duplicate_endpoint() {
    const webhook = { url: "https://example.com/twice" };
    await server.api("POST", `/project/${server.projectId}/webhooks`, webhook);
    return server.api("POST", `/project/${server.projectId}/webhooks`, webhook);
  },
  async quota() {
    const { body } = await server.api("POST", "/v1/projects", { name: "full" }, server.developerKey);
    const { id, key } = body.data;
    const make = (number: number): Promise<ApiAnswer> =>
      server.api("POST", `/project/${id}/webhooks`, { url: `https://example.com/${number}` }, key);
    for (let number = 0; number < 50; number++) await make(number);
    return make(50);
  },
  body_too_large: () => server.api("POST", `${project()}/sessions`, " ".repeat(1024 * 1024 + 1)),
  async media_type_not_json() {
    const headers = { authorization: `Bearer ${server.projectKey}`, "content-type": "text/plain" };
    const url = `${server.apiUrl}${project()}/sessions`;
    const response = await fetch(url, { method: "POST", headers, body: "{}" });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, body: JSON.parse(text) };
  },
  invalid_body: () => server.api("POST", `${project()}/sessions`, { channel: "sms" }),
  invalid_query: () => server.api("GET", `${project()}/sessions?state=over`),
  invalid_path: () => server.api("GET", session("a%20b")),
  invalid_url: () => setWebhook({ url: "http://example.com/" }),
  invalid_header: () => setWebhook({ url: "https://example.com/", headers: [{ key: "Host", value: "x" }] }),
  async rate_limited() {
    for (;;) {
      const answer = await server.api("GET", "/v1/projects", undefined, `sk_${"a".repeat(43)}`);
      if (answer.status !== 401) return answer;
    }
  },
  async session_erased() {
    await server.api("POST", `${session("text-4")}/conversation-ended`, conversation);
    await server.api("DELETE", session("text-4"));
    return server.api("POST", `${session("text-4")}/conversation-ended`, conversation);
  },
  async too_many_streams() {
    const gone = new AbortController();
    const headers = { authorization: `Bearer ${server.projectKey}`, accept: "text/event-stream" };
    const open = (): Promise<Response> =>
      fetch(`${server.apiUrl}${project()}/events`, { headers, signal: gone.signal });
    await Promise.all(Array.from({ length: streamLimits.perProject }, open));
    const response = await open();
    const text = await response.text();
    gone.abort();
    return { status: response.status, headers: response.headers, text, body: JSON.parse(text) };
  },
  masked_value: () => setWebhook({ url: "https://example.com/", headers: [{ key: "X", value: "••••" }] }),
  endpoint_not_found: () =>
    server.api("POST", `${project()}/reconcile`, {
      from: "2026-05-03T00:00:00Z",
      to: "2026-05-04T00:00:00Z",
      held: [],
      endpointId: "00000000-0000-4000-8000-000000000000",
    }),
  async no_webhook() {
    await server.api("PATCH", `${project()}/agent`, { postSessionWebhook: null });
    return testEvent();
  },
  async endpoint_removed() {
    const logId = await attemptOf("resend-1", 200);
    await server.api("PATCH", `${project()}/agent`, { postSessionWebhook: null });
    return resend(logId);
  },
  async delivery_under_way() {
    const retries = { attempts: 2, window: "1h" };
    return resend(await attemptOf("resend-3", 500, { delivery: { retries } }));
  },
  async test_not_resent() {
    await setWebhook({ url: "http://127.0.0.1:1/" });
    return resend((await testEvent()).body.data.id);
  },
  async too_many_secrets() {
    await setWebhook({ url: "http://127.0.0.1:1/" });
    const rotate = () => server.api("POST", `${project()}/agent/webhook/secret`);
    for (let round = 0; round < 2; round++) await rotate();
    return rotate();
  },
};

/** Codes that no way of this file leads to, and why. */
const elsewhere: Partial<Record<ErrorCode, string>> = {
  internal_error: "a mistake of Sendoff: whatever reaches it from outside is a bug",
  overloaded: "needs commits that stand still: refusals-unavailable.test.ts",
  database_unavailable: "needs a database that does not answer: refusals-unavailable.test.ts",
  test_not_attempted: "needs a system without workers: outbox-resend.test.ts",
  upload_broken: "its sender has gone, and no answer reaches it: uploads.test.ts",
  upload_stalled: "takes 30 s: uploads.test.ts",
  dashboard_not_built: "needs a server without the dashboard's files: dashboard.test.ts",
  cursor_gone: "needs a database that was restored: feed-epochs.test.ts",
  storage_full: "needs a store without room: upload-bounds.test.ts",
  stalled: "needs a dispatcher that makes no progress: packages/cli/test/stall.test.ts",
  draining: "needs a server that shuts down: refusals-unavailable.test.ts",
};

const reached = new Set<string>();

describe("the catalogue of errors", () => {
  test.each(Object.entries(ways))("%s is answered as the catalogue has it", async (code, way) => {
    const answer = await way();
    expectRefused(answer, code as ErrorCode);
    reached.add(answer.body.error.code);
  });

  test("has no code that nothing leads to, and the list of exceptions has none that is not in it", () => {
    const unreached = Object.keys(errorCatalogue).filter((code) => !reached.has(code));
    expect(unreached.sort()).toEqual(Object.keys(elsewhere).sort());
  });
});
