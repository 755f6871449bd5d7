import type { ServerResponse } from "node:http";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";
import type { AttemptResult } from "../src/outbox/result.ts";
import { afterAttempt, parseRetryAfter } from "../src/outbox/retry.ts";

const failed: AttemptResult = {
  outcome: "rejected",
  errorCode: "http_error",
  failedStep: "response",
  responseStatus: 500,
  responseBody: null,
  durationMs: 5,
  retryAfterMs: null,
};
const day = 86_400_000;

describe("the rule on another attempt", () => {
  const rule = (more: object, random = 0): ReturnType<typeof afterAttempt> =>
    afterAttempt(
      { result: failed, attempt: 1, retries: { attempts: 8, windowMs: day }, triedForMs: 100, ...more },
      random,
    );

  test("without retries every outcome settles at once", () => {
    expect(rule({ retries: null })).toEqual({ kind: "settled", as: "rejected" });
    expect(rule({ retries: null, result: { ...failed, outcome: "timed_out" } })).toEqual({
      kind: "settled",
      as: "failed",
    });
  });

  test("the pauses grow fourfold, are shortened by up to a half at random, and fit into half of the window", () => {
    const pauses = [1, 2, 3, 4, 5, 6, 7].map((attempt) => rule({ attempt }));
    const ms = pauses.map((pause) => (pause.kind === "again" ? pause.afterMs : -1));
    expect(ms.slice(0, 4)).toEqual([5_000, 20_000, 80_000, 320_000]);
    expect(ms.reduce((sum, pause) => sum + pause, 0)).toBeLessThan(day / 2);
    expect(rule({}, 1)).toEqual({ kind: "again", afterMs: 2_500 });
    const short = [1, 2, 3, 4].map((attempt) =>
      rule({ attempt, retries: { attempts: 5, windowMs: 60_000 } }),
    );
    const shortMs = short.map((pause) => (pause.kind === "again" ? pause.afterMs : -1));
    expect(shortMs.reduce((sum, pause) => sum + pause, 0)).toBeLessThanOrEqual(30_001);
  });

  test("the last attempt, and one past the window, leave it exhausted", () => {
    expect(rule({ attempt: 8 })).toEqual({ kind: "settled", as: "exhausted" });
    expect(rule({ triedForMs: day - 1_000 })).toEqual({ kind: "settled", as: "exhausted" });
  });

  test("Retry-After makes a pause longer, never shorter, and at most an hour", () => {
    const asked = (retryAfterMs: number) => rule({ result: { ...failed, retryAfterMs } });
    expect(asked(60_000)).toEqual({ kind: "again", afterMs: 60_000 });
    expect(asked(10)).toEqual({ kind: "again", afterMs: 5_000 });
    expect(asked(day)).toEqual({ kind: "again", afterMs: 3_600_000 });
  });

  test("410 stops it, and what was delivered, blocked or cancelled is not attempted again", () => {
    expect(rule({ result: { ...failed, responseStatus: 410 } })).toEqual({ kind: "settled", as: "rejected" });
    expect(rule({ result: { ...failed, outcome: "delivered" } })).toEqual({
      kind: "settled",
      as: "delivered",
    });
    expect(rule({ result: { ...failed, outcome: "blocked" } })).toEqual({ kind: "settled", as: "failed" });
    expect(rule({ result: { ...failed, outcome: "cancelled" } })).toEqual({
      kind: "settled",
      as: "cancelled",
    });
  });

  test.each([
    ["120", 120_000],
    ["Sat, 21 Nov 2026 20:01:00 GMT", 60_000],
    ["Sat, 21 Nov 2026 19:00:00 GMT", 0],
    ["soon", null],
    ["-5", null],
    [undefined, null],
  ])("a Retry-After of %s is %s ms", (value, expected) => {
    expect(parseRetryAfter(value, Date.parse("2026-11-21T20:00:00Z"))).toBe(expected);
  });
});

describe("an endpoint that has opted in", () => {
  let server: TestServer;
  let sink: Sink;
  beforeAll(async () => {
    server = await startTestServer();
  });
  afterAll(() => server.stop());
  afterEach(() => sink.close());

  async function pointAt(
    respond: (response: ServerResponse, json: { event: string }, count: number) => void,
    retries: object = { attempts: 4, window: "2s" },
  ): Promise<void> {
    let count = 0;
    sink = await startSink((response, { json }) => respond(response, json, ++count));
    const answer = await server.api("PATCH", `/v1/projects/${server.projectId}/agent`, {
      postSessionWebhook: {
        url: sink.url,
        events: ["session.ended", "session.finalized"],
        delivery: { timeout: "300ms", retries },
      },
    });
    expect(answer.status, answer.text).toBe(200);
    expect(answer.body.data.postSessionWebhook.delivery).toEqual({ timeout: "300ms", retries });
  }

  const endText = (sessionId: string) =>
    server.api("POST", `/v1/projects/${server.projectId}/sessions/${sessionId}/conversation-ended`, {
      channel: "text",
      currentNodeId: "closing",
      messagesCount: 2,
      extractedVariables: {},
    });

  const logsOf = async (sessionId: string): Promise<Array<Record<string, unknown>>> => {
    const answer = await server.api(
      "GET",
      `/v1/projects/${server.projectId}/webhook-logs?sessionId=${sessionId}`,
    );
    return answer.body.data.reverse();
  };

  const settled = (sessionId: string, count: number): Promise<void> =>
    until(
      "all have settled",
      async () => (await logsOf(sessionId)).filter((log) => log.settledAs !== null).length === count,
    );

  test("gets a failed one again with the same webhook-id, and the lane waits for it", async () => {
    await pointAt((response, json, count) => {
      response.statusCode = json.event === "session.ended" && count < 3 ? 503 : 200;
      response.end();
    });
    await endText("flaky");
    await settled("flaky", 2);
    expect(
      sink.received.map(({ json, headers }) => [
        json.event,
        headers["sendoff-attempt"],
        headers["sendoff-trigger"],
      ]),
    ).toEqual([
      ["session.ended", "1", "live"],
      ["session.ended", "2", "retry"],
      ["session.ended", "3", "retry"],
      ["session.finalized", "1", "live"],
    ]);
    expect(new Set(sink.received.slice(0, 3).map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    expect(new Set(sink.received.slice(0, 3).map(({ body }) => body)).size).toBe(1);
    expect(
      (await logsOf("flaky")).map(({ attempt, outcome, settledAs }) => [attempt, outcome, settledAs]),
    ).toEqual([
      [1, "rejected", null],
      [2, "rejected", null],
      [3, "delivered", "delivered"],
      [1, "delivered", "delivered"],
    ]);
  });

  test("gets at most so many attempts, and then the delivery is exhausted and the lane goes on", async () => {
    await pointAt(
      (response) => {
        response.statusCode = 500;
        response.end();
      },
      { attempts: 3, window: "3s" },
    );
    await endText("down");
    await settled("down", 2);
    expect(sink.received.length).toBe(6);
    const logs = await logsOf("down");
    expect(logs.map(({ event, settledAs }) => [event, settledAs])).toEqual([
      ["session.ended", null],
      ["session.ended", null],
      ["session.ended", "exhausted"],
      ["session.finalized", null],
      ["session.finalized", null],
      ["session.finalized", "exhausted"],
    ]);
  });

  test("stops at 410", async () => {
    await pointAt((response) => {
      response.statusCode = 410;
      response.end();
    });
    await endText("dead");
    await settled("dead", 2);
    expect(sink.received.length).toBe(2);
  });

  test("is given the pause that its Retry-After asks for", async () => {
    const begins: number[] = [];
    await pointAt(
      (response, _json, count) => {
        begins.push(performance.now());
        if (count === 1) response.writeHead(429, { "retry-after": "1" });
        response.end();
      },
      { attempts: 3, window: "10s" },
    );
    await endText("busy");
    await settled("busy", 2);
    expect((begins[1] ?? 0) - (begins[0] ?? 0)).toBeGreaterThanOrEqual(1_000);
  });

  test.each([
    [{ attempts: 1, window: "1h" }, "attempts"],
    [{ attempts: 21, window: "1h" }, "attempts"],
    [{ attempts: 5, window: "8d" }, "window"],
    [{ attempts: 5 }, "window"],
    [{ attempts: 5, window: "1h", jitter: true }, "jitter"],
  ])("is told what is wrong with %o", async (retries, field) => {
    sink = await startSink();
    const answer = await server.api("PATCH", `/v1/projects/${server.projectId}/agent`, {
      postSessionWebhook: { url: sink.url, delivery: { retries } },
    });
    expect(answer.status).toBe(422);
    expect(answer.body.error.details[0].path).toBe(`postSessionWebhook.delivery.retries.${field}`);
  });
});
