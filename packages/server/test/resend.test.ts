import type { ServerResponse } from "node:http";
import { Resend } from "@sendoff/contract";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Received, type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";

let server: TestServer;
let sink: Sink;
const events = ["session.ended", "session.finalized"];
const url = (path: string): string => `/v1/projects/${server.projectId}${path}`;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());
afterEach(() => sink?.close());

async function pointAt(
  respond: (response: ServerResponse, request: Received) => void = (response) => response.end("ok"),
  more: object = {},
): Promise<void> {
  sink = await startSink(respond);
  const answer = await server.api("PATCH", url("/agent"), {
    postSessionWebhook: { url: sink.url, events, ...more },
  });
  expect(answer.status, answer.text).toBe(200);
}

const endText = (sessionId: string) =>
  server.api("POST", url(`/sessions/${sessionId}/conversation-ended`), {
    channel: "text",
    currentNodeId: "closing",
    messagesCount: 2,
    extractedVariables: {},
  });

// biome-ignore lint/suspicious/noExplicitAny: a test looks at whatever was answered
const logsOf = async (sessionId: string): Promise<any[]> =>
  (await server.api("GET", url(`/webhook-logs?sessionId=${sessionId}`))).body.data.reverse();

const logged = (sessionId: string, count: number): Promise<void> =>
  until(`${count} rows`, async () => (await logsOf(sessionId)).length === count);

/** A text session whose two events have been attempted. */
async function settledSession(sessionId: string) {
  await endText(sessionId);
  await logged(sessionId, 2);
  return logsOf(sessionId);
}

const resend = (logId: string) => server.api("POST", url(`/webhook-logs/${logId}/resend`));

describe("a resend", () => {
  test("sends the same bytes with the same webhook-id as the next attempt, with the URL and headers of the moment", async () => {
    await pointAt();
    const [ended] = await settledSession("again");
    const before = sink.received[0];
    await sink.close();
    await pointAt(undefined, { headers: [{ key: "X-New", value: "since-then" }] });
    const answer = await resend(ended.id);
    expect(answer.status, answer.text).toBe(202);
    expect(Resend.safeParse(answer.body.data).error).toBeUndefined();
    expect(answer.body.data).toMatchObject({ sessionId: "again", attempt: 2, duplicate: false });
    await logged("again", 3);
    const [after] = sink.received;
    expect(after?.body).toBe(before?.body);
    expect(after?.headers).toMatchObject({
      "webhook-id": ended.webhookId,
      "sendoff-trigger": "resend",
      "sendoff-attempt": "2",
      "x-new": "since-then",
    });
    const [, , row] = await logsOf("again");
    expect(row).toMatchObject({
      event: "session.ended",
      attempt: 2,
      trigger: "resend",
      settledAs: "delivered",
      url: sink.url,
    });
    await resend(row.id);
    await logged("again", 4);
    expect((await logsOf("again")).at(-1)).toMatchObject({ attempt: 3, trigger: "resend" });
    const { body } = await server.api("GET", url("/sessions/again"));
    expect(body.data.timeline.deliveries.map((delivery: { attempts: number }) => delivery.attempts)).toEqual([
      1, 1, 2, 3,
    ]);
  });

  test("asked for twice at once is made once, and both are told the same", async () => {
    const open: ServerResponse[] = [];
    await pointAt((response, { headers }) => {
      if (headers["sendoff-trigger"] === "resend") open.push(response);
      else response.end();
    });
    const [ended] = await settledSession("clicks");
    const answers = await Promise.all([1, 2, 3, 4].map(() => resend(ended.id)));
    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202, 202]);
    expect(answers.map(({ body }) => body.data.duplicate).sort()).toEqual([false, true, true, true]);
    expect(new Set(answers.map(({ body }) => body.data.attempt))).toEqual(new Set([2]));
    await sink.arrived(3);
    expect((await resend(ended.id)).body.data).toMatchObject({ attempt: 2, duplicate: true });
    for (const response of open) response.end();
    await logged("clicks", 3);
    expect(sink.received.length).toBe(3);
  });

  test("of an event that has not settled is refused: it will be sent anyway", async () => {
    await pointAt(
      (response) => {
        response.statusCode = 503;
        response.end();
      },
      { delivery: { retries: { attempts: 3, window: "1h" } } },
    );
    await endText("waits");
    await logged("waits", 1);
    const [row] = await logsOf("waits");
    expect(row.settledAs).toBeNull();
    const answer = await resend(row.id);
    expect(answer.status).toBe(409);
    expect(answer.body.error.code).toBe("delivery_under_way");
    await server.pool.query("DELETE FROM deliveries");
  });

  test("follows the endpoint's wish for retries, and goes on counting", async () => {
    let failing = false;
    await pointAt(
      (response) => {
        response.statusCode = failing ? 500 : 200;
        response.end();
      },
      { delivery: { retries: { attempts: 2, window: "1s" } } },
    );
    const [ended] = await settledSession("policy");
    failing = true;
    await resend(ended.id);
    await logged("policy", 4);
    expect(
      (await logsOf("policy"))
        .slice(2)
        .map(({ attempt, trigger, settledAs }) => [attempt, trigger, settledAs]),
    ).toEqual([
      [2, "resend", null],
      [3, "resend", "exhausted"],
    ]);
    expect(sink.received.map(({ headers }) => headers["sendoff-attempt"])).toEqual(["1", "1", "2", "3"]);
  });

  test("of a removed endpoint, an erased session, a test and another project's attempt is refused", async () => {
    await pointAt();
    const [ended] = await settledSession("refused");
    const code = async (logId: string, key?: string) => {
      const answer = await server.api("POST", url(`/webhook-logs/${logId}/resend`), undefined, key);
      return `${answer.status} ${answer.body.error.code}`;
    };
    const tested = await server.api("POST", url("/agent/webhook/test"), { event: "session.ended" });
    expect(await code(tested.body.data.id)).toBe("409 test_not_resent");
    expect(await code("999999")).toBe("404 webhook_log_not_found");
    expect(await code("1%27--")).toBe("404 webhook_log_not_found");
    const other = await server.api("POST", "/v1/projects", { name: "other" }, server.developerKey);
    const foreign = await server.api(
      "POST",
      `/v1/projects/${other.body.data.id}/webhook-logs/${ended.id}/resend`,
      undefined,
      other.body.data.key,
    );
    expect([foreign.status, foreign.body.error.code]).toEqual([404, "webhook_log_not_found"]);
    await server.pool.query("UPDATE events SET payload = '' WHERE webhook_id = $1", [ended.webhookId]);
    expect(await code(ended.id)).toBe("409 session_erased");
    await server.api("PATCH", url("/agent"), { postSessionWebhook: null });
    expect(await code(ended.id)).toBe("409 endpoint_removed");
    const { rows } = await server.pool.query("SELECT FROM deliveries");
    expect(rows).toEqual([]);
  });

  test("gives session.finalized that settled as unknown another chance, and its old row stays as it is", async () => {
    await pointAt();
    const [, finalized] = await settledSession("unknown");
    await server.pool.query(
      "UPDATE webhook_logs SET outcome = 'unknown', settled_as = 'unknown', error_code = 'worker_lost' WHERE log_id = $1",
      [finalized.id],
    );
    expect((await resend(finalized.id)).status).toBe(202);
    await logged("unknown", 3);
    expect((await logsOf("unknown")).slice(1).map(({ outcome, attempt }) => [outcome, attempt])).toEqual([
      ["unknown", 1],
      ["delivered", 2],
    ]);
  });
});
