import { afterEach, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";

// Endpoints that turn against the one who calls them (hostile cases, "DNS and connect", "Endpoint responses").

let server: TestServer;
let sink: Sink;

afterEach(async () => {
  await server.stop();
  await sink.close();
});

const path = (rest: string): string => `/v1/projects/${server.projectId}${rest}`;

const conversation = { channel: "text", currentNodeId: "bye", messagesCount: 1, extractedVariables: {} };
const endSession = (sessionId: string) =>
  server.api("POST", path(`/sessions/${sessionId}/conversation-ended`), conversation);

async function pointAt(target: Sink): Promise<void> {
  const answer = await server.api("PATCH", path("/agent"), { postSessionWebhook: { url: target.url } });
  expect(answer.status, answer.text).toBe(200);
}

async function logsOf(sessionId: string): Promise<Array<Record<string, unknown>>> {
  const { body } = await server.api("GET", path(`/webhook-logs?sessionId=${sessionId}`));
  return body.data;
}

describe("an endpoint", () => {
  test("D16: that moved to a forbidden address gets neither a test event nor a resend", async () => {
    server = await startTestServer({ SENDOFF_EGRESS_DENY: "127.0.0.9/32" });
    sink = await startSink();
    await pointAt(sink);
    await endSession("moved");
    await until("it is logged", async () => (await logsOf("moved")).length === 1);
    await server.pool.query("UPDATE endpoints SET url = replace(url, '127.0.0.1', '127.0.0.9')");
    const tested = await server.api("POST", path("/agent/webhook/test"), { event: "session.ended" });
    expect(tested.body.data).toMatchObject({ trigger: "test", outcome: "blocked", errorCode: "blocked" });
    const [log] = await logsOf("moved");
    expect((await server.api("POST", path(`/webhook-logs/${log?.id}/resend`))).status).toBe(202);
    await until("the resend is logged", async () => (await logsOf("moved")).length === 2);
    expect((await logsOf("moved"))[0]).toMatchObject({ trigger: "resend", outcome: "blocked" });
    expect(sink.received.length).toBe(1);
  });

  test("R21: that answers markup, formulas and escapes has them kept as they came and given back as JSON alone", async () => {
    const odd = `<script>alert(1)</script><img onerror=x> javascript:x ]]> \u001b[31m \u202e =HYPERLINK("http://x")`;
    server = await startTestServer();
    sink = await startSink((response) => response.end(odd));
    await pointAt(sink);
    await endSession("odd");
    await until("it is logged", async () => (await logsOf("odd")).length === 1);
    const [log] = await logsOf("odd");
    const answer = await server.api("GET", path(`/webhook-logs/${log?.id}`));
    expect(answer.body.data.responseBody).toBe(odd);
    expect(answer.headers.get("content-type")).toBe("application/json");
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    // No terminal that shows the text as it came is told anything by it.
    expect(answer.text).not.toContain("\u001b");
  });

  test("R29: that makes two sessions of each event is held by the limit of its key", async () => {
    server = await startTestServer({ SENDOFF_RATE_LIMIT: "10:10" });
    let made = 0;
    let limited = 0;
    sink = await startSink((response) => {
      response.end("ok");
      for (let copy = 0; copy < 2; copy++) {
        void endSession(`loop-${made++}`).then(({ status }) => {
          if (status === 429) limited += 1;
        });
      }
    });
    await pointAt(sink);
    await endSession("first");
    await until("the limit holds it", () => limited >= 5);
    const { rows } = await server.pool.query<{ sessions: number }>(
      "SELECT count(*) AS sessions FROM sessions",
    );
    // Each is an event and a POST, so without the limit there would be as many as were asked for.
    expect(rows[0]?.sessions).toBeLessThanOrEqual(made - limited + 1);
    expect(sink.received.length).toBeLessThan(made);
  });
});
