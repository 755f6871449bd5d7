import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { agentEvents, EventPayload, WebhookLogDetail } from "@sendoff/contract";
import { Webhook } from "standardwebhooks";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createTestDatabase } from "../../../test/database.ts";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { startSendoff } from "../src/main.ts";

let server: TestServer;
let sink: Sink;
const url = (path: string): string => `/v1/projects/${server.projectId}${path}`;
const send = (body: unknown) => server.api("POST", url("/agent/webhook/test"), body);

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

beforeEach(async () => {
  await server.api("PATCH", url("/agent"), { postSessionWebhook: null });
});
afterEach(() => sink?.close());

/** Makes the agent's webhook anew and answers its signing secret. */
async function pointAt(
  respond?: Parameters<typeof startSink>[0],
  more: object = { events: ["session.ended"] },
): Promise<string> {
  sink = await startSink(respond);
  const answer = await server.api("PATCH", url("/agent"), {
    postSessionWebhook: { url: sink.url, ...more },
  });
  expect(answer.status, answer.text).toBe(200);
  return answer.body.data.signingSecret;
}

describe("a test event", () => {
  test.each([
    ...agentEvents.map((event) => [event, undefined] as const),
    ["session.ended", "text"] as const,
    ["session.finalized", "text"] as const,
    ["session.finalized", "call"] as const,
  ])(
    "of %s (channel %s) is a whole, signed example, also when the endpoint does not subscribe to it",
    async (event, channel) => {
      const secret = await pointAt();
      const answer = await send(channel === undefined ? { event } : { event, channel });
      expect(answer.status, answer.text).toBe(200);
      const { data } = answer.body;
      expect(WebhookLogDetail.safeParse(data).error).toBeUndefined();
      expect(data).toMatchObject({
        event,
        attempt: 1,
        trigger: "test",
        outcome: "delivered",
        settledAs: "delivered",
        responseBody: "ok",
        url: sink.url,
      });
      expect(sink.received.length).toBe(1);
      const [received] = sink.received;
      expect(received?.headers).toMatchObject({
        "sendoff-trigger": "test",
        "sendoff-attempt": "1",
        "webhook-id": data.webhookId,
      });
      expect(EventPayload.safeParse(received?.json).error).toBeUndefined();
      expect(received?.json.sessionId).toMatch(/^sendoff-test-[0-9a-f]{12}$/);
      expect(received?.json.sessionId).toBe(data.sessionId);
      expect(received?.json.projectId ?? server.projectId).toBe(server.projectId);
      if (event === "session.finalized")
        expect(Object.hasOwn(received?.json, "callStatus")).toBe(channel !== "text");
      new Webhook(secret).verify(received?.body ?? "", received?.headers as Record<string, string>);
      // The body is the one that the log shows; of a link without its signature.
      const shown = (received?.body ?? "").replace(/\?expires=[^"]*/, "");
      expect(data.requestBody).toBe(shown);
    },
  );

  test("of a recording carries a link to audio that plays; the log has it without its signature", async () => {
    await pointAt();
    const { body } = await send({ event: "recording.ready" });
    const { success, recordingUrl } = sink.received[0]?.json ?? {};
    expect(success).toBe(true);
    const audio = await fetch(recordingUrl);
    expect([audio.status, audio.headers.get("content-type")]).toEqual([200, "audio/wav"]);
    const bytes = Buffer.from(await audio.arrayBuffer());
    expect(bytes.subarray(0, 4).toString()).toBe("RIFF");
    expect(bytes.readUInt32LE(4)).toBe(bytes.length - 8);
    expect(body.data.requestBody).toContain(`"recordingUrl":"${recordingUrl.split("?")[0]}"`);
    const { rows } = await server.pool.query("SELECT * FROM webhook_logs");
    expect(JSON.stringify(rows)).not.toContain("signature=");
    expect((await fetch(`${recordingUrl}x`)).status).toBe(403);
  });

  test("makes no session and no event, and is owed to nobody else", async () => {
    await pointAt();
    const { body } = await send({ event: "session.finalized" });
    expect((await server.api("GET", url("/sessions"))).body.data).toEqual([]);
    expect((await server.api("GET", url(`/sessions/${body.data.sessionId}`))).status).toBe(404);
    for (const table of ["sessions", "events", "deliveries"]) {
      expect((await server.pool.query(`SELECT FROM ${table}`)).rowCount, table).toBe(0);
    }
    const logs = await server.api("GET", url(`/webhook-logs?sessionId=${body.data.sessionId}`));
    expect(logs.body.data.map(({ trigger }: { trigger: string }) => trigger)).toEqual(["test"]);
  });

  test("is answered with its row also when it fails, and is made once although the endpoint wants retries", async () => {
    await pointAt(
      (response) => {
        response.statusCode = 500;
        response.end("broken");
      },
      { delivery: { retries: { attempts: 5, window: "1h" } } },
    );
    const answer = await send({ event: "session.ended" });
    expect(answer.status).toBe(200);
    expect(answer.body.data).toMatchObject({
      outcome: "rejected",
      settledAs: "rejected",
      responseStatus: 500,
      responseBody: "broken",
    });
    expect((await server.pool.query("SELECT FROM deliveries")).rowCount).toBe(0);
  });

  test("to an endpoint that never answers ends by the endpoint's timeout", async () => {
    await pointAt(() => {}, { delivery: { timeout: "200ms" } });
    const { body } = await send({ event: "session.ended" });
    expect(body.data).toMatchObject({ outcome: "timed_out", settledAs: "failed" });
  });

  test("without a webhook, of a wrong event or on the wrong channel is refused", async () => {
    const refused = async (body: unknown) => {
      const { status, body: answered } = await send(body);
      return [status, answered.error.code, answered.error.details[0]?.path];
    };
    expect(await refused({ event: "session.ended" })).toEqual([409, "no_webhook", undefined]);
    await pointAt();
    expect(await refused({ event: "session.started" })).toEqual([422, "invalid_body", "event"]);
    expect(await refused({ event: "call.ended", channel: "text" })).toEqual([422, "invalid_body", "channel"]);
    expect(await refused({ event: "call.ended", sessionId: "x" })).toEqual([
      422,
      "invalid_body",
      "sessionId",
    ]);
    expect(sink.received).toEqual([]);
  });

  test("M4: an endpoint that echoes its request does not put its headers and secrets into the log", async () => {
    const headers = [
      { key: "Authorization", value: "Bearer a-token-of-some-length" },
      { key: "X-Quoted", value: 'some"thing\\with quotes' },
    ];
    const secret = await pointAt(
      (response, request) =>
        response.end(JSON.stringify({ headers: request.headers, token: "a-token-of-some-length" })),
      { headers },
    );
    const { body } = await send({ event: "session.ended" });
    expect(body.data.responseBody).toContain("****ngth");
    expect(body.data.responseBody).toContain(body.data.webhookId);
    const { rows } = await server.pool.query<{ answer: string }>(
      "SELECT convert_from(response_body, 'UTF8') AS answer FROM webhook_logs ORDER BY log_id DESC LIMIT 1",
    );
    for (const text of ["a-token-of", 'some\\"thing', secret]) expect(rows[0]?.answer).not.toContain(text);
  });
});

test("API and worker in processes of their own: the API answers the row of the attempt that the worker made", async () => {
  const database = await createTestDatabase();
  const dataFolder = await mkdtemp(join(tmpdir(), "sendoff-test-halves-"));
  const env = {
    DATABASE_URL: database.url,
    SENDOFF_DATA: dataFolder,
    SENDOFF_ALLOW_HTTP: "loopback",
    SENDOFF_LOG: "silent",
  };
  const api = await startSendoff({ role: "api", env: { ...env, PORT: "0" } });
  const worker = await startSendoff({ role: "worker", env });
  sink = await startSink();
  try {
    const start = JSON.parse(await readFile(join(dataFolder, "start.json"), "utf8"));
    const call = (method: string, path: string, body: unknown) =>
      fetch(`${start.apiUrl}/v1/projects/${start.projectId}${path}`, {
        method,
        headers: { authorization: `Bearer ${start.projectKey}`, "content-type": "application/json" },
        body: JSON.stringify(body),
      });
    expect((await call("PATCH", "/agent", { postSessionWebhook: { url: sink.url } })).status).toBe(200);
    const answer = await call("POST", "/agent/webhook/test", { event: "recording.ready" });
    expect(await answer.json()).toMatchObject({ data: { outcome: "delivered", trigger: "test" } });
    expect((await fetch(sink.received[0]?.json.recordingUrl)).status).toBe(200);
  } finally {
    await worker.stop();
    await api.stop();
    await database.drop();
    await rm(dataFolder, { recursive: true, force: true });
  }
});
